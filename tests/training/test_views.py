"""Views lie inside their photograph, depend on the seed alone, and are divided among processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.training.distil.views import ViewRecipe, Views, augment_view, crop_box, draw_step
from tests.training.tiny import photographs

RECIPE = ViewRecipe(sizes=(32, 48), patch=8, k=(2, 30), mixed=0.5)


@given(st.integers(1, 3000), st.integers(1, 3000), st.floats(0.3, 3), st.integers(0, 1000))
def test_a_crop_lies_inside_its_picture(height: int, width: int, aspect: float, seed: int) -> None:
    left, top, right, bottom = crop_box(height, width, aspect, (0.2, 1.0), np.random.default_rng(seed))
    assert 0 <= left < right <= width + 1e-6
    assert 0 <= top < bottom <= height + 1e-6


@given(st.integers(0, 10_000))
def test_a_step_draws_within_its_recipe(step: int) -> None:
    drawn = draw_step(RECIPE, 0, step)
    cells = drawn.grid[0] * drawn.grid[1]
    assert 2 <= drawn.k <= min(30, cells)
    assert cells <= 36
    assert 0.5 <= drawn.mix <= 1
    assert drawn == draw_step(RECIPE, 0, step)


def test_steps_differ_in_shape_k_and_mix() -> None:
    drawn = [draw_step(RECIPE, 0, step) for step in range(60)]
    assert len({one.grid for one in drawn}) > 3
    assert len({one.k for one in drawn}) > 10
    assert 15 < sum(one.mix < 1 for one in drawn) < 45


def test_processes_share_one_batch(tmp_path: Path) -> None:
    paths = sorted(map(str, photographs(tmp_path / "a").iterdir()))
    whole = Views([paths], RECIPE, 6, seed=1, steps=4, share=(0, 1))
    parts = [Views([paths], RECIPE, 6, seed=1, steps=4, share=(rank, 2)) for rank in range(2)]
    for step in range(4):
        together = torch.stack([part[step].pictures for part in parts], dim=1).flatten(0, 1)
        assert together.equal(whole[step].pictures)
    assert not whole[0].pictures.equal(Views([paths], RECIPE, 6, seed=2, steps=4, share=(0, 1))[0].pictures)


def test_several_folders_are_drawn_from_evenly(tmp_path: Path) -> None:
    from PIL import Image

    white, black = tmp_path / "white", tmp_path / "black"
    for folder, count, value in ((white, 1, 255), (black, 20, 0)):
        folder.mkdir()
        for index in range(count):
            Image.new("RGB", (40, 40), (value,) * 3).save(folder / f"{index}.png")
    folders = [sorted(map(str, folder.iterdir())) for folder in (white, black)]
    views = Views(folders, ViewRecipe(sizes=(16,), patch=8, magnitude=0), 100, seed=0, steps=1, share=(0, 1))[
        0
    ].pictures
    assert 35 < (views.float().mean((1, 2, 3)) > 128).sum() < 65


def test_augmentation_depends_on_its_seed_alone() -> None:
    view = torch.randint(0, 256, (3, 24, 24), dtype=torch.uint8)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    recipe = ViewRecipe(magnitude=9)
    first = augment_view(view, recipe, seed=3)
    assert torch.rand(1).equal(expected)
    assert first.equal(augment_view(view, recipe, seed=3))
    assert any(not first.equal(augment_view(view, recipe, seed=seed)) for seed in range(10))


def test_colours_change_within_their_share() -> None:
    view = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    recipe = ViewRecipe(magnitude=0, colour=0.2)
    levels = torch.stack([augment_view(view, recipe, seed).float().mean() for seed in range(30)])
    assert levels.min() >= 79
    assert levels.max() <= 121
    assert levels.std() > 3
    assert augment_view(view, ViewRecipe(magnitude=0), 0).equal(view)


def test_the_share_of_square_views_is_the_recipes() -> None:
    shapes = {
        share: [draw_step(ViewRecipe(squares=share), 0, step).grid for step in range(60)] for share in (0.0, 0.5, 1.0)
    }
    squares = {share: sum(rows == columns for rows, columns in grids) for share, grids in shapes.items()}
    assert squares[1.0] == 60
    assert squares[0.0] < squares[0.5] - 10 < 45


def test_coarse_patches_are_read_in_some_steps_and_change_no_other_draw() -> None:
    plain, coarse = (
        [draw_step(ViewRecipe(mixed=0.5, coarse=size), 0, step) for step in range(60)] for size in (0, 128)
    )
    assert [(one.grid, one.k, one.mix) for one in plain] == [(one.grid, one.k, one.mix) for one in coarse]
    assert {one.coarse for one in plain} == {0}
    assert 15 < sum(one.coarse == 128 for one in coarse) < 45
