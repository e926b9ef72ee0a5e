from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from lookwhere_cli.bench import timing
from lookwhere_cli.bench.folder import possible_rate
from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.subjects import SUBJECTS, check_subjects, measure_of
from lookwhere_cli.errors import UsageError


@pytest.mark.parametrize(
    ("limit", "figure", "holds"),
    [
        (Limit("at most", 1.5), 1.5, True),
        (Limit("at most", 1.5), 1.51, False),
        (Limit("at least", 9.3), 9.3, True),
        (Limit("at least", 9.3), 9.2, False),
    ],
)
def test_a_limit_holds_up_to_its_bound(limit: Limit, figure: float, holds: bool) -> None:
    assert limit.holds(figure) is holds


def test_a_limit_applies_to_the_ratio_if_there_is_one() -> None:
    assert Measurement("start", "help", 0.4, "s", limit=Limit("at most", 0.5)).met is True
    assert Measurement("start", "classify", 0.4, "s", ratio=2.0, limit=Limit("at most", 1.5)).met is False
    assert Measurement("start", "import", 2.0, "s").met is None


def test_a_measurement_is_json() -> None:
    measurement = Measurement("model", "k", 1.5, "ms", "the full ViT", 2.0, 2.1, Limit("at least", 1.9))
    fields = json.loads(json.dumps(measurement.to_dict()))
    assert fields["met"] is True
    assert fields["limit"] == {"kind": "at least", "bound": 1.9}
    assert (fields["value"], fields["unit"], fields["against"], fields["ratio"]) == (1.5, "ms", "the full ViT", 2.0)


def test_runs_alternate_and_medians_leave_the_first_lap_out(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    now = [0.0]

    def run(name: str, seconds: Sequence[float]) -> Callable[[], None]:
        following = iter(seconds)

        def lap() -> None:
            order.append(name)
            now[0] += next(following)

        return lap

    monkeypatch.setattr(timing, "TURN", 1.0)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    seconds = timing.alternate({"long": run("long", (99, 4, 3, 8)), "short": run("short", (99, *(0.75, 0.5) * 3))}, 3)
    assert "".join(name[0] for name in order) == "ls" + "lss" + "lss" + "lss"
    assert seconds == {"long": 4, "short": (0.5 + 0.75) / 2}


def test_parts_share_the_cores_or_run_at_the_models_side() -> None:
    assert possible_rate([200, 200], 25, shared=True) == pytest.approx(20)
    assert possible_rate([200, 200], 25, shared=False) == 25
    assert possible_rate([200, 200], 1000, shared=False) == pytest.approx(100)


def test_subjects_come_once_and_in_order() -> None:
    assert check_subjects(["memory", "start", "memory"]) == ["start", "memory"]


def test_a_near_subject_is_offered() -> None:
    with pytest.raises(UsageError, match="did you mean 'memory'"):
        check_subjects(["memmory"])


@pytest.mark.parametrize("name", SUBJECTS)
def test_each_subject_has_its_measure(name: str) -> None:
    assert measure_of(name).__name__ == name
