"""One HTML page that stands by itself: where the model looked, for any k, and what it said at several."""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.output.rows import Label
from lookwhere_cli.show.colours import heat_colours, heat_levels
from lookwhere_cli.show.geometry import Box
from lookwhere_cli.text import on_one_line

LONGEST_SIDE, SHORTEST_LONG_SIDE = 1600, 480
PICTURES_AT_FULL_SIDE = 12
THUMBNAIL_SIDE = 112


@dataclass(frozen=True)
class PagePicture:
    """What the page knows of one picture.

    Attributes:
        name: shown as it is, whatever it holds.
        picture: as displayed; it is shrunk for the page.
        grid: (rows, columns) of cells.
        scores: (rows, columns), the selector's map, any range.
        order: all cell indices (row * columns + column), best first.
        box: left, top, right, bottom of what the grid covers, in the picture's pixels.
        predictions: for each computed k, the labels, most probable first. At least one k.
        macs: for each computed k, the multiply-adds; between two of them the page interpolates.
        macs_full: multiply-adds of the full ViT on all cells.
        k: where the slider stands at first.
        coarse: (rows, columns) of the patches in which all of it is read as well, whatever k is; None where it is not.
    """

    name: str
    picture: Image.Image
    grid: tuple[int, int]
    scores: NDArray[np.floating[Any]]
    order: Sequence[int]
    box: Box
    predictions: Mapping[int, Sequence[Label]]
    macs: Mapping[int, int]
    macs_full: int
    k: int
    coarse: tuple[int, int] | None = None


def page(pictures: Sequence[PagePicture], title: str) -> str:
    """Write the page: HTML with its style, script and pictures inside, which asks nothing of any network.

    Many pictures are each shown smaller, so that the page stays within some megabytes.
    """
    side = _longest_side(len(pictures))
    title = on_one_line(title)
    data = json.dumps({"title": title, "pictures": [_for_script(picture, side) for picture in pictures]})
    templates = Environment(
        loader=PackageLoader("lookwhere_cli.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Within <script> only a `<` could end it or open a comment; as an escape it means the same to JSON.
    return templates.get_template("page.html.j2").render(title=title, data=data.replace("<", "\\u003c"))


def _longest_side(pictures: int) -> int:
    """Choose the longest side of each picture, in pixels: their area in all stops growing after the twelfth."""
    share = (PICTURES_AT_FULL_SIDE / max(pictures, PICTURES_AT_FULL_SIDE)) ** 0.5
    return max(SHORTEST_LONG_SIDE, round(LONGEST_SIDE * share))


def _for_script(picture: PagePicture, side: int) -> dict[str, Any]:
    """Arrange what the page's script reads of one picture."""
    height, width = picture.picture.height, picture.picture.width
    left, top, right, bottom = picture.box
    shown = _shrunk(picture.picture, side)
    heat = Image.fromarray(heat_colours(heat_levels(picture.scores)))
    return {
        "name": on_one_line(picture.name),
        "size": [height, width],
        "source": _data_uri(shown, "JPEG"),
        "thumbnail": _data_uri(_shrunk(shown, THUMBNAIL_SIDE), "JPEG"),
        "heat": _data_uri(heat, "PNG"),
        "box": [left / width, top / height, right / width, bottom / height],
        "grid": list(picture.grid),
        "order": [int(cell) for cell in picture.order],
        "predictions": [
            [k, [[on_one_line(label.label), round(label.probability, 4)] for label in labels]]
            for k, labels in sorted(picture.predictions.items())
        ],
        "macs": [[k, macs] for k, macs in sorted(picture.macs.items())],
        "macs_full": picture.macs_full,
        "k": picture.k,
        "coarse": picture.coarse,
    }


def _shrunk(picture: Image.Image, side: int) -> Image.Image:
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small


def _data_uri(picture: Image.Image, kind: str) -> str:
    file = io.BytesIO()
    picture.save(file, kind, quality=86, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"
