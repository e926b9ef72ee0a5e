from dataclasses import replace

import numpy as np
import pytest

from lookwhere_cli.loading import load
from lookwhere_cli.output.rows import Row, Share
from lookwhere_cli.windows.kept import KeptArrays, kept_beside
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.plan import all_windows
from tests.large_sources import ArraySource


@pytest.fixture(scope="module")
def plan(model_folder):
    predictor = load(str(model_folder), k=0.5)
    return all_windows(predictor, ArraySource(np.zeros((48, 240, 3), np.uint8)), WindowOptions(24))


def windows(count):
    rng = np.random.default_rng(0)
    for number in range(count):
        row = Row("a\udcff.svs", k=number, window=(number, 0, number + 9, 9), shares=(Share("x", 0, 0.3, 1 / 3, "m²"),))
        yield row, {"classes": rng.integers(0, 9, (number + 1, 3), dtype=np.uint8), "cls": rng.random(4, np.float32)}


@pytest.fixture
def path(tmp_path):
    return kept_beside(tmp_path / "a.tif")


@pytest.fixture
def kept(path, plan):
    def read(key="one", blank=plan):
        file = KeptArrays(path, key)
        file.plan(blank)
        return [file.read(number) for number in file.numbers.tolist()]

    return read


@pytest.fixture
def keep(path, plan):
    def write(items, key="one"):
        file = KeptArrays(path, key)
        if file.plan(plan) is None:
            file.begin(plan)
        for row, arrays in items:
            file.keep(row.k, row, arrays)
        file.close()

    return write


def same(found, expected):
    assert [row for row, _ in found] == [row for row, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)
        assert all(one[name].dtype == other[name].dtype for name in one)


def test_windows_come_back_exactly_and_more_may_follow(path, keep, kept):
    everything = list(windows(5))
    assert kept() == []
    keep(everything[:2])
    same(kept(), everything[:2])
    keep(everything[2:])
    same(kept(), everything)
    assert path.name == "a.tif.windows"


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_record_that_a_crash_cut_off_is_computed_again(path, keep, kept, cut):
    everything = list(windows(4))
    keep(everything)
    path.write_bytes(path.read_bytes()[:-cut])
    same(kept(), everything[:3])
    keep(everything[3:])
    same(kept(), everything)


def test_damage_in_a_record_ends_what_is_used(path, keep, kept):
    keep(windows(3))
    content = bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)
    assert len(kept()) == 2


def test_what_belongs_to_other_options_is_not_used(path, plan, keep, kept):
    assert KeptArrays(path, "one").belongs is None
    keep(windows(3))
    assert KeptArrays(path, "one").belongs and KeptArrays(path, "another").belongs is False
    assert kept("another") == []
    keep(list(windows(1)), "another")
    assert len(kept("another")) == 1 and kept("one") == []


def test_windows_may_be_kept_in_any_order(keep, kept):
    everything = list(windows(5))
    keep([everything[number] for number in (0, 3, 4)])
    keep([everything[number] for number in (2, 1)])
    same(kept(), everything)


def test_windows_that_lie_elsewhere_are_not_used(path, plan, keep, kept):
    keep(windows(3))
    file, other = KeptArrays(path, "one"), replace(plan, grid=replace(plan.grid, overlap=0.5))
    assert file.plan(other) is None and file.is_usable is False and not len(file.numbers)
    assert len(kept()) == 3


def test_a_file_without_windows_is_known_again(path, plan, keep, kept):
    KeptArrays(path, "one").leave()
    file = KeptArrays(path, "one")
    assert file.belongs and file.plan(plan) is None and file.is_usable is None
    keep(windows(2))
    assert len(kept()) == 2
