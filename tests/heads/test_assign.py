"""Which point learns which box: the smallest one near whose centre it lies, and no box is left out without need."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.heads.training.assign import NONE, RADIUS, SHARE, assign, inside
from lookwhere_cli.models.detector import points_of

GRID = (5, 7)
ALL = points_of(torch.arange(35)[None], GRID, 2)
SIDE = st.floats(0.25, 6, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> torch.Tensor:
    """A few boxes, in cells of the grid."""
    corners = draw(st.lists(st.tuples(st.floats(0, 6, width=32), st.floats(0, 4, width=32), SIDE, SIDE), max_size=5))
    return torch.tensor([[x, y, min(x + w, 7), min(y + h, 5)] for x, y, w, h in corners]).reshape(1, -1, 4)


def numbers(found: torch.Tensor, points: torch.Tensor = ALL) -> list[int]:
    return assign(points, found, torch.ones(found.shape[:2], dtype=torch.bool))[0].tolist()


def area(box: torch.Tensor) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


@settings(max_examples=150)
@given(boxes())
def test_at_all_cells_every_box_that_is_the_smallest_at_some_point_has_a_point(found: torch.Tensor) -> None:
    own = numbers(found)
    within = inside(ALL, found)[0]
    for number, box in enumerate(found[0]):
        smaller = torch.tensor([area(other) < area(box) for other in found[0]])
        equal = torch.tensor([area(other) == area(box) for other in found[0]]).sum() > 1
        is_smallest = within[:, number] & ~(within & smaller).any(1)
        assert equal or not is_smallest.any() or number in own


@settings(max_examples=100)
@given(boxes(), st.lists(st.integers(0, 139), min_size=1, max_size=40, unique=True))
def test_a_point_that_belongs_to_a_box_lies_in_it_or_in_a_cell_that_touches_it(
    found: torch.Tensor, some: list[int]
) -> None:
    points = ALL[:, some]
    for (x, y), number in zip(points[0].tolist(), numbers(found, points), strict=True):
        if number != NONE:
            left, top, right, bottom = found[0, number].tolist()
            assert left < x // 1 + 1 and x // 1 < right and top < y // 1 + 1 and y // 1 < bottom


def test_points_near_the_centre_belong_to_a_box_and_those_far_from_it_do_not() -> None:
    own = torch.tensor(numbers(torch.tensor([[[0.0, 0.0, 7.0, 5.0]]])))
    reach = torch.tensor([max(RADIUS, SHARE * 7), max(RADIUS, SHARE * 5)])
    near = ((ALL[0] - torch.tensor([3.5, 2.5])).abs() <= reach).all(1)
    assert (own == 0).equal(near) and near.any() and not near.all()


def test_of_several_boxes_the_smallest_counts_and_the_larger_one_keeps_the_rest() -> None:
    own = torch.tensor(numbers(torch.tensor([[[1.0, 1.0, 6.0, 4.0], [3.0, 2.0, 4.0, 3.0]]])))
    small = inside(ALL, torch.tensor([[[3.0, 2.0, 4.0, 3.0]]]))[0, :, 0]
    assert (own[small] == 1).all() and (own == 1).sum() == 4 and (own == 0).sum() > 4


def test_a_box_whose_centre_was_not_read_takes_the_nearest_cell_that_touches_it() -> None:
    box = torch.tensor([[[0.0, 0.0, 7.0, 1.0]]])
    far, apart = points_of(torch.tensor([[0]]), GRID, 2), points_of(torch.tensor([[7]]), GRID, 2)
    assert sorted(numbers(box, far)) == [NONE, NONE, NONE, 0]
    assert numbers(box, apart) == [NONE] * 4


def test_a_box_gets_the_only_point_that_lies_in_it_though_a_smaller_one_is_nearer() -> None:
    box, thin = (
        [0.0, 0.0, 0.5, 0.5],
        [0.0, 0.0, 0.5, 0.25],
    )  # the first point, (0.25, 0.25), is at the edge of the thin one
    assert numbers(torch.tensor([[thin]]))[0] == 0
    assert numbers(torch.tensor([[box, thin]]))[0] == 0
    assert numbers(torch.tensor([[thin, box]]))[0] == 1


def test_boxes_that_are_not_there_have_no_points() -> None:
    found = torch.tensor([[[1.0, 1.0, 3.0, 3.0], [4.0, 1.0, 6.0, 3.0]]])
    own = assign(ALL, found, torch.tensor([[False, True]]))
    assert set(own[0].tolist()) == {NONE, 1}
    assert set(numbers(torch.zeros(1, 0, 4))) == {NONE}
