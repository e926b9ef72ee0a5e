"""Masks of objects: what training samples is what an answer shows, in the picture as displayed."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookwhere_cli.errors import ModelError
from lookwhere_cli.heads.detect import DetectHead
from lookwhere_cli.heads.object_masks import box_terms, mask_probabilities, mask_values
from lookwhere_cli.heads.training import object_masks as training
from lookwhere_cli.heads.training.detect import BoxesTraining
from lookwhere_cli.images.frame import Mode, Reading
from lookwhere_cli.images.view import View, view_of
from lookwhere_cli.macs import passes
from lookwhere_cli.metrics.scores import FoundInstances, Outlines, TrueBoxes, Truth
from lookwhere_cli.models.candidates import MASK_PLACES, MASK_SIDE, MASK_TERMS, split_numbers
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.detector import Detector, points_of
from lookwhere_cli.options import Options
from lookwhere_cli.output.masks.run_lengths import area_of, decode
from lookwhere_cli.probabilities import sigmoid
from tests.models.small import DETECTING, noise, small, some_cells

MASKED = replace(DETECTING, detect_mask_channels=3)
HEAD = BoxesTraining()
ALIKE = torch.ones(3)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([1, 2, 4]),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 2**31),
    st.tuples(st.floats(-1, 4), st.floats(-1, 4), st.floats(0.3, 5), st.floats(0.3, 5)),
)
def test_an_answer_samples_what_training_does(
    side: int, grid: tuple[int, int], seed: int, box: tuple[float, float, float, float]
) -> None:
    cells = some_cells(1, int(np.random.default_rng(seed).integers(1, grid[0] * grid[1] + 1)), grid[0] * grid[1], seed)
    points = points_of(cells, grid, side)
    numbers = noise(1, points.shape[1], 3 + MASK_TERMS + (MASK_PLACES // side) ** 2 * 3, seed=seed)
    assert training.points_per_side(points) == side
    assert training.count_channels(numbers.shape[-1], side) == 3
    sides = torch.tensor([[box[0], box[1], box[0] + box[2], box[1] + box[3]]])
    with patch.object(training, "GROWN", 1.0):
        dense = training.dense_values(points, numbers, 3, side)
        learned = training._predicted(numbers[0, :1, : 3 + MASK_TERMS], dense[0], sides)
    values = mask_values(points[0].numpy(), numbers[0].numpy(), 3, side)
    answered = mask_probabilities(values, numbers[0, :1].numpy(), sides.numpy())
    np.testing.assert_allclose(answered[0].ravel(), learned[0].sigmoid().numpy(), atol=1e-4)


def seen(height: int, width: int, mode: Mode) -> View:
    return view_of(np.zeros((height, width, 3), np.uint8), Reading(4, 32, mode))


def disc(view: View, side: int, centre: tuple[float, float], radius: float) -> NDArray[np.float32]:
    """Candidates of all cells; the points near the centre (in cells) find a box around a disc, and its values show it.

    The first channel is the distance from the disc's edge, inside positive.
    """
    grid = view.grid
    points = points_of(torch.arange(grid[0] * grid[1])[None], grid, side)[0].numpy()
    each = MASK_PLACES // side
    offsets = (np.arange(each) + 0.5 - each / 2) / MASK_PLACES
    x = points[:, 0, None, None] + offsets + np.zeros((each, 1))
    y = points[:, 1, None, None] + offsets[:, None] + np.zeros((1, each))
    distance = radius - np.hypot(x - centre[0], y - centre[1])
    values = np.stack([distance, np.ones_like(distance), -distance], axis=-1).reshape(len(points), -1)
    boxes = np.tile([centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius], (len(points), 1))
    near = np.abs(points - centre).max(axis=1) < 0.6
    scores = np.full((len(points), 3), -20.0)
    scores[near, 1] = 3.0
    factors = np.tile([20.0, 0.0, 0.0, *[0.0] * MASK_TERMS], (len(points), 1))
    return np.column_stack([boxes, points, scores, factors, values]).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([1, 2, 4]),
    st.tuples(st.integers(40, 160), st.integers(40, 160)),
    st.sampled_from(["whole", "stretch"]),
    st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
)
def test_masks_lie_in_the_picture_as_displayed(
    side: int, size: tuple[int, int], mode: Mode, place: tuple[float, float]
) -> None:
    view = seen(*size, mode)
    rows, columns = view.grid
    centre, radius = (place[0] * columns, place[1] * rows), 0.25 * min(view.grid)
    head = DetectHead(replace(MASKED, detect_points=side), masks=True)
    (found,) = head.decode(disc(view, side, centre, radius), view).detections
    assert found.mask is not None
    mask = decode(found.mask)
    assert mask.shape == size
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    true = np.hypot(x * columns / size[1] - centre[0], y * rows / size[0] - centre[1]) < radius
    assert (mask & true).sum() / (mask | true).sum() > 0.9


def test_two_things_in_one_box_differ_by_their_factors() -> None:
    view = seen(64, 64, "whole")
    output = disc(view, 1, (4.5, 4.5), 2)
    outside = output.copy()
    outside[:, 9] = -20
    (inner,) = DetectHead(replace(MASKED, detect_points=1), masks=True).decode(output, view).detections
    (outer,) = DetectHead(replace(MASKED, detect_points=1), masks=True).decode(outside, view).detections
    assert inner.mask is not None and outer.mask is not None
    assert not (decode(inner.mask) & decode(outer.mask)).any()
    assert area_of(inner.mask) + area_of(outer.mask) == 32 * 32


def test_a_new_model_finds_ellipses() -> None:
    torch.manual_seed(0)
    made = Detector(MASKED)(noise(1, 36, 24), torch.arange(36)[None], (6, 6))[0].detach().numpy()
    _, numbers = split_numbers(made, 3)
    values = mask_values(made[:, 4:6], numbers, 3, 2)
    (mask,) = mask_probabilities(values, numbers[60:61], np.array([[1.0, 1, 5, 4]]))
    terms = box_terms()
    ellipse = terms[..., 3] + terms[..., 4] < 1
    assert ((mask > 0.5) == ellipse).mean() > 0.95


@pytest.mark.parametrize("points", [1, 2, 4])
def test_the_numbers_of_masks_follow_those_of_boxes(points: int) -> None:
    config = replace(MASKED, detect_points=points)
    chosen = Chosen(noise(2, 5, 3, 4, 4), some_cells(2, 5, 36), (6, 6), noise(2, 1, config.dim))
    made = small(config).answer(chosen)
    boxes, numbers = split_numbers(made, 3)
    assert boxes.shape == (2, 5 * points**2, 9)
    assert numbers.shape == (2, 5 * points**2, 3 + MASK_TERMS + (MASK_PLACES // points) ** 2 * 3)
    labeller = DetectHead(config).labeller
    best = made[0, :, 6:9].numpy().max(axis=0)
    assert labeller.picture_labels(made[0].numpy())[0].probability == pytest.approx(sigmoid(best).max())


def test_masks_cost_what_their_layers_and_their_places_do() -> None:
    plain, masked = (passes.count_detect(one, (6, 6), (3, 3), 10).total for one in (DETECTING, MASKED))
    layers = Detector(MASKED).masks
    assert layers is not None
    weights = sum(each.weight.numel() for each in layers.children() if isinstance(each, torch.nn.Linear))
    assert masked - plain == 10 * weights
    view = seen(64, 64, "whole")
    head = DetectHead(replace(MASKED, detect_points=1), masks=True)
    found = head.decode(disc(view, 1, (4.5, 4.5), 2), view)
    assert head.row_fields(found)["macs"] == MASK_SIDE**2 * (3 + MASK_TERMS)
    boxes = replace(head, masks=False)
    assert "macs" not in boxes.row_fields(boxes.decode(disc(view, 1, (4.5, 4.5), 2), view))


def test_a_model_of_boxes_has_no_masks() -> None:
    with pytest.raises(ModelError, match="'my-model' finds boxes without masks; leave masks out, or train a model"):
        DetectHead(DETECTING).with_options(Options(masks=True), "my-model")
    assert DetectHead(MASKED).with_options(Options(masks=True), "my-model").masks


def test_masks_are_scored_where_outlines_are_known() -> None:
    view = seen(64, 64, "whole")
    head = DetectHead(replace(MASKED, detect_points=1))
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    polygon = (np.stack([np.cos(angles), np.sin(angles)], 1) * 16 + 36).ravel().tolist()
    box = np.array([[20, 20, 52, 52]], np.float32)
    for outlines, known in ((Outlines((64, 64), ([polygon],)), True), (None, False)):
        truth = Truth(
            (1,), lambda: np.zeros((1, 1), np.int64), TrueBoxes(box, np.array([1]), np.zeros(1, bool), outlines)
        )
        measured = head.measure(disc(view, 1, (4.5, 4.5), 2), truth, view)
        assert isinstance(measured, FoundInstances)
        scorer = head.scorer(np.arange(3))
        scorer.add([measured], [truth])
        metrics = scorer.scores().metrics
        assert ("mask_ap" in metrics) == known and metrics["ap50"].value == pytest.approx(1)
        if known:
            assert metrics["mask_ap75"].value == pytest.approx(1)
    scorer.add([measured.boxes], [truth])  # as tiles are measured
    assert "mask_ap" not in scorer.scores().metrics


def target(mask: torch.Tensor) -> torch.Tensor:
    return HEAD.stack([torch.cat([torch.tensor([1.0, 1.0, 3.0, 3.0, 2.0, 0.0]), mask.flatten()])[None]])


def test_a_mask_that_is_right_costs_little_and_an_unknown_one_nothing() -> None:
    points = points_of(torch.arange(16)[None], (4, 4), 1)
    inside = ((points > 1) & (points < 3)).all(-1, keepdim=True)
    boxes = torch.where(inside, torch.tensor([1.0, 1.0, 3.0, 3.0]), torch.cat([points - 1, points + 1], dim=-1))
    scores = torch.full((1, 16, 3), -20.0)
    scores[..., 2] = torch.where(inside[..., 0], 20.0, -20.0)
    terms = torch.tensor([0.0, 6.0, 0.0, 0.0, 0.0, 0.0]).expand(1, 16, -1)  # the right half of each box
    numbers = torch.cat([torch.zeros(1, 16, 2), terms, torch.zeros(1, 16, 2 * MASK_PLACES**2)], dim=-1)
    logits = torch.cat([boxes, points, scores, numbers], dim=-1).requires_grad_()
    half = torch.zeros(MASK_SIDE, MASK_SIDE)
    half[:, MASK_SIDE // 2 :] = 1
    right, wrong, unknown = (
        HEAD.loss(logits, target(one), ALIKE) for one in (half, 1 - half, torch.full_like(half, torch.nan))
    )
    plain = HEAD.loss(logits, target(half)[..., :6], ALIKE)
    assert unknown.item() == pytest.approx(plain.item(), abs=1e-6)
    assert plain.item() < right.item() < plain.item() + 1.5  # the rim beyond the box, too
    assert wrong.item() > right.item() + 2
    unknown.backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
