"""How the shape of a new model differs from the model that training starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lookwhere_cli.amounts import PruneLike
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Pool

Method = Literal["lookwhere", "cropr", "dvt", "full"]


@dataclass(frozen=True)
class Shape:
    """What may differ from the start; None keeps the start's value. Sizes in pixels."""

    method: Method = "lookwhere"
    """lookwhere: a selector chooses cells; full: all cells are read, without a selector; cropr: the same, and some are
    dropped between blocks; dvt: a cascade over growing grids."""
    size: int | None = None
    """The grid holds about size x size pixels."""
    thumbnail_size: int | None = None
    coarse: int = 0
    """Size of the coarse thumbnail that the extractor reads beside the cells; 0 for none."""
    selector_depth: int | None = None
    pool: Pool = "cls"
    """What a classification head reads: CLS, or each channel's maximum over the cells."""
    decoder_channels: int = 64
    """Channels of a segmentation decoder; 0 for a linear one."""
    decoder_detail: int = 32
    """Channels through which a segmentation decoder sees pixels; 0 for none. A linear decoder has none, nor has one of
    tokens that are dropped or of patches that its scale doesn't divide."""
    points: int = 2
    """Points along each side of a cell that may have a box: 1, 2 or 4."""
    masks: bool = False
    """True to find the masks of objects beside their boxes."""
    prune: PruneLike | None = None
    """Tokens that are dropped between the extractor's blocks, as the config's `prune`; None for none."""
    prune_fusion: bool | None = None
    """True if dropped tokens return for the last block; None: if the task needs every cell."""
    exits: tuple[int | Grid, ...] = ()
    """A cascade's grids: (rows, columns), or the side of a square with as many cells as the grid, which has the model's
    own shape. Empty: half, 10/14 and all of the model's own side."""
