"""Which bands of a raster become red, green, blue and opacity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.names import in_message
from lookwhere_cli.text import counted

_ALPHA = "alpha"
_RGB = ("red", "green", "blue")
_CMYK = ("cyan", "magenta", "yellow", "black")


class BandChoice(NamedTuple):
    """The bands that are read, from 1.

    colours: one (grey, or places of a palette), three (red, green, blue) or four (cyan, magenta, yellow, black).
    alpha: the band of opacity, if there is one. colour_model: what the colours are.
    """

    colours: tuple[int, ...]
    alpha: int | None
    colour_model: Literal["grey", "palette", "rgb", "cmyk"]
    notes: tuple[str, ...] = ()


def choose_bands(dataset: Any, wanted: Sequence[int], path: str) -> BandChoice:
    """Choose the bands of a rasterio dataset: those that are wanted or, of none, those that its colours name.

    Without names: the only band, the first of two, the first three of more. Raises PictureError for bands that the
    raster does not have.
    """
    names = [colour.name for colour in dataset.colorinterp]
    alpha = names.index(_ALPHA) + 1 if _ALPHA in names else None
    if wanted:
        return BandChoice(_checked(wanted, dataset.count, path), alpha, "grey" if len(wanted) == 1 else "rgb")
    if all(name in names for name in _CMYK):
        return BandChoice(_places(names, _CMYK), alpha, "cmyk")
    if all(name in names for name in _RGB):
        chosen = _places(names, _RGB)
        return BandChoice(chosen, alpha, "rgb", _note(chosen, dataset.count, alpha))
    free = [band for band in range(1, dataset.count + 1) if band != alpha]
    chosen = tuple(free[:3] if len(free) > 2 else free[:1] or [1])
    colour_model: Any = "rgb" if len(chosen) == 3 else "palette" if names[chosen[0] - 1] == "palette" else "grey"
    return BandChoice(chosen, alpha, colour_model, _note(chosen, dataset.count, alpha))


def _checked(wanted: Sequence[int], count: int, path: str) -> tuple[int, ...]:
    missing = [band for band in wanted if band > count]
    if missing:
        raise PictureError(
            f"{in_message(path)} has {counted(count, 'band')}, so there is no band {missing[0]}; choose others with "
            "--bands, or leave it out."
        )
    return tuple(wanted)


def _places(names: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    return tuple(names.index(name) + 1 for name in wanted)


def _note(chosen: Sequence[int], count: int, alpha: int | None) -> tuple[str, ...]:
    """Note which of several bands are read, unless it is all of them."""
    colours = count - (alpha is not None)
    if len(chosen) == colours:
        return ()
    if len(chosen) == 1:
        return (f"band {chosen[0]} of {colours} as grey",)
    return (f"bands {', '.join(map(str, chosen))} of {colours} as red, green, blue",)
