"""The start of fine-tuning: weights that fit are kept, the others are resized or fresh."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from lookwhere_cli.amounts import ALL_CELLS
from lookwhere_cli.data.examples import Kind
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.training.finetune.model_config import config_for
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.finetune.start import start_of
from tests.models.small import GATED, LABELLED, PUBLISHED, SEGMENTING, SMALL, noise, small

BASE = LABELLED  # 6 x 6 cells of 4 px, 3 x 3 patches of thumbnail, 2 of 3 blocks in the selector
LABELS = ("cat", "dog", "bird")


def config(
    shape: Shape | None = None, kind: Kind = "single", labels: tuple[str, ...] = LABELS, **of_base: object
) -> Config:
    return config_for(replace(BASE, **of_base), shape or Shape(), kind, labels, (100, 100))  # type: ignore[arg-type]


def same(one: LookWhere, other: LookWhere, *but: str) -> None:
    """All weights are equal, but for those whose names begin so."""
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.equal(theirs[name]) != name.startswith(but), name


@pytest.mark.parametrize("base", [BASE, replace(PUBLISHED, labels=LABELS), replace(GATED, labels=LABELS)], ids="abc")
def test_a_model_of_the_same_shape_and_labels_keeps_all_weights(base: Config) -> None:
    asked = config_for(base, Shape(), "single", LABELS, (100, 100))
    assert asked == base
    same(start_of(small(base), asked), small(base))


@pytest.mark.parametrize(
    ("kind", "labels", "shape"),
    [
        ("single", ("cat", "dog", "cow"), Shape()),
        ("multi", LABELS, Shape()),
        ("single", LABELS, Shape(pool="max")),
    ],
)
def test_other_labels_or_another_task_start_with_a_fresh_head(
    kind: Kind, labels: tuple[str, ...], shape: Shape
) -> None:
    same(start_of(small(BASE), config(shape, kind, labels)), small(BASE), "head.")


def test_only_selector_models_have_a_coarse_thumbnail() -> None:
    assert config(Shape(coarse=16)).coarse_size == 16
    assert config(Shape(), coarse_size=16).coarse_size == 0  # what is not trained is not used
    assert config(Shape(method="full", coarse=16)).coarse_size == 0


def test_a_decoder_keeps_its_weights_for_the_same_labels() -> None:
    base = small(SEGMENTING)
    kept = config_for(SEGMENTING, Shape(decoder_channels=8, decoder_detail=0), "masks", LABELS, (9, 9))
    same(start_of(base, kept), base)
    same(start_of(base, replace(kept, labels=("a", "b", "c"))), base, "decoder.")
    with pytest.raises(AssertionError):
        same(start_of(base, replace(kept, decoder_channels=4)), base)


def test_a_decoder_sees_pixels_where_it_can() -> None:
    assert config(kind="masks").decoder_detail == 32
    assert config(Shape(method="full"), kind="masks").decoder_detail == 32
    assert config(kind="single").decoder_detail == 0
    linear, dropping = Shape(decoder_channels=0), Shape(prune=1, prune_fusion=False)
    assert config(linear, kind="masks").decoder_detail == config(dropping, kind="masks").decoder_detail == 0
    assert config(kind="masks", decoder_scale=3).decoder_detail == 0  # patches of 4 px


def test_the_start_is_a_trainable_float32_copy() -> None:
    base = small(BASE)
    model = start_of(base, config())
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in model.parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    same(base, small(BASE))


def test_half_precision_weights_become_float32() -> None:
    model = start_of(small(BASE).half(), config(Shape(size=32)))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_positions_are_resized_as_the_base_resizes_them() -> None:
    base = small(BASE)
    asked = config_for(BASE, Shape(size=32, thumbnail_size=16), "single", LABELS, (60, 100))
    assert asked.grid[0] < asked.grid[1] and asked.grid != BASE.grid
    assert asked.thumbnail_grid[0] < asked.thumbnail_grid[1]
    model = start_of(base, asked)
    assert model.extractor.positions(asked.grid).equal(base.extractor.positions(asked.grid))
    theirs = base.selector.backbone.positions(asked.thumbnail_grid)
    assert model.selector.backbone.positions(asked.thumbnail_grid).equal(theirs)
    assert model.extractor.prefix().equal(base.extractor.prefix())


@pytest.mark.parametrize("scale", [1, 3, 4])
def test_the_maps_pieces_are_resized(scale: int) -> None:
    base = small(BASE)
    model = start_of(base, replace(BASE, map_scale=scale))
    tokens = noise(1, 5, BASE.dim)
    ours, theirs = model.selector.head(tokens), base.selector.head(tokens)
    resized = F.interpolate(theirs.unflatten(-1, (2, 2)), (scale, scale), mode="bilinear", align_corners=False)
    torch.testing.assert_close(ours, resized.flatten(2))


def test_a_finer_grid_has_a_finer_map() -> None:
    assert config(Shape(size=48)).map_scale == 4
    assert config(Shape(size=48, thumbnail_size=24)).map_scale == 2
    assert config(Shape(size=28)).map_scale == 3  # 7 rows of cells, 3 of patches
    assert config(Shape(thumbnail_size=40)).map_scale == 1


def test_a_selector_grows_by_the_extractors_blocks_and_shrinks_from_its_end() -> None:
    base = small(BASE)
    deeper = start_of(base, config(Shape(selector_depth=3))).selector.backbone.blocks
    assert len(deeper) == 3
    for block, origin in zip(deeper, [*base.selector.backbone.blocks, base.extractor.blocks[2]], strict=True):
        for ours, theirs in zip(block.parameters(), origin.parameters(), strict=True):
            assert ours.equal(theirs)
    first = start_of(base, config(Shape(selector_depth=1))).selector.backbone.blocks
    assert len(first) == 1
    assert first[0].attn.qkv.weight.equal(base.selector.backbone.blocks[0].attn.qkv.weight)  # type: ignore


def test_full_is_the_extractor_on_all_cells() -> None:
    base, asked = small(BASE), config(Shape(method="full", size=32))
    assert (asked.selector_depth, asked.prefix, asked.k) == (0, "own", ALL_CELLS)
    model = start_of(base, asked)
    assert {name.partition(".")[0] for name in model.state_dict()} == {"extractor", "head"}
    for ours, theirs in zip(model.extractor.blocks.parameters(), base.extractor.blocks.parameters(), strict=True):
        assert ours.equal(theirs)
    again = config_for(asked, Shape(method="full"), "single", LABELS, (100, 100))
    same(start_of(model, again), model)


def test_replaced_prefix_tokens_get_no_gradient() -> None:
    published = replace(PUBLISHED, labels=LABELS)
    model = start_of(small(published), published)
    still = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert still == {"extractor.cls_token", "extractor.reg_token"}


def test_the_config_follows_the_task() -> None:
    multi, masks = config(kind="multi"), config(Shape(decoder_channels=16, pool="max"), "masks", ("road", "sky"))
    assert (multi.task, multi.multi_label, multi.labels, multi.decoder_channels) == ("classify", True, LABELS, 0)
    assert (masks.task, masks.multi_label, masks.labels) == ("segment", False, ("road", "sky"))
    assert (masks.decoder_channels, masks.pool) == (16, "cls")
    assert config(Shape(pool="max")).pool == "max"


def test_thumbnails_are_antialiased_as_in_training() -> None:
    assert config(thumbnail_filter="alias").thumbnail_filter == "antialias"


def test_the_coarse_thumbnail_of_the_start_is_dropped() -> None:
    assert config(coarse_size=16).coarse_size == 0


def test_a_features_model_gains_a_head() -> None:
    asked = config_for(replace(SMALL, task="features"), Shape(), "single", LABELS, (9, 9))
    assert (asked.task, asked.labels) == ("classify", LABELS)
    assert start_of(small(SMALL), asked).logits(noise(2, SMALL.dim)).shape == (2, 3)


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [
        (Shape(size=30), UsageError, "size is 30 pixels.*patch of 4 pixels; use 28 or 32"),
        (Shape(size=3), UsageError, "size is 3 pixels.* use 4"),
        (Shape(coarse=18), UsageError, "size is 18 pixels.* use 16 or 20"),
        (Shape(thumbnail_size=18), UsageError, "size is 18 pixels.* use 16 or 20"),
        (Shape(selector_depth=4), UsageError, "at most the extractor's 3 blocks, not 4"),
    ],
)
def test_an_impossible_shape_is_refused(shape: Shape, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        config(shape)


def test_a_start_without_a_selector_needs_method_full() -> None:
    with pytest.raises(ModelError, match=r"has no selector.*--method full"):
        config(selector_depth=0, prefix="own")


def test_labels_of_pictures_keep_the_spacing_unless_regions_teach_the_selector() -> None:
    assert config(map_spacing=0.7).map_spacing == 0.7
    assert config_for(replace(BASE, map_spacing=0.7), Shape(), "single", LABELS, (9, 9), "attention").map_spacing == 0.7
    assert config_for(replace(BASE, map_spacing=0.7), Shape(), "single", LABELS, (9, 9), "look").map_spacing == 0
    assert config(kind="boxes", map_spacing=0.7).map_spacing == 0
    assert config(kind="masks", map_spacing=0.7).map_spacing == 0
    assert config(Shape(method="full"), map_spacing=0.7).map_spacing == 0
