"""Views of parts of four pictures: the parts lie side by side, with their masks and objects, none magnified more."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.training.augment import Augmentation
from lookwhere_cli.training.mosaic import EDGE, PARTS, mosaic
from lookwhere_cli.training.sample import Sample
from tests.training.test_augment import CLASS, rectangle, rectangles

STILL = Augmentation(area=(1.0, 1.0), jitter=1.0, flip=False, colour=0.0)
SEEDS = st.integers(0, 2**62)


def bare_of_regions(sample: Sample) -> Sample:
    return sample._replace(boxes=None, regions=None)


def filled(level: int, side: int = 100) -> Sample:
    return Sample(torch.full((3, side, side), level, dtype=torch.uint8))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(rectangles(), min_size=PARTS, max_size=PARTS), st.tuples(st.integers(48, 120), st.integers(48, 120)), SEEDS
)
def test_masks_and_objects_follow_their_parts(samples: list[Sample], size: tuple[int, int], seed: int) -> None:
    view = mosaic([bare_of_regions(one) for one in samples], size, replace(STILL, flip=True), seed)
    assert view.picture.shape == (3, *size) and view.mask is not None and view.mask.shape == size
    assert ((view.picture[1] > 100) != (view.mask == CLASS)).sum() <= 8 * sum(size)  # pixels at edges
    assert view.objects is not None and view.kinds is not None and view.rasters is not None
    assert len(view.objects) == len(view.kinds) == len(view.rasters) <= PARTS
    for left, top, right, bottom in view.objects.round().int().tolist():
        assert 0 <= left < right <= size[1] and 0 <= top < bottom <= size[0]
        assert (view.mask[top:bottom, left:right] == CLASS).float().mean() > 0.5


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_four_parts_meet_in_a_point_that_is_not_at_the_edge(seed: int) -> None:
    levels = (10, 20, 30, 40)
    view = mosaic([filled(level) for level in levels], (80, 100), STILL, seed).picture[0]
    down, across = int((view[:, 0] == levels[0]).sum()), int((view[0] == levels[0]).sum())
    assert 80 * EDGE - 1 <= down <= 80 * (1 - EDGE) + 1 and 100 * EDGE - 1 <= across <= 100 * (1 - EDGE) + 1
    parts = view[:down, :across], view[:down, across:], view[down:, :across], view[down:, across:]
    assert [part.unique().tolist() for part in parts] == [[level] for level in levels]


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_a_part_is_not_magnified_more_than_a_view_of_one_picture(seed: int) -> None:
    samples = [bare_of_regions(rectangle(100, 100, (46, 46, 54, 54)))] * PARTS
    view = mosaic(samples, (200, 200), STILL, seed)  # twice as large: so is what is whole
    assert view.objects is not None
    sides = (view.objects[:, 2:] - view.objects[:, :2]).flatten()
    assert (sides <= 17).all()


def test_areas_above_one_reduce_the_parts_so_that_they_show_more() -> None:
    samples = [bare_of_regions(rectangle(100, 100, (20, 20, 30, 30)))] * PARTS
    shown, side = {}, {}
    for most in (1.0, 4.0):
        views = [mosaic(samples, (200, 200), replace(STILL, area=(most, most)), seed) for seed in range(20)]
        boxes = torch.cat([view.objects for view in views if view.objects is not None])
        shown[most], side[most] = len(boxes), (boxes[:, 2:] - boxes[:, :2]).mean()
    assert shown[4.0] > 1.25 * shown[1.0] and side[4.0] < 0.7 * side[1.0]


def test_most_mosaics_of_pictures_with_objects_have_some() -> None:
    samples = [bare_of_regions(rectangle(100, 100, (40, 40, 60, 60)))] * PARTS
    views = [mosaic(samples, (200, 200), STILL, seed) for seed in range(20)]
    assert sum(view.objects is not None and len(view.objects) > 0 for view in views) > 10


def test_square_mosaics_are_transposed_if_turns_are_asked_for() -> None:
    picture = torch.zeros(3, 100, 100, dtype=torch.uint8)
    picture[:, 40:60] = 200  # lies across, whatever is mirrored
    band = [Sample(picture)] * PARTS
    for turn in (False, True):
        views = [mosaic(band, (100, 100), replace(STILL, turn=turn), seed).picture[0].float() for seed in range(10)]
        stands = [bool((view.mean(0) > 150).any()) for view in views]
        assert any(stands) == turn


def test_the_seed_alone_decides_and_parts_that_are_missing_stay_so() -> None:
    samples = [filled(level) for level in (10, 20, 30, 40)]
    first, again, other = (mosaic(samples, (64, 64), Augmentation(), seed).picture for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert all(part is None for part in mosaic(samples, (64, 64), Augmentation(), 1)[1:])


@pytest.mark.parametrize("count", [PARTS - 1, PARTS + 1])
def test_a_mosaic_has_four_parts(count: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        mosaic([filled(10)] * count, (64, 64), STILL, 0)
