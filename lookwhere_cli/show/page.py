"""One self-contained HTML page: where the model looked, for any k, and its predictions at several k."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float
from PIL import Image

from lookwhere_cli.output.numbers import finite
from lookwhere_cli.output.rows import Detection, Label
from lookwhere_cli.show.colours import colour_of_class, heat_colours, heat_levels
from lookwhere_cli.show.geometry import GridBox
from lookwhere_cli.show.html import picture_uri, render, shrink
from lookwhere_cli.text import on_one_line

LONGEST_SIDE, SHORTEST_LONG_SIDE = 1600, 480  # pixels
PICTURES_AT_FULL_SIDE = 12
THUMBNAIL_SIDE = 112  # pixels
QUALITY = 86  # of JPEGs
_MARK = "@pictures@"
"""Where the template puts the pictures' data."""


@dataclass(frozen=True)
class PagePicture:
    """A picture on the page.

    Attributes:
        name: any text.
        picture: as displayed; it is shrunk for the page.
        grid: (rows, columns) of cells.
        scores: the selector map, any range.
        order: all cell indices (row * columns + column), best first.
        box: left, top, right, bottom of the part that the grid covers, in pixels of the picture.
        predictions: the labels at each computed k, most probable first; at least one k.
        macs: the multiply-adds at each computed k; the page interpolates between them.
        macs_full: multiply-adds of the full ViT on all cells.
        k: where the slider is at first.
        coarse: (rows, columns) of the coarse patches; None for a model without them.
        coarse_unread: True if only those are read that chosen cells leave unread.
        boxes: what a detection model found at each computed k, best first, in pixels of the picture; empty for others.
    """

    name: str
    picture: Image.Image
    grid: tuple[int, int]
    scores: Float[np.ndarray, "rows columns"]
    order: Sequence[int]
    box: GridBox
    predictions: Mapping[int, Sequence[Label]]
    macs: Mapping[int, int]
    macs_full: int
    k: int
    coarse: tuple[int, int] | None = None
    coarse_unread: bool = False
    boxes: Mapping[int, Sequence[Detection]] = field(default_factory=dict)


class PageWriter:
    """Writes the page picture by picture: HTML with its style, script and pictures inside, which loads nothing.

    The more pictures there are, the smaller each is, so that the page stays within some megabytes.
    """

    def __init__(self, stream: BinaryIO, title: str, pictures: int) -> None:
        """Write the beginning. pictures: how many there will be, about."""
        self._stream, self._side = stream, _longest_side(pictures)
        self._separator = ""
        title = on_one_line(title)
        head, self._tail = render("page.html.j2", title=title, data=_MARK).split(_MARK)
        self._write(head + script_json({"title": title})[:-1] + ', "pictures": [')

    def write(self, picture: PagePicture) -> None:
        """Add a picture."""
        self._write(self._separator + script_json(_for_script(picture, self._side)))
        self._separator = ", "

    def close(self) -> None:
        """Write the end; the stream stays open."""
        self._write("]}" + self._tail)

    def _write(self, text: str) -> None:
        self._stream.write(text.encode())


def page(pictures: Sequence[PagePicture], title: str) -> str:
    """Return a whole page as text; see `PageWriter`."""
    stream = io.BytesIO()
    writer = PageWriter(stream, title, len(pictures))
    for picture in pictures:
        writer.write(picture)
    writer.close()
    return stream.getvalue().decode()


def script_json(value: object) -> str:
    """Return JSON for a <script>: only `<` could end the element or start a comment; JSON reads the escape as it."""
    return json.dumps(finite(value), allow_nan=False).replace("<", "\\u003c")


def _longest_side(pictures: int) -> int:
    """Return the longest side of each picture, in pixels. From the 13th on, their total area grows no more."""
    share = (PICTURES_AT_FULL_SIDE / max(pictures, PICTURES_AT_FULL_SIDE)) ** 0.5
    return max(SHORTEST_LONG_SIDE, round(LONGEST_SIDE * share))


def _for_script(picture: PagePicture, side: int) -> dict[str, Any]:
    """Return the data of a picture that the page's script reads."""
    width, height = picture.picture.size
    left, top, right, bottom = picture.box
    return {
        "name": on_one_line(picture.name),
        "size": [height, width],
        **_images(picture, side),
        "box": [left / width, top / height, right / width, bottom / height],
        "grid": list(picture.grid),
        "order": [int(cell) for cell in picture.order],
        "predictions": [
            [k, [[on_one_line(label.label), round(label.probability, 6)] for label in labels]]
            for k, labels in sorted(picture.predictions.items())
        ],
        "macs": [[k, macs] for k, macs in sorted(picture.macs.items())],
        "macs_full": picture.macs_full,
        "k": picture.k,
        "coarse": picture.coarse,
        "coarse_unread": picture.coarse_unread,
        "boxes": [[k, [_box(one, width, height) for one in boxes]] for k, boxes in sorted(picture.boxes.items())],
    }


def _box(found: Detection, width: int, height: int) -> list[Any]:
    """Return class, score, colour, and left, top, right, bottom as shares of the picture."""
    colour = "#{:02x}{:02x}{:02x}".format(*colour_of_class(found.index))
    sides = [round(edge / side, 5) for edge, side in zip(found.box, (width, height) * 2, strict=True)]
    return [on_one_line(found.label), round(found.score, 6), colour, *sides]


def _images(picture: PagePicture, side: int) -> dict[str, str]:
    shown = shrink(picture.picture, side)
    heat = Image.fromarray(heat_colours(heat_levels(picture.scores)))
    return {
        "source": picture_uri(shown, "JPEG", QUALITY),
        "thumbnail": picture_uri(shrink(shown, THUMBNAIL_SIDE), "JPEG", QUALITY),
        "heat": picture_uri(heat, "PNG", QUALITY),
    }
