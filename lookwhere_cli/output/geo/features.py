"""What GeoJSON says about a window, a box and a class: for maps in plain properties, for QuPath in those it reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from lookwhere_cli.output.rows import Detection, Label, Row, Share
from lookwhere_cli.text import printable

ColourOf: TypeAlias = Callable[[int], tuple[int, int, int]]
"""Returns red, green and blue (0..255) of a class by its index."""


def window_properties(row: Row, colour: ColourOf | None) -> dict[str, Any]:
    """Return the properties of a window: its answer or, if it could not be read, `error`; a tile in QuPath."""
    place = {"path": printable(row.path), "window": row.window and list(row.window)}
    if row.error is not None:
        return place | {"error": printable(row.error), "objectType": "tile"}
    best, labels = next(iter(row.labels), None), [label.to_dict() for label in row.labels]
    answer = (labels[0] if labels else {}) | {"labels": labels, "k": row.k, "macs": row.macs}
    # QuPath colours tiles by such numbers ("measurement maps").
    measured = {label["label"]: label["probability"] for label in labels}
    return place | answer | in_qupath("tile", best, colour) | {"measurements": measured}


def box_properties(found: Detection) -> dict[str, Any]:
    """Return the properties of a box."""
    return {key: value for key, value in found.to_dict().items() if key in ("label", "index", "score")}


def share_properties(share: Share, colour: ColourOf | None) -> dict[str, Any]:
    """Return the properties of a class's pixels in a window; an annotation in QuPath."""
    return share.to_dict() | in_qupath("annotation", share, colour)


def in_qupath(kind: str, best: Label | Detection | Share | None, colour: ColourOf | None) -> dict[str, Any]:
    """Return the properties that QuPath makes an object of: its type, and a class with a colour."""
    if best is None:
        return {"objectType": kind}
    colours = {} if colour is None else {"color": list(colour(best.index))}
    return {"objectType": kind, "classification": {"name": printable(best.label)} | colours}
