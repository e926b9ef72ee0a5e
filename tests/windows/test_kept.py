import numpy as np
import pytest

from lookwhere_cli.output.rows import Row, Share
from lookwhere_cli.windows.kept import KeptArrays, kept_beside


def windows(count):
    rng = np.random.default_rng(0)
    for number in range(count):
        row = Row("a\udcff.svs", k=number, window=(number, 0, number + 9, 9), shares=(Share("x", 0, 0.3, 1 / 3, "m²"),))
        yield row, {"classes": rng.integers(0, 9, (number + 1, 3), dtype=np.uint8), "cls": rng.random(4, np.float32)}


@pytest.fixture
def path(tmp_path):
    return kept_beside(tmp_path / "a.tif")


def kept(path, key="one"):
    return list(KeptArrays(path, key).finished())


def keep(path, items, key="one"):
    file = KeptArrays(path, key)
    list(file.finished())
    for row, arrays in items:
        file.keep(row, arrays)
    file.close()


def same(found, expected):
    assert [row for row, _ in found] == [row for row, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert list(one) == list(other) and all(np.array_equal(one[name], other[name]) for name in one)
        assert all(one[name].dtype == other[name].dtype for name in one)


def test_windows_come_back_exactly_and_more_may_follow(path):
    everything = list(windows(5))
    assert kept(path) == []
    keep(path, everything[:2])
    same(kept(path), everything[:2])
    keep(path, everything[2:])
    same(kept(path), everything)
    assert path.name == "a.tif.windows"


@pytest.mark.parametrize("cut", [1, 7, 40])
def test_a_record_that_a_crash_cut_off_is_computed_again(path, cut):
    everything = list(windows(4))
    keep(path, everything)
    path.write_bytes(path.read_bytes()[:-cut])
    same(kept(path), everything[:3])
    keep(path, everything[3:])
    same(kept(path), everything)


def test_damage_in_a_record_ends_what_is_used(path):
    keep(path, windows(3))
    content = bytearray(path.read_bytes())
    content[-20] ^= 255
    path.write_bytes(content)
    assert len(kept(path)) == 2


def test_what_belongs_to_other_options_is_not_used(path):
    assert KeptArrays(path, "one").is_usable is None
    keep(path, windows(3))
    assert KeptArrays(path, "one").is_usable and KeptArrays(path, "another").is_usable is False
    assert kept(path, "another") == []
    keep(path, list(windows(1)), "another")
    assert len(kept(path, "another")) == 1 and kept(path, "one") == []


def test_windows_without_arrays_are_those_that_failed(path):
    row = Row("a.svs", window=(0, 0, 9, 9), error="torn")
    keep(path, [(row, {})])
    assert kept(path) == [(row, {})]
