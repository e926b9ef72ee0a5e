"""The description of a model: everything that `config.json` holds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import lt
from typing import Any, Literal, TypeVar, cast, get_args

import msgspec

from lookwhere_cli.amounts import Amount, PruneAmount
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.constants import MAX_SPACING
from lookwhere_cli.text import near_names

FeedForward = Literal["gelu", "swiglu"]
Prefix = Literal["replace", "add", "own"]
ThumbnailFilter = Literal["antialias", "alias"]
Pool = Literal["cls", "max"]
Task = Literal["classify", "segment", "detect", "features"]
SecondLook = Literal["restart", "add"]
CoarsePatches = Literal["all", "unread"]
Exit = tuple[int, int, int, int]
A = TypeVar("A", Amount, PruneAmount)
HALF = Amount(0.5)
POINTS = (1, 2, 4)
"""Points along each side of a cell that a detection model may have."""


@dataclass(frozen=True)
class Config:
    """Shapes and conventions of a model. The defaults are those of a ViT-Ti/16 at 224 px.

    Grids are (rows, columns) of cells; `mean` and `std` apply to pixels in 0..1. `k`, `looks` and `prune` may be given
    as plain numbers (an int is a count, a float a share) or in the form of `config.json`.
    Raises ValueError with a sentence for an impossible value.
    """

    patch: int = 16
    """Side of a patch in pixels, the same for thumbnail and picture."""
    dim: int = 192
    heads: int = 3
    extractor_depth: int = 12
    """Blocks of the extractor."""
    selector_depth: int = 3
    """Blocks of the selector; 0 for a full ViT, which has no selector and reads all cells."""
    registers: int = 0
    """Register tokens; the prefix tokens are CLS and these."""
    grid: Grid = (14, 14)
    """Grid of the extractor's position table: the picture's grid at the model's own size."""
    thumbnail_grid: Grid = (7, 7)
    """Grid of the selector's position table."""
    map_scale: int = 2
    """Each thumbnail patch predicts map_scale x map_scale scores of the selector map."""
    map_spacing: float = 0.0
    """Added to the map's score of every other cell before cells are chosen, so that they lie further apart."""
    feed_forward: FeedForward = "gelu"
    hidden: int = 768
    """Output channels of a block's first feed-forward layer; SwiGLU's gate and value are packed in it."""
    layer_scale: bool = False
    eps: float = 1e-6
    """Epsilon of the layer norms."""
    prefix: Prefix = "add"
    """How the selector's prefix tokens reach the extractor: replace its own, are added to them through a linear layer,
    or not at all (own), which is for a model without a selector."""
    prefix_positions: bool = True
    """True if the position tables begin with rows for the prefix tokens, as in timm's plain ViT."""
    thumbnail_filter: ThumbnailFilter = "antialias"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    crop_share: float = 0.9
    """Share of the shorter side that a centre crop keeps."""
    task: Task = "classify"
    multi_label: bool = False
    """True if a picture may have several labels; each probability is then a sigmoid."""
    labels: tuple[str, ...] = ()
    """Names of the classes in the order of the logits; empty for a model without a head."""
    pool: Pool = "cls"
    """What the classification head reads: CLS, or each channel's maximum over the cells."""
    decoder_channels: int = 0
    """Segmentation: channels of the decoder's convolution; 0 for a linear decoder."""
    decoder_scale: int = 4
    """Segmentation: each cell gets decoder_scale x decoder_scale logits per class."""
    decoder_detail: int = 0
    """Segmentation: channels through which the decoder sees the pixels of each cell that is read; 0 if it sees tokens
    only."""
    detect_points: int = 2
    """Detection: each cell that is read has detect_points x detect_points points, which may each have a box."""
    detect_channels: int = 256
    """Detection: hidden channels of the layers that find classes and boxes."""
    detect_mask_channels: int = 0
    """Detection: channels of the values that the masks of objects are made of; 0 for a model of boxes only."""
    k: Amount = HALF
    """Cells that are read by default."""
    coarse_size: int = 0
    """Side in pixels of the coarse thumbnail that the extractor reads beside the cells by default; 0 for none."""
    coarse_patches: CoarsePatches = "all"
    """Which patches of a coarse thumbnail are read: all, or those that chosen cells cover least, as large a share of
    them as the share of cells that is unread (unread; for an answer that needs no token for every place)."""
    coarse_k: Amount | None = None
    """Cells that are read by default beside coarse patches; None for k."""
    prune: PruneAmount | None = None
    """Tokens that are dropped between the extractor's blocks; None for an extractor without pruning modules."""
    prune_fusion: bool = False
    """True if dropped tokens return for the last block."""
    prune_norm: bool = False
    """True if tokens are normalised before pruning modules score them."""
    exits: tuple[Exit, ...] = ()
    """DVT, a cascade over growing grids: each exit's rows and columns of cells, side of a patch in pixels, and padding
    around the picture in pixels; the last exit has `grid` and `patch`. Empty for every other model."""
    looks: tuple[Amount, ...] = ()
    """`-k auto`: cells that have been read after each look, rising counts or rising shares. Empty: no looks."""
    second_look: SecondLook = "restart"
    """What a further look computes: all cells so far once more (restart), or only the new ones, which attend to the
    stored keys and values of the earlier looks (add; needs training)."""
    thresholds: tuple[float, ...] = ()
    """Confidence from which each exit or look but the last answers. Empty: not calibrated."""
    expected_macs: int = 0
    """Mean multiply-adds per calibration picture with these thresholds; 0: not calibrated."""
    license: str | None = None

    def __post_init__(self) -> None:
        self._read_amounts()
        self._check_ranges()
        self._check_choices()
        self._check_combinations()
        if self.exits:
            self._check_exits()
        if self.looks or self.second_look == "add":
            self._check_looks()

    def _read_amounts(self) -> None:
        """Turn plain numbers, and the forms of `config.json`, into amounts."""
        object.__setattr__(self, "k", _read("k", Amount.from_json, self.k))
        if self.coarse_k is not None:
            object.__setattr__(self, "coarse_k", _read("coarse_k", Amount.from_json, self.coarse_k))
        object.__setattr__(self, "looks", tuple(_read("looks", Amount.from_json, look) for look in self.looks))
        if self.prune is not None:
            object.__setattr__(self, "prune", _read("prune", PruneAmount.from_json, self.prune))

    def _check_ranges(self) -> None:
        for least, names in _LEAST.items():
            for name in names:
                if getattr(self, name) < least:
                    raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("grid", "thumbnail_grid"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name} is {list(getattr(self, name))}; it must have at least 1 row and 1 column")
        if self.coarse_size < 0 or self.coarse_size % self.patch:
            raise ValueError(f"coarse_size is {self.coarse_size}; it must be 0 or a multiple of patch, {self.patch}")
        if not (self.eps > 0 and min(self.std) > 0):
            raise ValueError(f"eps is {self.eps} and std is {list(self.std)}; both must be above 0")
        if not 0 <= self.map_spacing <= MAX_SPACING:
            raise ValueError(f"map_spacing is {self.map_spacing}; it must be in 0..{MAX_SPACING:g}")
        if not 0 < self.crop_share <= 1:
            raise ValueError(f"crop_share is {self.crop_share}; it must be above 0 and at most 1.0")
        if self.dim % self.heads:
            raise ValueError(f"dim is {self.dim}; it must be a multiple of heads, {self.heads}")
        if self.expected_macs < 0 or not all(0 <= one < math.inf for one in self.thresholds):
            raise ValueError(
                f"thresholds is {list(self.thresholds)} and expected_macs is {self.expected_macs}; no number may be "
                "below 0, and a threshold above 1 disables its exit"
            )

    def _check_choices(self) -> None:
        for name, kind in _CHOICES.items():
            if getattr(self, name) not in get_args(kind):
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(get_args(kind))}")

    def _check_combinations(self) -> None:
        if self.coarse_size and self.drops and (self.task in ("segment", "detect") or self.pool == "max"):
            raise ValueError(
                f"coarse_size is {self.coarse_size} and prune is {self.prune}, which would drop coarse patches that "
                "the answer needs; set coarse_size to 0, prune to null, or prune_fusion to true"
            )
        uses_places = self.task in ("segment", "detect") or self.pool == "max" or self.second_look == "add"
        if self.coarse_patches == "unread" and uses_places:
            raise ValueError(
                f"coarse_patches is 'unread', task is {self.task!r}, pool is {self.pool!r} and second_look is "
                f"{self.second_look!r}; an answer from the tokens of all places, or a look that adds to them, needs "
                "coarse_patches 'all'"
            )
        if (self.selector_depth == 0) != (self.prefix == "own"):
            raise ValueError(
                f"selector_depth is {self.selector_depth} and prefix is {self.prefix!r}; a model without a selector "
                "(0) must have prefix 'own', every other model 'add' or 'replace'"
            )
        if self.task in ("segment", "detect") and not self.labels:
            raise ValueError(f"task is {self.task!r} and labels is empty; it must name the classes")
        if self.detect_points not in POINTS:
            raise ValueError(f"detect_points is {self.detect_points}; it must be one of {', '.join(map(str, POINTS))}")
        if self.decoder_detail and not self.can_have_detail:
            raise ValueError(
                f"decoder_detail is {self.decoder_detail}; it needs tokens that aren't dropped, decoder_channels, and "
                f"a patch that decoder_scale divides: here prune is {self.prune}, prune_fusion {self.prune_fusion}, "
                f"decoder_channels {self.decoder_channels}, patch {self.patch} and decoder_scale {self.decoder_scale}"
            )

    def _check_exits(self) -> None:
        """Check everything but that the grids grow, which the cascade itself checks."""
        exits = [list(one) for one in self.exits]
        last = [*self.grid, self.patch, 0]
        if any(min(one[:3]) < 1 or one[3] < 0 for one in exits) or exits[-1] != last:
            raise ValueError(
                f"exits is {exits}; each must be [rows, columns, patch, padding], with rows, columns and patch at "
                f"least 1 and padding at least 0, and the last must match grid and patch: {last}"
            )
        if self.selector_depth:
            raise ValueError(f"exits is {exits} and selector_depth is {self.selector_depth}; it must be 0 for exits")
        if self.prune is not None:
            raise ValueError(f"exits is {exits} and prune is {self.prune}; it must be null for exits")
        self._check_threshold_count("exits", len(exits))

    def _check_looks(self) -> None:
        shown = ", ".join(map(str, self.looks))
        if self.looks and not _are_rising(self.looks):
            raise ValueError(
                f"looks is {shown}; it must be at least two counts of cells (32, 96) or two shares (12.5%, 37.5%), "
                "each above the one before"
            )
        decides = self.task == "classify" and not self.multi_label and bool(self.labels)
        if not (self.selector_depth and decides and (self.pool == "cls" or self.second_look == "restart")):
            raise ValueError(
                f"looks is {shown or 'empty'} and second_look is {self.second_look!r}; looks require a selector, one "
                f"label per picture and, to add, pool 'cls': here selector_depth is {self.selector_depth}, task "
                f"{self.task!r}, multi_label {self.multi_label}, pool {self.pool!r}, with {len(self.labels)} labels"
            )
        if self.second_look == "add" and self.prune is not None:
            raise ValueError(
                f"second_look is 'add' and prune is {self.prune}; tokens that a look stored can't be dropped: set "
                "second_look to 'restart' or prune to null"
            )
        if self.looks:
            self._check_threshold_count("looks", len(self.looks))

    def _check_threshold_count(self, name: str, stages: int) -> None:
        if self.thresholds and len(self.thresholds) != stages - 1:
            raise ValueError(
                f"thresholds is {list(self.thresholds)}; {stages} {name} need one for each but the last, or none"
            )

    @property
    def has_decoder(self) -> bool:
        """True if the head scores every cell, not the picture as a whole."""
        return self.task == "segment"

    @property
    def can_have_detail(self) -> bool:
        """True if a decoder can see pixels: those of whole pieces, of cells that all keep their tokens."""
        return self.decoder_channels > 0 and not self.drops and self.patch % self.decoder_scale == 0

    @property
    def has_boxes(self) -> bool:
        """True if the head finds boxes at the cells that are read."""
        return self.task == "detect"

    @property
    def has_masks(self) -> bool:
        """True if the head finds the masks of objects, too."""
        return self.has_boxes and self.detect_mask_channels > 0

    @property
    def has_selector(self) -> bool:
        """True if the model chooses cells; False for a full ViT and for a cascade over grids."""
        return self.selector_depth > 0

    @property
    def prefix_tokens(self) -> int:
        """Number of prefix tokens: CLS and the registers."""
        return 1 + self.registers

    @property
    def drops(self) -> bool:
        """True if some of the cells that are read have no token after the last block."""
        return self.prune is not None and not self.prune_fusion

    @property
    def cells(self) -> int:
        """Number of cells of the model's own grid."""
        return self.grid[0] * self.grid[1]

    @property
    def size(self) -> int:
        """Side in pixels of the smallest square of whole patches that holds as many cells as the model's own grid."""
        return self.patch * _side(self.grid)

    @property
    def thumbnail_size(self) -> int:
        """The same for the thumbnail's grid."""
        return self.patch * _side(self.thumbnail_grid)

    def to_dict(self) -> dict[str, Any]:
        """Return what `config.json` holds: plain values, tuples as lists, amounts with their unit.

        Fields of detection are left out for other tasks, and those that older versions lack if they have no effect.
        """
        names = [field.name for field in fields(self) if self.has_boxes or not field.name.startswith("detect_")]
        return {name: _plain(value) for name in names if (value := getattr(self, name)) != _ADDED.get(name, _ALWAYS)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Read what `to_dict` returns. Raises ValueError for an unknown key, a wrong type or an impossible value."""
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                near = near_names(name, known, 1)
                raise ValueError(f"unknown key {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        try:
            return msgspec.convert(values, cls, dec_hook=_decode)
        except msgspec.ValidationError as error:
            raise ValueError(_sentence(error, values)) from error


_LEAST = {
    1: ("patch", "dim", "heads", "extractor_depth", "map_scale", "hidden", "decoder_scale", "detect_channels"),
    0: ("registers", "selector_depth", "decoder_channels", "decoder_detail", "detect_mask_channels"),
}
"""Least values, and the fields that they apply to."""
_ALWAYS = object()
_ADDED = {"map_spacing": 0.0, "decoder_detail": 0, "coarse_patches": "all", "coarse_k": None}
"""Fields that older versions lack, and the values that change nothing."""
_CHOICES = {
    "feed_forward": FeedForward,
    "prefix": Prefix,
    "thumbnail_filter": ThumbnailFilter,
    "task": Task,
    "pool": Pool,
    "second_look": SecondLook,
    "coarse_patches": CoarsePatches,
}
"""Fields that have one of a few values."""
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
}
"""Types as msgspec calls them, in words."""


def _read(name: str, read: Callable[[Any], A], value: Any) -> A:
    if isinstance(value, Amount | PruneAmount):
        return cast(A, value)
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{name} is {value!r}: {error}") from error


def _decode(kind: type, value: Any) -> Any:
    """Read the two types that msgspec does not know."""
    return Amount.from_json(value) if kind is Amount else PruneAmount.from_json(value)


def _sentence(error: msgspec.ValidationError, values: Mapping[str, Any]) -> str:
    """Say what is wrong in our own words: the field, its value, and what it must be."""
    name, value = _located(str(error), values)
    if isinstance(error.__cause__, ValueError):  # raised by a check of ours, inside of msgspec
        return f"{name} is {value!r}: {error.__cause__}" if name else str(error.__cause__)
    if name in _CHOICES:
        return f"{name} is {value!r}; it must be one of {', '.join(get_args(_CHOICES[name]))}"
    expected = re.match(r"Expected `(\w+)[^`]*`( of length \d+)?", str(error))
    return (
        f"{name} is {value!r}; it must be {_KINDS.get(expected[1], expected[1]) + (expected[2] or '')}"
        if expected
        else str(error)
    )


def _located(message: str, values: Mapping[str, Any]) -> tuple[str, Any]:
    """Find the field that a message of msgspec ends with, as in "... - at `$.labels[0]`", and the value there."""
    path = re.search(r"`\$\.(\w+)((?:\[\d+\])*)", message)
    if path is None:
        return "", None
    value = values[path[1]]
    for index in re.findall(r"\d+", path[2]):
        value = value[int(index)]
    return path[1], value


def _plain(value: Any) -> Any:
    if isinstance(value, Amount | PruneAmount):
        return value.to_json()
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _are_rising(looks: tuple[Amount, ...]) -> bool:
    """Return True for two or more counts, or two or more shares, each above the one before."""
    values = [look.value for look in looks]
    return len(looks) > 1 and len({look.is_share for look in looks}) == 1 and all(map(lt, values, values[1:]))


def _side(grid: Grid) -> int:
    return math.isqrt(grid[0] * grid[1] - 1) + 1
