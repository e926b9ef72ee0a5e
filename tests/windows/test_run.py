"""Windows as pictures of their own: what the whole says, moved boxes, windows that fail, flat memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.loading import load
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.plan import plan_windows
from lookwhere_cli.windows.pool import WholePicture
from lookwhere_cli.windows.run import answer_windows
from tests.large_sources import ArraySource
from tests.models.small import DETECTING, small


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
