"""Augmentation: picture, mask, boxes and regions stay aligned, and the seed alone decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.training.augment import Augmentation, augmented, fitted, seeded
from lookwhere_cli.training.object_masks import RASTER
from lookwhere_cli.training.sample import Sample

CLASS = 7


def rectangle(height: int, width: int, box: tuple[int, int, int, int]) -> Sample:
    """A green rectangle on black, told as mask, boxes, regions and objects."""
    left, top, right, bottom = box
    inside = torch.zeros(height, width, dtype=torch.uint8)
    inside[top:bottom, left:right] = 1
    picture = torch.stack([torch.zeros_like(inside), inside * 200, torch.zeros_like(inside)])
    sides = torch.tensor([box], dtype=torch.float32)
    kinds, rasters = torch.tensor([[1.0, 0.0]]), torch.ones(1, RASTER, RASTER)
    return Sample(picture, inside * CLASS, sides, inside, sides, kinds, rasters)


@st.composite
def rectangles(draw: st.DrawFn) -> Sample:
    height, width = draw(st.integers(24, 90)), draw(st.integers(24, 90))
    left, top = draw(st.integers(0, width - 12)), draw(st.integers(0, height - 12))
    right, bottom = draw(st.integers(left + 10, width)), draw(st.integers(top + 10, height))
    return rectangle(height, width, (left, top, right, bottom))


def extent(inside: torch.Tensor) -> list[float]:
    rows, columns = np.nonzero(inside.numpy())
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def assert_in_step(view: Sample, size: tuple[int, int]) -> None:
    """The green pixels, the class, the regions and the box agree to within one pixel at an edge."""
    assert view.picture.shape == (3, *size) and view.picture.dtype == torch.uint8
    assert view.mask is not None and view.regions is not None and view.boxes is not None
    assert view.mask.shape == view.regions.shape == size
    assert (view.mask == view.regions * CLASS).all()
    green = view.picture[1] > view.picture[1].max() / 2
    assert (green != view.regions.bool()).sum() <= 4 * sum(size)
    if view.regions.any():
        assert len(view.boxes) == 1
        assert extent(view.regions) == pytest.approx(view.boxes[0].tolist(), abs=1)
        assert extent(green) == pytest.approx(view.boxes[0].tolist(), abs=1.5)


SIZES = st.tuples(st.integers(24, 120), st.integers(24, 120))


@settings(max_examples=50, deadline=None)
@given(rectangles(), SIZES, st.integers(0, 2**62))
def test_all_parts_follow_every_augmentation(sample: Sample, size: tuple[int, int], seed: int) -> None:
    assert_in_step(augmented(sample, size, Augmentation(), seed), size)


@settings(max_examples=50, deadline=None)
@given(rectangles(), SIZES)
def test_all_parts_are_resized_together(sample: Sample, size: tuple[int, int]) -> None:
    view = fitted(sample, size)
    assert_in_step(view, size)
    assert sample.boxes is not None and view.boxes is not None
    factor = torch.tensor([size[1] / sample.picture.shape[2], size[0] / sample.picture.shape[1]] * 2)
    assert torch.allclose(view.boxes, sample.boxes * factor, atol=1e-3)


def are_equal(one: Sample, other: Sample) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(part is same if part is None or same is None else part.equal(same) for part, same in pairs)


def test_a_sample_of_the_right_size_is_unchanged() -> None:
    sample = rectangle(30, 40, (3, 4, 20, 25))
    assert are_equal(fitted(sample, (30, 40)), sample)


def test_reduced_masks_are_aligned_with_their_picture() -> None:
    """Each class is shown by a brightness of its own: the mask must name what the picture shows there."""
    levels = torch.arange(0, 240, dtype=torch.uint8).repeat(240, 1)
    view = fitted(Sample(levels.expand(3, -1, -1), levels), (80, 80))
    assert view.mask is not None
    assert (view.mask[:, 4:-4].int() - view.picture[0, :, 4:-4].int()).abs().max() <= 1
    assert view.mask[0, 10] == 31  # the middle of the pixels 30, 31, 32


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**62))
def test_the_seed_alone_decides_and_the_global_generator_is_untouched(seed: int) -> None:
    sample = rectangle(40, 50, (5, 6, 30, 35))
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = augmented(sample, (32, 48), Augmentation(), seed)
    assert torch.rand(3).equal(expected)
    again = augmented(sample, (32, 48), Augmentation(), seed)
    assert are_equal(first, again)


def test_the_sample_itself_is_unchanged() -> None:
    sample = rectangle(40, 50, (5, 6, 30, 35))
    before = Sample(*(part if part is None else part.clone() for part in sample))
    for seed in range(10):
        augmented(sample, (40, 50), Augmentation(area=(1.0, 1.0)), seed)
        augmented(Sample(sample.picture), (40, 50), Augmentation(magnitude=9, erase=1.0), seed)
    assert are_equal(sample, before)


def test_missing_parts_stay_missing_and_the_others_are_plain_tensors() -> None:
    sample = rectangle(40, 50, (5, 6, 30, 35))
    for given_sample in (sample, Sample(sample.picture), Sample(sample.picture, boxes=sample.boxes)):
        for view in (augmented(given_sample, (32, 48), Augmentation(), 0), fitted(given_sample, (32, 48))):
            assert [part is None for part in view] == [part is None for part in given_sample]
            assert all(part is None or type(part) is torch.Tensor for part in view)


def test_boxes_outside_the_crop_are_dropped() -> None:
    sample = rectangle(100, 100, (0, 0, 4, 4))._replace(mask=None, regions=None)
    views = [augmented(sample, (32, 32), Augmentation(area=(0.3, 0.4)), seed) for seed in range(30)]
    counts = [len(view.boxes) for view in views if view.boxes is not None]
    assert set(counts) == {0, 1}
    nothing = sample._replace(boxes=torch.zeros(0, 4))
    assert augmented(nothing, (32, 32), Augmentation(), 0).boxes.shape == (0, 4)  # type: ignore[union-attr]


def test_a_box_is_cut_to_the_crop() -> None:
    sample = Sample(torch.zeros(3, 60, 60, dtype=torch.uint8), boxes=torch.tensor([[-20.0, -20.0, 80.0, 80.0]]))
    for seed in range(10):
        assert augmented(sample, (32, 48), Augmentation(), seed).boxes.tolist() == [[0, 0, 48, 32]]  # type: ignore[union-attr]


def test_the_recipe_selects_the_changes() -> None:
    picture = torch.randint(1, 255, (3, 40, 40), dtype=torch.uint8)
    still = Augmentation(area=(1.0, 1.0), jitter=1.0, flip=False, colour=0.0)
    assert augmented(Sample(picture), (40, 40), still, 0).picture.equal(picture)

    def views(**change: object) -> list[torch.Tensor]:
        recipe = Augmentation(**({"area": (1.0, 1.0), "jitter": 1.0, "flip": False, "colour": 0.0} | change))
        return [augmented(Sample(picture), (40, 40), recipe, seed).picture for seed in range(40)]

    assert 8 < sum(view.equal(picture.flip(-1)) for view in views(flip=True)) < 32
    assert all(not view.equal(picture) for view in views(colour=0.3))
    assert sum(not view.equal(picture) for view in views(magnitude=9)) > 20
    erased = [(view != picture).any(0) for view in views(erase=0.5)]
    assert 8 < sum(bool(hole.any()) for hole in erased) < 32
    assert all(0.01 < hole.float().mean() < 0.5 for hole in erased if hole.any())


@pytest.mark.parametrize("part", ["mask", "boxes", "regions"])
def test_changes_that_move_pixels_are_for_bare_pictures(part: str) -> None:
    sample = rectangle(40, 50, (5, 6, 30, 35))
    known = Sample(sample.picture)._replace(**{part: getattr(sample, part)})
    for seed in range(10):
        gentle = augmented(known, (32, 48), Augmentation(), seed).picture
        assert augmented(known, (32, 48), Augmentation(magnitude=30, erase=1.0), seed).picture.equal(gentle)


def test_crops_have_the_share_and_nearly_the_shape_of_the_recipe() -> None:
    """A picture whose pixels tell where they are: the view's corners tell the crop."""
    height, width, size = 200, 250, (40, 60)
    place = torch.stack(
        [torch.arange(height)[:, None].expand(-1, width), torch.arange(width).expand(height, -1), torch.zeros(200, 250)]
    )
    still = Augmentation(area=(0.3, 0.6), flip=False, colour=0.0)
    shares = []
    for seed in range(60):
        view = augmented(Sample(place.to(torch.uint8)), size, still, seed).picture.float()
        high = (view[0, -1, 0] - view[0, 0, 0]) * 40 / 39
        wide = (view[1, 0, -1] - view[1, 0, 0]) * 60 / 59
        shares.append(float(high * wide) / (height * width))
        assert 1.5 / 1.4 < wide / high < 1.5 * 1.4
    assert 0.27 < min(shares) < 0.36 and 0.54 < max(shares) < 0.63


def test_seeded_restores_the_generator_after_an_error() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with pytest.raises(KeyError), seeded(1):
        torch.rand(5)
        raise KeyError
    assert torch.rand(3).equal(expected)
