"""What a stopped run leaves: exact rows, up to the last mark, whatever a crash did to the end of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.images.names import StandardInput
from lookwhere_cli.loading import load
from lookwhere_cli.output.rows import Detection, Label, Row, Share, WindowCounts
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.windows import sizing
from lookwhere_cli.windows.exact import plan_from_json, plan_to_json, row_from_json, row_to_json
from lookwhere_cli.windows.journal import WindowJournal, picture_key
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.picture import open_windows
from lookwhere_cli.windows.plan import all_windows, plan_windows
from tests.large_sources import ArraySource
from tests.models.small import DETECTING, small

ROW = Row(
    "a\udcff.svs",
    24,
    24,
    k=3,
    grid=(6, 6),
    cells=((0, 1), (2, 3)),
    labels=(Label("cat", 1, 0.1234567891),),
    macs=7,
    seconds=0.1,
    coarse=(2, 2),
    exit=1,
    shares=(Share("sky", 0, 1 / 3),),
    boxes=(Detection("dog", 1, 0.7, (1.23456, 2.0, 3.0, 4.0), {"size": [2, 2], "counts": "04"}),),
    window=(0, 24, 24, 48),
    windows=WindowCounts(4),
    note="n",
)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("models") / "detecting"
    save_model(folder, small(DETECTING), "# detecting\n")
    return load(str(folder), k="all", conf=0.1, batch_size=1)


def test_rows_come_back_exactly() -> None:
    import json
    from dataclasses import replace

    row = ROW
    assert row_from_json(json.loads(json.dumps(row_to_json(row, with_cells=True)))) == row
    assert row_from_json(row_to_json(row, with_cells=False)) == replace(row, cells=())


def test_plans_come_back_exactly(detector: Predictor) -> None:
    source, options = ArraySource(noise(60, 90)), WindowOptions(24, best=5)
    plan = plan_windows(detector, source, options)
    again = plan_from_json(plan_to_json(plan), all_windows(detector, source, options))
    assert again.windows[:] == plan.windows[:] and again.counts == plan.counts and again.macs == plan.macs


def stop_after(detector: Predictor, source: ArraySource, out: Path, count: int) -> None:
    journal = WindowJournal(out, with_cells=True)
    with open_windows(detector, source, WindowOptions(24), journal.picture("key")) as reading:
        for done, _ in enumerate(reading.answers(), start=1):
            if done == count:
                break
    journal.close()


def test_windows_that_fail_are_tried_again_in_their_place(detector: Predictor, tmp_path: Path) -> None:
    class Torn(ArraySource):
        def read(self, box, height, width):
            if box[:2] == (19, 0):
                raise OSError("torn")
            return super().read(box, height, width)

    pixels, out = noise(48, 96), tmp_path / "rows.jsonl"
    every, whole, _ = finish(detector, ArraySource(pixels), tmp_path / "other.jsonl")
    assert every[1].window is not None and every[1].window[:2] == (19, 0)
    stop_after(detector, Torn(pixels), out, 4)
    assert WindowJournal(out, True).windows_of("key") == 3
    rows, again, done = finish(detector, ArraySource(pixels), out)
    unlike = {"seconds": 0.0}
    assert done == 3 and [row.to_dict() | unlike for row in rows] == [row.to_dict() | unlike for row in every]
    assert again.to_dict() | unlike == whole.to_dict() | unlike


def test_a_plan_whose_windows_lie_elsewhere_begins_anew(
    detector: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = ArraySource(noise(48, 96)), tmp_path / "rows.jsonl"
    every, _, _ = finish(detector, source, tmp_path / "other.jsonl")
    with monkeypatch.context() as other_version:
        other_version.setattr(sizing, "BOX_OVERLAP", 0.5)
        stop_after(detector, source, out, 5)
    stop_after(detector, source, out, 2)
    assert WindowJournal(out, True).windows_of("key") == 2
    rows, _, done = finish(detector, source, out)
    assert done == 2 and [row.window for row in rows] == [row.window for row in every]


def finish(detector: Predictor, source: ArraySource, out: Path):
    journal = WindowJournal(out, with_cells=True)
    with open_windows(detector, source, WindowOptions(24), journal.picture("key")) as reading:
        rows = [answered.row for answered in reading.answers()]
        return rows, reading.whole().row, reading.done


@pytest.mark.parametrize("which", ["classifier", "detector"])
def test_what_is_gone_on_with_twice_is_as_if_it_was_never_stopped(
    which: str, detector: Predictor, model_folder: Path, tmp_path: Path
) -> None:
    predictor = detector if which == "detector" else load(str(model_folder), k=0.5, batch_size=1)
    source, out = ArraySource(noise(48, 96)), tmp_path / "rows.jsonl"
    every, whole, _ = finish(predictor, source, tmp_path / "other.jsonl")
    stop_after(predictor, source, out, 3)
    assert WindowJournal(out, True).windows_of("key") == 3
    stop_after(predictor, source, out, 6)
    rows, again, done = finish(predictor, source, out)
    assert done == 6
    unlike = {"seconds": 0.0}
    assert [row.to_dict() | unlike for row in rows] == [row.to_dict() | unlike for row in every]
    assert again.to_dict() | unlike == whole.to_dict() | unlike


def test_a_torn_end_is_not_used(detector: Predictor, tmp_path: Path) -> None:
    source, out = ArraySource(noise(48, 96)), tmp_path / "rows.jsonl"
    stop_after(detector, source, out, 4)
    file = tmp_path / "rows.jsonl.windows.jsonl"
    content = file.read_bytes()
    file.write_bytes(content + b'{"row": {"path": "a"}}\n{"ro')
    assert WindowJournal(out, True).windows_of("key") == 4
    assert finish(detector, source, out)[2] == 4
    assert WindowJournal(out, True).windows_of("key") == 15
    file.write_bytes(content[: len(content) // 2])
    assert finish(detector, source, out)[2] == 0  # without the mark
    file.write_bytes(b"no journal")
    assert WindowJournal(out, True).windows_of("key") == 0


def test_other_pictures_are_forgotten(detector: Predictor, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    stop_after(detector, ArraySource(noise(48, 48)), out, 1)
    journal = WindowJournal(out, True)
    assert journal.keep_only({"key"}) == 0 and journal.path.exists()
    assert journal.keep_only({"other"}) == 1 and not journal.path.exists()


def test_a_key_changes_with_the_file_and_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_bytes(b"1")
    first = picture_key(str(file), "model")
    assert first == picture_key(str(file), "model") != picture_key(str(file), "other")
    file.write_bytes(b"12")
    assert picture_key(str(file), "model") != first
    assert picture_key(StandardInput(b"1")) != picture_key(StandardInput(b"2"))
