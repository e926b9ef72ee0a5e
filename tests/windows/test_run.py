"""Windows as pictures of their own: what the whole says, moved boxes, windows that fail, flat memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.loading import load
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.strategies import registry
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.plan import plan_windows
from lookwhere_cli.windows.pool import WholePicture
from lookwhere_cli.windows.run import answer_windows
from tests.evaluation.models import SEVERAL, save
from tests.large_sources import ArraySource
from tests.models.small import DETECTING, LABELLED, small


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("models") / "detecting"
    save_model(folder, small(DETECTING), "# detecting\n")
    return load(str(folder), k="all", conf=0.1)


@pytest.fixture(scope="module")
def classifier(model_folder: Path) -> Predictor:
    return load(str(model_folder), k=0.5)


def whole_of(predictor, source, options):
    plan = plan_windows(predictor, source, options)
    whole = WholePicture(source, plan)
    answers = list(answer_windows(predictor, source, plan))
    for one in answers:
        whole.add(one)
    return answers, whole.finish()


def test_the_whole_tells_that_its_windows_read_fewer_cells_than_their_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MOST", 20)
    save_model(tmp_path, small(replace(LABELLED, k=0.5)))
    limited, asked = load(str(tmp_path)), load(str(tmp_path), k=0.5)
    source = ArraySource(noise(96, 96))
    answers, whole = whole_of(limited, source, WindowOptions(48))
    assert [one.row.k for one in answers] == [20] * 4 and whole.row.k == 80
    assert whole.row.note == "reads 20 cells, the most by default; -k 50% reads 72"
    answers, whole = whole_of(asked, source, WindowOptions(48))
    assert whole.row.k == 4 * 72 and whole.row.note is None


def test_every_window_is_answered_as_a_picture_of_its_own(classifier: Predictor) -> None:
    pixels = noise(48, 72)
    answers, whole = whole_of(classifier, ArraySource(pixels), WindowOptions(24))
    corners = [one.row.window[:2] for one in answers]
    assert corners == [(0, 0), (24, 0), (48, 0), (0, 24), (24, 24), (48, 24)]
    for one in answers:
        left, top, right, bottom = one.row.window
        alone = classifier.classify(pixels[top:bottom, left:right])
        assert one.row.cells == alone.cells and one.row.macs == alone.macs
        assert [label.label for label in one.row.labels] == [label.label for label in alone.labels]
        assert one.row.labels[0].probability == pytest.approx(alone.labels[0].probability, abs=1e-5)
    row = whole.row
    assert row.windows.total == row.windows.read == 6 and row.cells == () and row.grid == (12, 18)
    assert row.k == sum(one.row.k for one in answers) and row.macs == sum(one.row.macs for one in answers)
    assert row.macs_full == sum(one.row.macs_full for one in answers)
    for label in row.labels:
        values = [next(x for x in one.row.labels if x.index == label.index).probability for one in answers]
        assert label.probability == pytest.approx(np.mean(values), abs=1e-5)


def test_boxes_are_moved_to_the_picture(detector: Predictor) -> None:
    pixels = noise(24, 60)
    answers, whole = whole_of(detector, ArraySource(pixels), WindowOptions(24, overlap=0))
    assert len(answers) == 3
    for one in answers:
        left = one.row.window[0]
        alone = detector.detect(pixels[:, left : left + 24])
        shifted = alone.boxes + np.array([left, 0, left, 0])
        np.testing.assert_allclose(one.answer.result.detections.boxes, shifted, atol=1e-3)
        assert one.row.boxes == tuple(one.answer.result.detections)
    assert whole.row.boxes and whole.result.detections.scores[0] == max(one.row.boxes[0].score for one in answers)


def test_a_window_with_too_many_boxes_is_noted(detector: Predictor) -> None:
    head = replace(detector.pipeline.head, limit=2)
    limited, source = Predictor(replace(detector.pipeline, head=head)), ArraySource(noise(24, 72))
    _, whole = whole_of(limited, source, WindowOptions(24, overlap=0))
    assert "more than 2 boxes" in whole.row.note and len(whole.row.boxes) == 6
    _, whole = whole_of(detector, source, WindowOptions(24, overlap=0))
    assert whole.row.note is None


class Damaged(ArraySource):
    """A source with a tile that can't be decoded."""

    broken = (24, 0, 48, 24)

    def read(self, box, height, width):
        left, top, right, bottom = self.broken
        if box[0] < right and box[2] > left and box[1] < bottom and box[3] > top:
            raise OSError("tile 17 is damaged")
        return super().read(box, height, width)


def test_a_damaged_window_is_a_row_with_error_and_the_others_go_on(classifier: Predictor) -> None:
    pixels = noise(48, 72)
    answers, whole = whole_of(classifier, Damaged(pixels), WindowOptions(24))
    sound, expected = whole_of(classifier, ArraySource(pixels), WindowOptions(24))
    assert [one.row.error is None for one in answers] == [True, False, True, True, True, True]
    assert "'made.svs' can't be read at 24, 0 (24 x 24 pixels) (tile 17 is damaged)" in answers[1].row.error
    assert answers[1].row.window == (24, 0, 48, 24) and answers[1].row.to_dict()["window"] == [24, 0, 48, 24]
    for one, other in zip(answers, sound, strict=True):
        if one.row.error is None:
            assert one.row.cells == other.row.cells
            assert one.row.labels[0].probability == pytest.approx(other.row.labels[0].probability, abs=1e-4)
    assert whole.row.windows.failed == 1 and whole.row.windows.read == 5 and "1 window can't be read" in whole.row.note
    assert whole.row.error is None and expected.row.windows.failed == 0


def test_a_picture_none_of_whose_windows_can_be_read_has_failed(classifier: Predictor) -> None:
    class Broken(Damaged):
        broken = (0, 0, 99, 99)

    answers, whole = whole_of(classifier, Broken(noise(24, 48)), WindowOptions(24))
    assert all(one.row.error for one in answers)
    assert "none of its windows can be read" in whole.row.error and whole.view is None


def test_a_blank_picture_has_a_row_without_labels(classifier: Predictor) -> None:
    answers, whole = whole_of(classifier, ArraySource(np.full((48, 48, 3), 255, np.uint8)), WindowOptions(24))
    assert answers == [] and whole.row.labels == () and "no window was read" in whole.row.note
    assert whole.row.windows.blank == 4 and whole.row.macs == 0 < whole.row.macs_full


def test_labels_are_weighted_by_what_windows_hold(classifier: Predictor) -> None:
    pixels = noise(24, 48)
    pixels[:, 24:42] = 255  # a quarter of the second window holds something
    answers, whole = whole_of(classifier, ArraySource(pixels), WindowOptions(24))
    for label in whole.row.labels:
        first, second = (next(x for x in one.row.labels if x.index == label.index).probability for one in answers)
        assert label.probability == pytest.approx((first + second / 4) / 1.25, abs=0.01)


def test_several_labels_are_the_best_of_any_window(tmp_path: Path) -> None:
    predictor = load(save(tmp_path / "several", SEVERAL), k="all")
    answers, whole = whole_of(predictor, ArraySource(noise(24, 72)), WindowOptions(24))
    for label in whole.row.labels:
        best = max(x.probability for one in answers for x in one.row.labels if x.index == label.index)
        assert label.probability == pytest.approx(best, abs=1e-6)


def test_the_same_answers_whatever_the_batch_and_the_threads(model_folder: Path) -> None:
    source = ArraySource(noise(60, 100))
    one, other = (
        whole_of(load(str(model_folder), k=0.5, batch_size=batch, workers=workers), source, WindowOptions(24))[1].row
        for batch, workers in ((1, 1), (8, 3))
    )
    assert one.k == other.k and one.windows == other.windows
    for first, second in zip(one.labels, other.labels, strict=True):
        assert first.label == second.label and first.probability == pytest.approx(second.probability, abs=1e-4)


def test_each_window_is_read_once_and_very_large_ones_cell_by_cell(classifier: Predictor, monkeypatch) -> None:
    source = ArraySource(noise(48, 48))
    whole_of(classifier, source, WindowOptions(24))
    assert len(source.reads) == 4
    monkeypatch.setattr("lookwhere_cli.windows.source.AT_ONCE", 100)
    source = ArraySource(noise(48, 48))
    whole_of(classifier, source, WindowOptions(24))
    read = len(source.reads)
    assert read == 4 * (1 + 18)  # a thumbnail and half of the cells

    class Blocks(ArraySource):
        def read_cells(self, box, grid, patch, cells):
            return self._decoded.read_cells(box, grid, patch, cells)

    blocks = Blocks(noise(48, 48))
    expected = whole_of(classifier, source, WindowOptions(24))[1].row
    found = whole_of(classifier, blocks, WindowOptions(24))[1].row
    assert len(blocks.reads) == 4 and found.labels[0].label == expected.labels[0].label


def test_rows_in_python(classifier: Predictor, tmp_path: Path) -> None:
    pixels = noise(48, 48)
    rows = list(classifier.windows(pixels, window=24, best=2))
    assert len(rows) == 3 and rows[-1].window is None and rows[-1].windows.ranked_out == 2
    Image.fromarray(pixels).save(tmp_path / "a.png")
    again = list(classifier.windows(str(tmp_path / "a.png"), window=24, best="50%"))
    assert [row.window for row in again] == [row.window for row in rows] and again[0].path.endswith("a.png")
    assert again[-1].labels[0].probability == pytest.approx(rows[-1].labels[0].probability, abs=1e-6)
    with pytest.raises(UsageError, match="window is 0"):
        classifier.windows(pixels, window=0)
    with pytest.raises(PictureError):
        next(classifier.windows(str(tmp_path / "none.png")))


class Endless:
    """Pixels that are made when they are read."""

    def __init__(self, windows: int) -> None:
        self.size = (48, 48 * windows)

    def read(self, box, height, width):
        return np.full((height, width, 3), int(box[0]) % 255, np.uint8)


def test_memory_does_not_grow_with_the_picture(model_folder: Path) -> None:
    predictor = load(str(model_folder), k=0.5, batch_size=4, workers=2)

    def peak(windows: int) -> int:
        tracemalloc.start()
        source = Endless(windows)
        plan = plan_windows(predictor, source, WindowOptions(48))
        whole = WholePicture(source, plan)
        for answered in answer_windows(predictor, source, plan):
            whole.add(answered)
        assert whole.finish().row.windows.read == windows
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)  # what is made once
    small, large = peak(20), peak(100)
    # Python itself keeps some freed tuples, and the plan 12 bytes; the pixels of a window alone take 6,912.
    assert large - small < 80 * 2500
