"""The subject `jobs`, small."""

import pytest

from lookwhere_cli.bench import jobs
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.bench.subjects import SUBJECTS, default_subjects

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def small(monkeypatch, model_folder, photos):
    for name, value in {
        "PHOTOGRAPHS": 24,
        "SHARD": 12,
        "TINY_SHARD": 4,
        "FEW": 4,
        "MANY": 8,
        "MEMORY_SHARD": 2,
    }.items():
        monkeypatch.setattr(jobs, name, value)
    monkeypatch.setattr(jobs, "find_spec", lambda name: None)  # Ray has tests of its own
    monkeypatch.setattr(jobs, "SMALL_SIZE", 24)
    return BenchSettings(str(model_folder), tuple(sorted(photos.iterdir())), "cpu", 1)


def test_rates_are_compared_and_start_up_is_told_apart(small, tmp_path):
    photographs = jobs._linked(small.photographs, jobs.PHOTOGRAPHS, tmp_path / "photographs")
    found = {(one.what, one.against): one for one in jobs.rates(small, photographs, tmp_path)}
    two, one = found["2 processes", "1 process"], found["1 process", "one predictor alone"]
    assert two.ratio == pytest.approx(two.value / one.value)
    assert found["start-up, 2 processes", None].unit == "s" and found["overhead of a shard", None].unit == "ms"
    assert not any("Ray" in what for what, _ in found)


def test_memory_is_that_of_the_command_and_its_workers(small):
    driver, worker, again = jobs.memory_and_resuming(small, few=4, many=8)
    assert driver.value > 20 and worker.value > driver.value, "a worker holds torch, the command does not"
    assert again.value > 0 and driver.ratio == pytest.approx(1, abs=0.2)


def test_jobs_are_measured_only_if_they_are_named():
    assert "jobs" in SUBJECTS and "jobs" not in default_subjects()
