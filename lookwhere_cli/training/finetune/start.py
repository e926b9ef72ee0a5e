"""What fine-tuning starts from: a model's weights in the shapes that the new task asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lookwhere_cli.amounts import ALL_CELLS, Amount, AmountLike, PruneAmount, PruneLike
from lookwhere_cli.checkpoints.folder import Model
from lookwhere_cli.data.examples import Kind
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.models.cascade.dvt import DVT
from lookwhere_cli.models.cascade.shapes import check_growth, shapes_of
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config, Pool, Task
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.sizes import check_multiple_of_patch

Method = Literal["lookwhere", "cropr", "dvt", "full"]
WHOLE = ("cropr", "dvt", "full")
"""Methods that read all cells."""
SIDES = (0.5, 10 / 14, 1.0)
"""Of a cascade's grids, as shares of the last one's: those of the published 7, 10 and 14."""
TASKS: dict[Kind, Task] = {"single": "classify", "multi": "classify", "masks": "segment"}


@dataclass(frozen=True)
class Shape:
    """What of a model may differ from the one that it starts from. None keeps what that one has. Sizes in pixels."""

    method: Method = "lookwhere"
    """full: no selector, all cells are read; cropr: so, too, and some are dropped on the way; dvt: a cascade over grids
    that grow."""
    size: int | None = None
    """The grid holds about size x size pixels."""
    thumbnail_size: int | None = None
    coarse: int = 0
    """The extractor also reads all of the picture at about so many pixels squared; 0: it does not."""
    selector_depth: int | None = None
    pool: Pool = "cls"
    """What a head on whole pictures sees: CLS, or each channel's maximum over the cells."""
    decoder_channels: int = 64
    """Segmentation's; 0 for the linear decoder."""
    prune: PruneLike | None = None
    """What is dropped between the extractor's blocks, as the config's `prune`; None: nothing is."""
    prune_fusion: bool | None = None
    """Whether what was dropped comes back for the last block; None: for masks."""
    exits: tuple[int | Grid, ...] = ()
    """A cascade's grids, as (rows, columns) or as sides: about so many cells squared, at the model's shape. Empty: half
    of the model's own side, 10/14 of it, and all of it."""


def config_for(base: Config, shape: Shape, kind: Kind, classes: tuple[str, ...], picture: tuple[int, int]) -> Config:
    """The new model's config, for pictures of about the (height, width) given. Raises UsageError, ModelError."""
    if base.exits:
        raise ModelError(
            "The model to start from is a cascade over grids; choose another one, such as that it began with."
        )
    grid = _grid("size", picture, shape.size or base.size, base.patch)
    config = replace(
        base,
        grid=grid,
        thumbnail_filter="antialias",  # as batches make theirs
        coarse_size=_coarse(shape, base.patch),
        task=TASKS[kind],
        multi_label=kind == "multi",
        labels=classes,
        pool="cls" if kind == "masks" else shape.pool,
        decoder_channels=shape.decoder_channels if kind == "masks" else 0,
        looks=(),
        second_look="restart",
        thresholds=(),  # what was calibrated was another model
        expected_macs=0,
        prune=None if shape.prune is None else PruneAmount.parse(shape.prune),
        prune_fusion=_fusion(shape, kind),
    )
    if shape.method in WHOLE:
        config = replace(config, selector_depth=0, prefix="own", k=ALL_CELLS)
        return _with_exits(config, shape, kind, shape.size or base.size) if shape.method == "dvt" else config
    if not base.selector_depth:
        raise ModelError("The model to start from has no selector; choose another one, or --method full.")
    thumbnail = _grid("thumbnail size", grid, shape.thumbnail_size or base.thumbnail_size, base.patch)
    depth = shape.selector_depth or base.selector_depth
    if depth > base.extractor_depth:
        raise UsageError(
            f"A selector of {depth} blocks is deeper than the extractor, which has {base.extractor_depth}."
        )
    return replace(config, thumbnail_grid=thumbnail, selector_depth=depth, map_scale=-(-grid[0] // thumbnail[0]))


def with_second_look(config: Config, added: AmountLike) -> Config:
    """The config of a model that reads its k cells and, where it is unsure, so many more. Raises ValueError."""
    step = Amount.parse(added)
    if step.is_share != config.k.is_share:
        raise ValueError(f"a second look can't add {step} to {config.k}; give two counts or two shares")
    return replace(config, looks=(config.k, Amount(_rounded(config.k.value + step.value))), second_look="add")


def _rounded(value: int | float) -> int | float:
    return round(value, 6) if isinstance(value, float) else value


def _fusion(shape: Shape, kind: Kind) -> bool:
    wanted = kind == "masks" if shape.prune_fusion is None else shape.prune_fusion
    return wanted and shape.prune is not None


def _coarse(shape: Shape, patch: int) -> int:
    if shape.method in WHOLE or not shape.coarse:
        return 0
    return check_multiple_of_patch("coarse size", shape.coarse, patch)


def _with_exits(config: Config, shape: Shape, kind: Kind, size: int) -> Config:
    """The config of a cascade whose last exit reads the model's own grid, of about size x size pixels."""
    if kind != "single" or shape.pool != "cls":
        raise UsageError(
            "--method dvt leaves a picture when it is sure of one class, as CLS has it; it takes one label to a "
            "picture, and --pool cls."
        )
    side = size // config.patch
    asked = shape.exits or tuple(round(share * side) for share in SIDES)
    grids = [_shaped(one, config.grid, side) for one in asked]
    if grids[-1] != config.grid:
        raise UsageError(
            f"--exits ends with {_told(grids[-1])} cells, but the model reads {_told(config.grid)}; "
            f"end with {side}, or choose another --size."
        )
    try:
        check_growth(grids)
    except ValueError as failure:
        raise UsageError(f"--exits: {failure}.") from failure
    exits = tuple((*grid, config.patch, 0) for grid in grids)
    return replace(config, exits=exits)


def _shaped(asked: int | Grid, own: Grid, side: int) -> Grid:
    if not isinstance(asked, int):
        return asked
    return own if asked == side else grid_for(*own, asked, 1)


def _told(grid: Grid) -> str:
    return f"{grid[0]} x {grid[1]}"


def start_of(base: LookWhere, config: Config) -> Model:
    """A model of this config with the weights of `base`, float32, all to be trained.

    Each exit of a cascade begins with the extractor's. For all others: positions and the map's pieces are resized;
    blocks that the selector gains are copies of the extractor's, whose own first blocks it began with. Heads and the
    decoder start anew unless labels and task are the same.
    """
    same = _head_of(base.config) == _head_of(config)
    if config.exits:
        cascade = DVT(config, shapes_of(config))
        cascade.start_from(base.extractor.float(), base.head.float() if same else None)
        return cascade
    model = LookWhere(config)
    state = {name: tensor.float().clone() for name, tensor in base.state_dict().items()}
    state["extractor.pos_embed"] = base.extractor.float().positions_for(config.grid)
    if config.selector_depth:
        state |= _selector(base, config, state)
    wanted = model.state_dict()
    kept = {
        name: tensor
        for name, tensor in state.items()
        if name in wanted
        and wanted[name].shape == tensor.shape
        and (same or not name.startswith(("head.", "decoder.")))
    }
    model.load_state_dict(kept, strict=False)
    _freeze_unused(model)
    return model


def _head_of(config: Config) -> tuple[object, ...]:
    """What a head must have in common with another to be its continuation."""
    return config.labels, config.task, config.multi_label, config.pool


def _grid(what: str, picture: tuple[int, int], size: int, patch: int) -> Grid:
    return grid_for(*picture, check_multiple_of_patch(what, size, patch), patch)


def _selector(base: LookWhere, config: Config, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The selector's tensors that differ from the base's."""
    changed = {"selector.backbone.pos_embed": base.selector.backbone.float().positions_for(config.thumbnail_grid)}
    for name, tensor in state.items():
        block = name.removeprefix("extractor.blocks.")
        if block != name and base.config.selector_depth <= int(block.split(".")[0]) < config.selector_depth:
            changed[f"selector.backbone.blocks.{block}"] = tensor.clone()
    scales = base.config.map_scale, config.map_scale
    if scales[0] != scales[1]:
        for name in ("selector.head.w2.weight", "selector.head.w2.bias"):
            changed[name] = _finer(state[name], *scales)
    return changed


def _finer(rows: Tensor, old: int, new: int) -> Tensor:
    """A tensor whose first axis is old x old pieces, as one for new x new."""
    square = rows.reshape(old, old, -1).permute(2, 0, 1)[None]
    resized = F.interpolate(square, size=(new, new), mode="bilinear", align_corners=False)[0]
    return resized.flatten(1).T.reshape(new * new, *rows.shape[1:])


def _freeze_unused(model: LookWhere) -> None:
    """Where the selector's prefix tokens stand in place of the extractor's own, those get no gradient."""
    if model.config.prefix == "replace":
        with torch.no_grad():
            model.extractor.cls_token.requires_grad_(False)
            if model.extractor.reg_token is not None:
                model.extractor.reg_token.requires_grad_(False)
