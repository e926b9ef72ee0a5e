"""The share of each cell that regions cover, and the mixture of classes in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.heads.training.segment import class_boundaries
from lookwhere_cli.training.finetune.coverage import region_coverage
from lookwhere_cli.training.sample import Sample


def sample(height: int, width: int, **parts: torch.Tensor) -> Sample:
    return Sample(torch.zeros(3, height, width, dtype=torch.uint8), **parts)


def boxes(*boxes: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def test_coverage_is_the_share_of_each_cell() -> None:
    grid, patch = (2, 3), 4
    told = sample(8, 12, boxes=boxes((0, 0, 4, 4), (6, 2, 10, 6)))
    assert region_coverage(told, grid, patch).tolist() == [1, 0.25, 0.25, 0, 0.25, 0.25]
    overlapping = sample(8, 12, boxes=boxes((0, 0, 2, 4), (1, 0, 3, 4)))
    assert region_coverage(overlapping, grid, patch).tolist() == [0.75, 0, 0, 0, 0, 0]
    tiny = sample(8, 12, boxes=boxes((5.4, 1.4, 5.6, 1.6)))
    assert region_coverage(tiny, grid, patch).tolist() == [0, 1 / 16, 0, 0, 0, 0]


def test_coverage_without_regions_is_zero() -> None:
    for told in (sample(8, 12), sample(8, 12, boxes=boxes())):
        assert region_coverage(told, (2, 3), 4).tolist() == [0] * 6


def test_coverage_joins_masks_and_boxes_and_leaves_out_unknown_pixels() -> None:
    regions = torch.zeros(4, 8, dtype=torch.uint8)
    regions[:2, :4] = 1
    regions[2:, 2:4] = 255
    before = regions.clone()
    told = sample(4, 8, regions=regions, boxes=boxes((4, 0, 6, 4)))
    assert region_coverage(told, (1, 2), 4).tolist() == pytest.approx([8 / 12, 0.5])
    assert regions.equal(before)
    unknown = sample(4, 8, regions=torch.full((4, 8), 255, dtype=torch.uint8))
    assert region_coverage(unknown, (1, 2), 4).tolist() == [0, 0]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.data())
def test_coverage_sums_to_the_area_of_the_box(rows: int, columns: int, patch: int, data: st.DataObject) -> None:
    height, width = rows * patch, columns * patch
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    shares = region_coverage(sample(height, width, boxes=boxes((left, top, right, bottom))), (rows, columns), patch)
    assert shares.shape == (rows * columns,) and shares.dtype == torch.float32
    assert shares.min() >= 0 and shares.max() <= 1
    assert float(shares.sum()) * patch**2 == pytest.approx((right - left) * (bottom - top))


def test_boundaries_are_where_classes_meet() -> None:
    mask = torch.tensor(
        [
            [5, 5, 5, 1, 255, 255],
            [5, 5, 2, 3, 255, 255],
            [0, 0, 254, 254, 9, 255],
            [0, 1, 254, 254, 4, 255],
        ],
        dtype=torch.uint8,
    )
    assert class_boundaries(mask, (2, 3)).tolist() == pytest.approx([0, 0.75, 0, 0.25, 0, 0.5])


@given(st.integers(0, 1000))
def test_boundaries_agree_with_counting_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (6, 9))
    expected = []
    for row in range(2):
        for column in range(3):
            values = mask[row * 3 : row * 3 + 3, column * 3 : column * 3 + 3]
            known = values[values != 255]
            expected.append(1 - max(np.bincount(known)) / len(known) if len(known) else 0)
    assert class_boundaries(torch.from_numpy(mask), (2, 3)).tolist() == pytest.approx(expected)
