"""The config of the model that fine-tuning trains."""

from __future__ import annotations

from dataclasses import replace

from lookwhere_cli.amounts import Amount, AmountLike, PruneAmount
from lookwhere_cli.data.examples import Kind
from lookwhere_cli.heads.training.base import TrainingHead
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.models.config import Config
from lookwhere_cli.sizes import check_multiple_of_patch
from lookwhere_cli.training.finetune.methods import METHODS
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.finetune.steering import Steering

MASK_CHANNELS = 8
"""Channels of the values that the masks of objects are made of."""


def config_for(
    base: Config,
    shape: Shape,
    kind: Kind,
    classes: tuple[str, ...],
    picture: tuple[int, int],
    steering: Steering = "frozen",
) -> Config:
    """Return the new model's config.

    base: of the model to start from, which is no cascade. kind, classes: of the labelled set. picture: (height, width)
    of a typical picture, whose shape the model's grid takes. steering: what trains the selector.
    Raises UsageError, ModelError for a shape that is impossible.
    """
    head, method = TRAINING_HEADS[kind], METHODS[shape.method]
    size = check_multiple_of_patch("size", shape.size or base.size, base.patch)
    config = head.configure(_uncalibrated(base), classes, shape.pool, shape.decoder_channels, shape.points)
    config = replace(
        config,
        grid=grid_for(*picture, size, base.patch),
        thumbnail_filter="antialias",  # as training makes its thumbnails
        prune=None if shape.prune is None else PruneAmount.parse(shape.prune),
        prune_fusion=_fusion(shape, head),
        detect_mask_channels=MASK_CHANNELS if shape.masks else 0,
    )
    config = method.configure(config, base, shape, head)
    if config.can_have_detail:
        config = replace(config, decoder_detail=shape.decoder_detail)
    # Regions say which cells matter, and boxes and masks gain nothing by it; see docs/training.md.
    keeps_spacing = method.has_selector and steering != "look" and not head.is_dense
    return replace(config, map_spacing=base.map_spacing) if keeps_spacing else config


def with_second_look(config: Config, added: AmountLike) -> Config:
    """Return the config of a model that reads its k cells and, if it is not confident, `added` more.

    Raises ValueError unless both are counts or both are shares, and for more than all cells.
    """
    step = Amount.parse(added)
    if step.is_share != config.k.is_share:
        raise ValueError(f"a second look can't add {step} to {config.k}; give two counts or two shares")
    return replace(config, looks=(config.k, Amount(_rounded(config.k.value + step.value))), second_look="add")


def _uncalibrated(base: Config) -> Config:
    """Return the config without what was chosen or calibrated for the model to start from alone."""
    return replace(
        base,
        map_spacing=0.0,
        coarse_size=0,
        coarse_patches="all",
        coarse_k=None,
        looks=(),
        second_look="restart",
        thresholds=(),
        expected_macs=0,
        prune=None,
        prune_fusion=False,
        decoder_detail=0,
    )


def _fusion(shape: Shape, head: TrainingHead) -> bool:
    fusion = head.is_dense if shape.prune_fusion is None else shape.prune_fusion
    return fusion and shape.prune is not None


def _rounded(value: int | float) -> int | float:
    return round(value, 6) if isinstance(value, float) else value
