"""The teacher's map, by its definition."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lookwhere_cli.errors import UsageError
from lookwhere_cli.training.distil.teacher import MapRecipe, Teacher, resize_grid, without_sinks
from lookwhere_cli.training.timm_models import load_vit
from tests.training.tiny import teacher_file

QUERIES = {"cls": [0], "registers": [1, 2], "patches": list(range(3, 19))}


def by_definition(teacher: Teacher, pictures: torch.Tensor, recipe: MapRecipe) -> torch.Tensor:
    """All queries, all heads, the last blocks, in plain loops over timm's own blocks."""
    vit = teacher.vit
    tokens = vit._pos_embed(vit.patch_embed((pictures - teacher.mean) / teacher.std))
    maps = []
    for block in vit.blocks:
        q, k, _ = block.attn.qkv(block.norm1(tokens)).unflatten(-1, (3, 1, 48)).permute(2, 0, 3, 1, 4)
        scores = q @ k.mT / 48**0.5
        maps.append(scores.softmax(-1) if recipe.softmax else scores)
        tokens = block(tokens)
    mean = torch.stack(maps[-(recipe.layers or len(maps)) :]).mean((0, 2))[:, QUERIES[recipe.queries], 3:].mean(1)
    return mean.log() if recipe.softmax else mean


@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.parametrize("layers", [1, 2, 0])
def test_the_map_is_the_mean_of_the_logits(tmp_path: Path, queries: str, layers: int) -> None:
    source = load_vit(str(teacher_file(tmp_path, reg_tokens=2, no_embed_class=True)))
    recipe = MapRecipe(queries, layers)  # type: ignore[arg-type]
    teacher = Teacher(source, recipe)
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    targets = teacher(pictures)
    with torch.no_grad():
        torch.testing.assert_close(targets.map, by_definition(teacher, pictures, recipe), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(targets.logits, source.vit((pictures - 0.5) / 0.5))


def test_after_softmax_it_is_the_log_of_the_mean_attention(tmp_path: Path) -> None:
    recipe = MapRecipe("patches", 1, softmax=True)
    teacher = Teacher(load_vit(str(teacher_file(tmp_path, reg_tokens=2, no_embed_class=True))), recipe)
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(
            teacher(pictures).map, by_definition(teacher, pictures, recipe), rtol=1e-4, atol=1e-5
        )


def test_a_sinks_score_becomes_the_mean_of_its_neighbours() -> None:
    map = torch.arange(12.0)[None]
    patches = torch.ones(1, 12, 5)
    patches[:, [0, 11]] *= torch.tensor([0.1, 9.0])[:, None]  # of small and of large norm
    expected = map.clone()
    expected[:, 0], expected[:, 11] = (1 + 4 + 5) / 3, (6 + 7 + 10) / 3
    torch.testing.assert_close(without_sinks(map, patches, (3, 4)), expected)
    assert without_sinks(map, torch.ones(1, 12, 5), (3, 4)).equal(map)


def test_a_sink_among_sinks_gets_the_mean_of_all_others() -> None:
    patches = torch.ones(1, 5, 2)
    patches[:, :2] = 0.01
    map = torch.tensor([[9.0, 9.0, 1.0, 2.0, 6.0]])
    torch.testing.assert_close(without_sinks(map, patches, (1, 5)), torch.tensor([[3.0, 1.0, 1.0, 2.0, 6.0]]))


def test_a_teacher_without_sinks_scores_all_other_cells_as_before(tmp_path: Path) -> None:
    source = load_vit(str(teacher_file(tmp_path)))
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with_sinks = Teacher(source, MapRecipe())(pictures)
    teacher = Teacher(source, MapRecipe(sinks=False))
    expected = without_sinks(with_sinks.map, with_sinks.patches, teacher.grid)
    torch.testing.assert_close(teacher(pictures).map, expected)


def test_pictures_are_resized_to_the_teachers_size(tmp_path: Path) -> None:
    teacher = Teacher(load_vit(str(teacher_file(tmp_path))), MapRecipe())
    assert teacher.resize(torch.rand(1, 3, 50, 70)).shape == (1, 3, 32, 32)
    assert teacher(torch.rand(1, 3, 50, 70)).cls.shape == (1, 48)


def test_a_resized_ramp_still_rises() -> None:
    ramp = torch.arange(4.0).repeat(4)[None, None]
    assert resize_grid(ramp, (4, 4), (4, 4)) is ramp
    assert resize_grid(ramp, (4, 4), (2, 8)).unflatten(-1, (2, 8))[0, 0].diff(dim=1).ge(0).all()


@pytest.mark.parametrize(
    ("recipe", "words"), [(MapRecipe(layers=4), "last 4 blocks"), (MapRecipe("registers"), "has no registers")]
)
def test_an_impossible_map_is_refused(tmp_path: Path, recipe: MapRecipe, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Teacher(load_vit(str(teacher_file(tmp_path))), recipe)


@pytest.mark.parametrize("sinks", [True, False])
def test_a_map_is_made_in_float32_where_the_rest_is_bfloat16(tmp_path: Path, sinks: bool) -> None:
    teacher = Teacher(load_vit(str(teacher_file(tmp_path))), MapRecipe(sinks=sinks))
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = teacher(pictures)
    assert made.map.dtype == torch.float32
    assert all(not scores.bfloat16().float().equal(scores) for scores in made.map)
