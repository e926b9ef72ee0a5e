"""Candidates of a detection model: points of the cells that were read, boxes around them, whatever the order."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lookwhere_cli.models.candidates import BOX, CLASSES, POINT
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.detector import Detector, points_of
from lookwhere_cli.models.lookwhere import LookWhere
from tests.models.small import DETECTING, chosen_at, noise, small, some_cells


def test_each_cell_has_its_points() -> None:
    cells = torch.tensor([[0, 8]])
    assert points_of(cells, (3, 5), 1).tolist() == [[[0.5, 0.5], [3.5, 1.5]]]
    four = points_of(cells, (3, 5), 2)[0, 4:]
    assert four.tolist() == [[3.25, 1.25], [3.75, 1.25], [3.25, 1.75], [3.75, 1.75]]
    assert points_of(cells, (3, 5), 4).shape == (1, 32, 2)


@pytest.mark.parametrize("points", [1, 2, 4])
def test_boxes_lie_around_their_points(points: int) -> None:
    config = replace(DETECTING, detect_points=points)
    model, cells = small(config), some_cells(2, 5, 36)
    made = model.answer(Chosen(noise(2, 5, 3, 4, 4), cells, (6, 6), noise(2, 1, config.dim)))
    assert made.shape == (2, 5 * points**2, 6 + len(config.labels)) and made.dtype == torch.float32
    assert (made[..., BOX][..., :2] < made[..., POINT]).all() and (made[..., POINT] < made[..., BOX][..., 2:]).all()
    assert made[..., CLASSES].shape[-1] == len(config.labels)
    assert made[..., POINT].equal(points_of(cells, (6, 6), points))


def test_the_order_of_the_cells_does_not_matter() -> None:
    model, patches = small(DETECTING), noise(1, 36, 3, 4, 4)
    cells = some_cells(1, 7, 36)
    one = model.answer(chosen_at(patches, cells, (6, 6), noise(1, 1, 24)))
    other = model.answer(chosen_at(patches, cells.flip(1), (6, 6), noise(1, 1, 24)))
    torch.testing.assert_close(one.view(7, 4, -1), other.view(7, 4, -1).flip(0))


def test_dropped_cells_have_no_candidates_and_returned_ones_have() -> None:
    chosen = Chosen(noise(1, 20, 3, 4, 4), some_cells(1, 20, 36), (6, 6), noise(1, 1, 24))
    pruning = replace(DETECTING, extractor_depth=5, prune=3)
    assert small(pruning).answer(chosen).shape[1] < 20 * 4
    assert small(replace(pruning, prune_fusion=True)).answer(chosen).shape[1] == 20 * 4


def test_a_new_detector_takes_nearly_everything_for_background() -> None:
    torch.manual_seed(0)
    made = Detector(DETECTING)(noise(1, 36, 24), torch.arange(36)[None], (6, 6))
    assert made[..., CLASSES].sigmoid().max() < 0.05
    sides = made[..., BOX][..., 2:] - made[..., BOX][..., :2]
    assert sides.min() > 1.5 and sides.max() < 3


def test_boxes_are_exact_in_mixed_precision() -> None:
    detector, tokens, cells = small(DETECTING).detector, noise(1, 36, 24), torch.arange(36)[None]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = detector(tokens, cells, (6, 6))
    assert mixed.equal(detector(tokens, cells, (6, 6)))


def test_no_box_is_infinite() -> None:
    model = small(DETECTING)
    made = model.detector(noise(1, 36, 24) * 1e4, torch.arange(36)[None], (6, 6))
    assert made[..., BOX].isfinite().all()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"detect_points": 3}, "detect_points is 3; it must be one of 1, 2, 4"),
        ({"detect_channels": 0}, "detect_channels is 0; it must be at least 1"),
        ({"labels": ()}, "task is 'detect' and labels is empty"),
        ({"prune": 2, "coarse_size": 8}, "would drop coarse patches that the answer needs"),
        ({"looks": (0.1, 0.5)}, "task 'detect'"),
    ],
)
def test_impossible_configs_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(DETECTING, **values)


def test_only_detection_models_store_what_detection_needs() -> None:
    assert "detect_points" in DETECTING.to_dict()
    assert not any(name.startswith("detect_") for name in replace(DETECTING, task="classify").to_dict())
    assert Config.from_dict(DETECTING.to_dict()) == DETECTING
    assert isinstance(LookWhere(DETECTING).detector, Detector)
