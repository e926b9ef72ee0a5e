"""Options of commands that cut labelled slides and rasters into windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import parse_bands, parse_range

if TYPE_CHECKING:
    from lookwhere_cli.data.large.cutting import WindowCutting

PANEL = "Slides and rasters"
AUTO = "auto"


def _option(help_text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=PANEL, show_default=False, **more)


Window = Annotated[
    str | None, _option("Side of the windows, in pixels of full resolution; auto: the model's size.", metavar="PX")
]
WindowOverlap = Annotated[
    float | None,
    _option("Share of a window in the next one. (default: 0.2 for boxes, else 0)", metavar="P", min=0, max=0.95),
]
Task = Annotated[
    Literal["detect", "segment", "classify"] | None,
    _option("detect, segment or classify. (default: rectangles, polygons or points tell)", metavar="NAME"),
]
Negatives = Annotated[
    str | None, _option("Windows without labels for each one with labels, or all. (default: 1)", metavar="N")
]
AllNegatives = Annotated[
    str | None, _option("Windows without labels for each one with labels. (default: all)", metavar="N")
]
Unlabelled = Annotated[
    str, _option("Class of what has no label; ignore: not used. (default: background)", metavar="CLASS")
]
Mpp = Annotated[float | None, _option("Microns per pixel of the windows.", metavar="X", min=0)]
Gsd = Annotated[float | None, _option("Metres per pixel of the windows.", metavar="X", min=0)]

_NAMES = ("window", "window_overlap", "task", "negatives", "mpp", "gsd", "bands", "stretch_range")


def cutting_of(given: Mapping[str, Any], negatives: str) -> WindowCutting | None:
    """Return how slides and rasters are cut; None for data of another kind. Raises UsageError, ModelError.

    given: the command's parameters. negatives: the command's default.
    """
    from lookwhere_cli.data.large.cutting import WindowCutting
    from lookwhere_cli.data.large.find import is_large_data

    asked = [name for name in _NAMES if given[name] is not None]
    data: Path = given["data"]
    if not data.exists() or not is_large_data(data):
        if asked:
            option = f"--{asked[0].replace('_', '-')}"
            raise UsageError(f"{option} is for slides and rasters with a GeoJSON, and {str(data)!r} has none.")
        return None
    if given["mpp"] is not None and given["gsd"] is not None:
        raise UsageError("--mpp and --gsd exclude each other; give microns for slides, metres for rasters.")
    for name in ("mpp", "gsd"):
        if given[name] == 0:
            raise UsageError(f"--{name} is 0; it must be above 0.")
    rate = _parse_negatives(given["negatives"] or negatives)
    side = window_size(given) or _own_size(given)
    bands = parse_bands(given["bands"] or (), "--bands")
    values = given["stretch_range"] and parse_range(given["stretch_range"], "--stretch-range")
    cutting = WindowCutting(side, given["window_overlap"], rate, given["task"], given["unlabelled"])
    return replace(cutting, mpp=given["mpp"], gsd=given["gsd"], bands=bands, stretch_range=values or None)


def window_size(given: Mapping[str, Any]) -> int | None:
    """Return the side of a window in pixels; None for the model's size. Raises UsageError."""
    text = given["window"]
    if text is None or text.strip().lower() == AUTO:
        return None
    if not text.strip().isdecimal() or int(text) < 1:
        raise UsageError(f"--window is {text!r}; give a number of pixels, such as 528, or auto.")
    return int(text)


def model_size(given: Mapping[str, Any], patch: int) -> int | None:
    """Return the size of a model that is trained on windows: that which is asked for, else the windows'."""
    window = window_size(given)
    if given["size"] is not None or window is None:
        size: int | None = given["size"]
        return size
    return max(patch, window // patch * patch)


def _own_size(given: Mapping[str, Any]) -> int:
    """Return the size that is asked for, else that of the model."""
    from lookwhere_cli.checkpoints.configs import read_config
    from lookwhere_cli.checkpoints.resolve import find

    return int(given["size"] or read_config(find(given["model"]).folder).size)


def _parse_negatives(text: str) -> float | None:
    """Return windows without labels for each one with labels; None for all. Raises UsageError."""
    if text.strip().lower() == "all":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise UsageError(f"--negatives is {text!r}; give a number from 0 on, such as 1 or 0.5, or all.")
    return rate
