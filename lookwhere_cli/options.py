"""All that a user may choose about how pictures are read, checked once for Python and the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from lookwhere_cli.amounts import Amount, AmountLike, PruneAmount, PruneLike
from lookwhere_cli.errors import UsageError

Mode = Literal["whole", "crop", "stretch"]
Thumbnail = Literal["antialias", "alias"]
RuntimeName = Literal["auto", "torch", "onnx"]
Colour = tuple[int, int, int]
AUTO: Literal["auto"] = "auto"
MAX_PIXELS = 250_000_000
WHITE: Colour = (255, 255, 255)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


@dataclass(frozen=True)
class Options:
    """How a model is to be used. Every field has a default; None means the model's own value.

    Fields accept what `load` accepts: an amount as number or text, a colour by name, memory as "512M".
    Raises UsageError for a value that is impossible whatever the model is.
    """

    k: Amount | Literal["auto"] | None = None
    """Cells to read: a count (94), a share of the picture's grid (0.25, "25%", "all"), or "auto": as many as each
    picture needs, for a calibrated model."""
    size: int | None = None
    """The grid holds about size x size pixels; a multiple of the model's patch."""
    coarse: int | None = None
    """The picture is also read coarsely, at coarse x coarse pixels; a multiple of the patch, 0 to leave it out."""
    prune: PruneAmount | None = None
    """Tokens to drop between blocks: a count after each block (8), or the share of the blocks' multiply-adds to keep
    to (0.5, "50%"); for a model that was trained with pruning modules."""
    mode: Mode = "whole"
    """"whole" reads the picture at its own shape, "crop" its centre square, "stretch" all of it as a square."""
    thumbnail: Thumbnail | None = None
    """How the thumbnail is resized: "antialias", or "alias" as for the published models."""
    top: int = 5
    """Labels to keep of each answer."""
    conf: float = 0.25
    """Least score of a box, 0..1."""
    iou: float = 0.5
    """Boxes of one class that overlap by more than this share of their union are one thing, 0..1."""
    max_boxes: int = 300
    """Boxes to keep of each picture."""
    only: tuple[str, ...] = ()
    """Names of the classes to look for; empty for all."""
    masks: bool = False
    """True to find the mask of each box, too; for a model that was trained for masks."""
    device: str = "auto"
    """"auto", "cpu", "cuda", "cuda:1", "mps", ..."""
    runtime: RuntimeName = "auto"
    """What computes the model: "torch", "onnx" (for exported models), or "auto": what the folder is for."""
    dtype: str = "float32"
    """"float32", "bfloat16" or "float16"."""
    batch_size: int = 32
    """Pictures of one grid that go through the model together, at most."""
    workers: int | None = None
    """Threads that open and cut pictures; None: one for each CPU that the process may use."""
    memory: int | None = None
    """Bytes that decoded pictures may take at once; None: the smaller of 512 MiB and a quarter of what is available."""
    max_pixels: int = MAX_PIXELS
    """A picture with more pixels is refused."""
    background: Colour = WHITE
    """Red, green and blue in 0..255 behind transparent pixels."""
    bands: tuple[int, ...] = ()
    """Bands of rasters, from 1: one as grey, or three as red, green and blue ("4,3,2"); empty for the usual ones."""
    stretch_range: tuple[float, float] | None = None
    """Values of rasters that become black and white; None: percentiles of each band, 8 bits as they are."""
    reuse: float | None = None
    """In films: difference of two frames' thumbnails, as a share of the brightest value (0.01, "1%"), up to which the
    selector does not run again; None: it runs for every frame."""

    def __post_init__(self) -> None:
        values = {
            "k": self.k if self.k is None or self.k == AUTO else parse_amount(self.k),
            "prune": None if self.prune is None else parse_prune(self.prune),
            "memory": None if self.memory is None else parse_bytes(self.memory),
            "background": parse_colour(self.background),
            "bands": parse_bands(self.bands),
            "stretch_range": None if self.stretch_range is None else parse_range(self.stretch_range),
            "reuse": None if self.reuse is None else parse_difference(self.reuse),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        _check_one_of("mode", self.mode, get_args(Mode))
        _check_one_of("runtime", self.runtime, get_args(RuntimeName))
        _check_one_of("thumbnail", self.thumbnail, (None, *get_args(Thumbnail)))
        for name in ("top", "batch_size", "workers", "max_pixels", "max_boxes"):
            _check_positive(name, getattr(self, name))
        for name in ("conf", "iou"):
            _check_share(name, getattr(self, name))


class OptionChanges(TypedDict, total=False):
    """The fields of `Options` in the forms that users write, for `load(k=0.25, size=384)`."""

    k: AmountLike | None
    size: int | None
    coarse: int | None
    prune: PruneLike | None
    mode: Mode
    thumbnail: Thumbnail | None
    top: int
    conf: float
    iou: float
    max_boxes: int
    only: tuple[str, ...]
    masks: bool
    device: str
    runtime: RuntimeName
    dtype: str
    batch_size: int
    workers: int | None
    memory: int | str | None
    max_pixels: int
    background: Colour | str
    bands: Sequence[int] | str
    stretch_range: Sequence[float] | None
    reuse: float | str | None


def parse_amount(value: AmountLike, option: str = "k") -> Amount | Literal["auto"]:
    """Read "auto" or an amount of cells. Raises UsageError that names `option`."""
    if isinstance(value, str) and value.strip().lower() == AUTO:
        return AUTO
    try:
        return Amount.parse(value)
    except ValueError as error:
        raise UsageError(_sentence(option, error)) from error


def parse_prune(value: PruneLike, option: str = "prune") -> PruneAmount:
    """Read an amount of tokens to drop. Raises UsageError that names `option`."""
    try:
        return PruneAmount.parse(value)
    except ValueError as error:
        raise UsageError(_sentence(option, error)) from error


def parse_bytes(value: int | str, option: str = "memory") -> int:
    """Read a number of bytes: 536870912, "512M", "1.5G". Raises UsageError that names `option`."""
    written = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", str(value).strip().lower())
    size = int(float(written[1]) * _UNITS[written[2]]) if written else 0
    if size < 1:
        raise UsageError(f"{option} {value} is not an amount of memory; write, for instance, 512M or 2G.")
    return size


def parse_difference(value: float | str, option: str = "reuse") -> float:
    """Read a share, above 0 and below 1: 0.01, "1%". Raises UsageError that names `option`."""
    written = re.fullmatch(r"(\d*\.?\d+)(?:e-\d+)?\s*(%?)", str(value).strip().lower())
    share = float(str(value).strip(" %")) / (100 if written[2] else 1) if written else 0.0
    if not 0 < share < 1:
        raise UsageError(f"{option} {value} is no share between 0 and 1; write, for instance, 1% or 0.01.")
    return share


def parse_colour(value: Colour | str, option: str = "background") -> Colour:
    """Read red, green and blue in 0..255, a colour's name (white) or its code (#ff8800). Raises UsageError."""
    if not isinstance(value, str):
        return value
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(value)[:3]
    except ValueError as error:
        raise UsageError(f"{option} {value} is not a colour; give a name (white) or a code (#ff8800).") from error
    return red, green, blue


def parse_bands(value: Sequence[int] | str, option: str = "bands") -> tuple[int, ...]:
    """Read one or three numbers of bands, from 1: (4, 3, 2), "4,3,2". Raises UsageError that names `option`."""
    parts = value.split(",") if isinstance(value, str) else value
    try:
        bands = tuple(int(part) for part in parts)
    except ValueError:
        bands = (0,)
    if len(bands) not in (0, 1, 3) or min(bands, default=1) < 1:
        written = value if isinstance(value, str) else ",".join(map(str, value))
        raise UsageError(f"{option} {written} names no bands; give one (5) or three (4,3,2), counted from 1.")
    return bands


def parse_range(value: Sequence[float], option: str = "stretch range") -> tuple[float, float]:
    """Read two finite numbers, the lower one first. Raises UsageError that names `option`."""
    low, high = value
    if not -math.inf < low < high < math.inf:
        raise UsageError(f"{option} {low:g} {high:g} is not a range; give two numbers, the lower one first.")
    return float(low), float(high)


def _sentence(option: str, error: ValueError) -> str:
    return f"{option} {error}." if option.startswith("-") else f"{option}: {error}."


def _check_one_of(name: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        raise UsageError(f"There is no {name} {value!r}; choose one of {', '.join(filter(None, known))}.")


def _check_positive(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise UsageError(f"{name.replace('_', ' ')} is {value}; it must be at least 1.")


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise UsageError(f"{name} is {value:g}; it must be between 0 and 1.")
