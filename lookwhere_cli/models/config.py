"""The one description of a model: everything that `config.json` holds."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import lt
from typing import Any, Literal, get_args

FeedForward = Literal["gelu", "swiglu"]
Prefix = Literal["replace", "add", "own"]
ThumbnailFilter = Literal["antialias", "alias"]
Pool = Literal["cls", "max"]
Task = Literal["classify", "segment", "features"]
SecondLook = Literal["restart", "add"]
Grid = tuple[int, int]
Exit = tuple[int, int, int, int]
_ITEMS: dict[str, Any] = {"thresholds": 0.0, "exits": (0, 0, 0, 0), "looks": 0.0}
"""What an item of a list looks like that is empty by default and does not hold text."""


@dataclass(frozen=True)
class Config:
    """Shapes and conventions of a LookWhere model. The defaults are those of a ViT-Ti/16 at 224 px.

    Sizes are (rows, columns) of patches; `mean` and `std` belong to pixels in 0..1.
    `from_dict` raises ValueError with a sentence when a value is impossible or a key is unknown.
    """

    patch: int = 16
    """Side of a patch, in pixels; the same for thumbnail and picture."""
    dim: int = 192
    heads: int = 3
    extractor_depth: int = 12
    selector_depth: int = 3
    """Blocks of the selector; 0 for a model without one, which reads all cells: the full ViT."""
    registers: int = 0
    """Prefix tokens beside CLS."""
    grid: Grid = (14, 14)
    """Cells that the extractor's position table holds: the picture's grid at the model's own size."""
    thumbnail_grid: Grid = (7, 7)
    """Patches that the selector's position table holds."""
    map_scale: int = 2
    """Each thumbnail patch predicts a map_scale x map_scale piece of the map."""
    feed_forward: FeedForward = "gelu"
    hidden: int = 768
    """Rows of a block's first feed-forward matrix; SwiGLU's gate and value lie in it together."""
    layer_scale: bool = False
    eps: float = 1e-6
    prefix: Prefix = "add"
    """How the selector's prefix tokens reach the extractor: in place of its own, added through a linear layer, or not
    at all (own), where there is no selector."""
    prefix_positions: bool = True
    """Whether the position tables hold rows for the prefix tokens, too (first, as in timm's plain ViT)."""
    thumbnail_filter: ThumbnailFilter = "antialias"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    crop_share: float = 0.9
    """Share of the shorter side that the classic centre crop keeps."""
    task: Task = "classify"
    multi_label: bool = False
    labels: tuple[str, ...] = ()
    """Names of the classes, in the order of the logits; empty for a model without a head."""
    pool: Pool = "cls"
    """What the head sees: CLS, or each channel's maximum over the cells read, for small things in large pictures."""
    decoder_channels: int = 0
    """For segmentation: channels of the decoder's convolution; 0 makes it a linear layer on each token."""
    decoder_scale: int = 4
    """For segmentation: each cell becomes decoder_scale x decoder_scale logits per class."""
    k: int | float = 0.5
    """Cells kept by default: a count (int), or a share of the grid (float)."""
    coarse_size: int = 0
    """Side, in pixels, of a thumbnail that the extractor reads whole beside the cells by default; 0 for none."""
    prune: int | float | tuple[int, ...] | None = None
    """What is dropped between the extractor's blocks: a rate (int), a share of their MACs to keep to (float), or the
    tokens left after each (counts), as in `schedule.Pruning`; None for an extractor without pruning modules."""
    prune_fusion: bool = False
    """Whether what was dropped comes back for the last block."""
    prune_norm: bool = False
    """Whether tokens are normalised before they are scored."""
    exits: tuple[Exit, ...] = ()
    """Of a cascade over growing grids (DVT), each exit's rows and columns of cells, the side of one in pixels, and the
    zeros around the picture in pixels; the last has `grid` and `patch`. Empty for every other model."""
    looks: tuple[int | float, ...] = ()
    """Of a cascade in k, the cells that have been read after each look: counts (int) that grow, or shares (float);
    empty: there is one look, at k cells."""
    second_look: SecondLook = "restart"
    """How a further look goes on: with all its cells anew (restart), or with those alone that it adds, attending to
    what was kept of the looks before (add), which has to be learnt."""
    thresholds: tuple[float, ...] = ()
    """Confidences from which a cascade's stages but the last answer; empty: never calibrated."""
    expected_macs: int = 0
    """Multiply-adds per picture that the thresholds came to on the pictures that they were calibrated on; 0: never
    calibrated."""
    license: str | None = None

    def __post_init__(self) -> None:
        for name in ("patch", "dim", "heads", "extractor_depth", "map_scale", "hidden", "decoder_scale"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("grid", "thumbnail_grid"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name} is {list(getattr(self, name))}; it must have at least 1 row and 1 column")
        for name in ("registers", "selector_depth", "decoder_channels"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0")
        if self.coarse_size < 0 or self.coarse_size % self.patch:
            raise ValueError(f"coarse_size is {self.coarse_size}; it must be 0 or a multiple of patch, {self.patch}")
        if self.coarse_size and self.drops and (self.task == "segment" or self.pool == "max"):
            raise ValueError(
                f"coarse_size is {self.coarse_size} and prune is {self.prune}, which drops coarse patches that the "
                "answer is made of; choose 0 for the one, None for the other, or set prune_fusion"
            )
        if (self.selector_depth == 0) != (self.prefix == "own"):
            raise ValueError(
                f"selector_depth is {self.selector_depth} and prefix is {self.prefix!r}; "
                "a model without a selector (0) has its own prefix (own), every other one add or replace"
            )
        if self.task == "segment" and not self.labels:
            raise ValueError("task is 'segment' and labels is empty; it must name the classes")
        if not (self.eps > 0 and min(self.std) > 0):
            raise ValueError(f"eps is {self.eps} and std is {list(self.std)}; both must be above 0")
        if not 0 < self.crop_share <= 1:
            raise ValueError(f"crop_share is {self.crop_share}; it must lie above 0 and up to 1.0")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} does not divide into {self.heads} heads")
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(get_args(kind))}")
        if self.thumbnail_filter not in get_args(ThumbnailFilter):
            raise ValueError(f"thumbnail_filter is {self.thumbnail_filter!r}; it must be antialias or alias")
        if (isinstance(self.k, float) and not 0 < self.k <= 1) or self.k <= 0:
            raise ValueError(f"k is {self.k}; a share lies above 0 and up to 1.0, a count is at least 1")
        if self.expected_macs < 0 or not all(0 <= one < math.inf for one in self.thresholds):
            raise ValueError(
                f"thresholds is {list(self.thresholds)} and expected_macs is {self.expected_macs}; "
                "no number may be below 0, and one above 1 stands for a threshold that nobody reaches"
            )
        if self.exits:
            self._check_exits()
        if self.looks or self.second_look == "add":
            self._check_looks()

    def _check_exits(self) -> None:
        """Whether the grids grow, the cascade itself says."""
        exits = [list(one) for one in self.exits]
        last = [*self.grid, self.patch, 0]
        if any(min(one[:3]) < 1 or one[3] < 0 for one in exits) or exits[-1] != last:
            raise ValueError(
                f"exits is {exits}; each must be [rows, columns, patch, padding], from 1 and padding from 0, "
                f"and the last that of grid and patch, {last}"
            )
        if self.selector_depth:
            raise ValueError(
                f"exits is {exits} and selector_depth {self.selector_depth}; it must be 0, for all is read"
            )
        if self.prune is not None:
            raise ValueError(
                f"exits is {exits} and prune is {self.prune}; it must be None, for no exit drops any cells"
            )
        if self.thresholds and len(self.thresholds) != len(exits) - 1:
            raise ValueError(
                f"thresholds is {list(self.thresholds)}; {len(exits)} exits need one for each but the last, or none"
            )

    def _check_looks(self) -> None:
        looks = list(self.looks)
        if looks and not _grow(looks):
            raise ValueError(
                f"looks is {looks}; it must be two counts of cells or more (32, 96), or as many shares (0.125, 0.375), "
                "that grow"
            )
        decides = self.task == "classify" and not self.multi_label and bool(self.labels)
        if not (self.selector_depth and decides and (self.pool == "cls" or self.second_look == "restart")):
            raise ValueError(
                f"looks is {looks} and second_look {self.second_look!r}; who looks again needs a selector, must be "
                f"sure of one class and, to add, read it from CLS: here selector_depth is {self.selector_depth}, task "
                f"{self.task!r}, multi_label {self.multi_label}, pool {self.pool!r}, with {len(self.labels)} labels"
            )
        if self.second_look == "add" and self.prune is not None:
            raise ValueError(
                f"second_look is 'add' and prune is {self.prune}; what is added attends to all that was seen, of which "
                "nothing may have been dropped"
            )
        if looks and self.thresholds and len(self.thresholds) != len(looks) - 1:
            raise ValueError(
                f"thresholds is {list(self.thresholds)}; {len(looks)} looks need one for each but the last, or none"
            )

    @property
    def prefix_tokens(self) -> int:
        """CLS and the registers."""
        return 1 + self.registers

    @property
    def drops(self) -> bool:
        """Whether some of the cells that are read have no token in the end."""
        return self.prune is not None and not self.prune_fusion

    @property
    def size(self) -> int:
        """Side of the least square of whole patches that holds the model's own grid's cells, in pixels."""
        return self.patch * _side(self.grid)

    @property
    def thumbnail_size(self) -> int:
        """The same for the thumbnail."""
        return self.patch * _side(self.thumbnail_grid)

    def to_dict(self) -> dict[str, Any]:
        """What `config.json` holds; tuples become lists."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: _listed(value) for name, value in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The inverse of `to_dict`. Raises ValueError on an unknown key (offering the near one) or a wrong type."""
        known = {field.name: field for field in fields(cls)}
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                raise ValueError(f"unknown key {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return cls(**{name: _checked(name, value, known[name].default) for name, value in values.items()})


_SEVERAL: dict[str, tuple[type, ...]] = {
    "k": (int, float),
    "prune": (int, float, type(None)),
    "license": (str, type(None)),
}
"""Fields whose value may be of a type that their default does not have."""


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, tuple) else value


_CHOICES = {
    "feed_forward": FeedForward,
    "prefix": Prefix,
    "task": Task,
    "pool": Pool,
    "second_look": SecondLook,
}
"""Fields that have one of a few values."""


def _grow(looks: list[int | float]) -> bool:
    """Whether these are two counts or more, or two shares, each above the one before."""
    most = 1.0 if all(isinstance(one, float) for one in looks) else math.inf
    alike = len({type(one) for one in looks}) == 1
    return len(looks) > 1 and alike and looks[0] > 0 and looks[-1] <= most and all(map(lt, looks, looks[1:]))


def _side(grid: Grid) -> int:
    return math.isqrt(grid[0] * grid[1] - 1) + 1


def _checked(name: str, value: Any, default: Any) -> Any:
    """The value as the field's default has it: lists as tuples, whole numbers as int. Raises ValueError."""
    if name == "prune" and isinstance(value, list | tuple):
        return tuple(_checked("a count of prune", item, 0) for item in value)
    if isinstance(default, tuple):
        if not isinstance(value, list | tuple) or (default and len(value) != len(default)):
            raise ValueError(f"{name} is {value!r}; it must be a list like {list(default)}")
        item = default[0] if default else _ITEMS.get(name, "")
        if type(item) is not tuple and all(type(one) is type(item) for one in value):
            return tuple(value)  # a thousand labels take a while one by one
        return tuple(_checked(name, one, item) for one in value)
    accepted = _SEVERAL.get(name, (int, float) if isinstance(default, float) else (type(default),))
    if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
        raise ValueError(f"{name} is {value!r}; it must be a {' or '.join(kind.__name__ for kind in accepted)}")
    return value
