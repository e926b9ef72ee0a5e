"""What `segment` writes of each picture, where, and for which pictures it still has to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from lookwhere_cli.cli.output import make_folder, output
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.output.masks import coco
from lookwhere_cli.output.masks.places import Place, check_files
from lookwhere_cli.output.rows import Row
from lookwhere_cli.text import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lookwhere_cli.segmenter import Segmented, Segmenter

MaskFormat = Literal["png", "rle", "geojson"]
OVERLAY = ".overlay.png"
ENDINGS = {"png": ".png", "geojson": ".geojson"}
"""Of the formats with a file per picture."""

Keep = Callable[[Place, Row, "NDArray[np.uint8]"], Path]
"""Writes a picture's classes; gives the file that they are in."""


class Asked(NamedTuple):
    """What the user asked to be written."""

    out: Path
    format: MaskFormat
    overlay: bool
    overwrite: bool

    def check(self, places: Mapping[str, Place]) -> None:
        """Raises UsageError for a library that is missing, and for files that would stand in each other's way."""
        if self.format == "rle":
            coco.coco_mask()
        elif self.format == "geojson":
            from lookwhere_cli.output.masks.polygons import shapely

            shapely()
        endings = [ENDINGS[self.format]] if self.format in ENDINGS else []
        check_files(places, [*endings, *[OVERLAY] * self.overlay])


class Todo(NamedTuple):
    """What is still to be written of a picture."""

    place: Place
    mask: bool
    overlay: bool


def before(asked: Asked, places: Mapping[str, Place], labels: Sequence[str]) -> coco.Annotations:
    """What COCO's file holds and is to hold on: of other pictures and, unless it is to be overwritten, of these.

    Raises UsageError for a file of other classes, unless it is to be overwritten.
    """
    if asked.format != "rle":
        return coco.Annotations()
    try:
        found = coco.read_annotations(asked.out / coco.NAME, labels)
    except UsageError:
        if not asked.overwrite:
            raise
        return coco.Annotations()
    return found.without({printable(place.relative) for place in places.values()}) if asked.overwrite else found


def todo(asked: Asked, places: Mapping[str, Place], before: coco.Annotations) -> dict[str, Todo]:
    """By picture, in their order; pictures of which all is there are left out."""
    names = before.names
    found = {}
    for picture, place in places.items():
        ending = ENDINGS.get(asked.format)
        there = place.file(ending).exists() if ending else printable(place.relative) in names
        mask = asked.overwrite or not there
        overlay = asked.overlay and (asked.overwrite or not place.file(OVERLAY).exists())
        if mask or overlay:
            found[picture] = Todo(place, mask, overlay)
    return found


@contextmanager
def mask_output(
    asked: Asked, labels: Sequence[str], colours: NDArray[np.uint8], before: coco.Annotations
) -> Iterator[Keep]:
    """A function that writes a picture's classes in the format asked for. Ctrl-C leaves what is done whole."""
    if asked.format != "rle":
        if asked.format == "png":
            from lookwhere_cli.output.masks.labelmap import labelmap, write_labelmap

            write_labelmap(asked.out, labelmap(labels, colours), asked.overwrite)
        yield _in_files(ENDINGS[asked.format], colours)
        return
    file = asked.out / coco.NAME
    with output(whole_file(file), lambda stream: coco.CocoWriter(stream, labels, before), file) as write:

        def keep(place: Place, row: Row, classes: NDArray[np.uint8]) -> Path:
            write(place.relative, row, classes)
            return file

        yield keep


def _in_files(ending: str, colours: NDArray[np.uint8]) -> Keep:
    from lookwhere_cli.output.masks.geojson import write_geojson
    from lookwhere_cli.output.masks.index_png import write_png

    def keep(place: Place, row: Row, classes: NDArray[np.uint8]) -> Path:
        file = place.file(ending)
        make_folder(file.parent)
        if ending == ".png":
            write_png(file, classes, colours)
        else:
            write_geojson(file, place.relative, classes, row.shares)
        return file

    return keep


def written(
    segmenter: Segmenter, todo: Mapping[str, Todo], keep: Keep, colours: NDArray[np.uint8]
) -> Iterator[Segmented]:
    """The pictures' classes, in their order, once what is to be written of them is; their rows name the masks."""
    for found in segmenter.segment(todo):
        if found.classes is None:
            yield found
            continue
        job, row = todo[found.row.path], found.row
        try:
            if job.mask:
                row = replace(row, mask=str(keep(job.place, row, found.classes)))
            if job.overlay:
                _draw(segmenter, found, job.place.file(OVERLAY), colours)
        except PictureError as failure:  # the picture, read once more for its full resolution, has gone
            yield found._replace(row=Row(row.path, error=str(failure)), classes=None, view=None)
        else:
            yield found._replace(row=row)


def _draw(segmenter: Segmenter, found: Segmented, file: Path, colours: NDArray[np.uint8]) -> None:
    from PIL import Image

    from lookwhere_cli.show.class_overlay import class_overlay

    row, classes = found.row, found.classes
    assert classes is not None
    picture = Image.fromarray(segmenter.predictor.displayed(row.path, *classes.shape))
    caption = f"{row.model}, {row.k} of {row.grid[0] * row.grid[1]} cells read"
    drawn = class_overlay(picture, classes, row.shares, colours, caption)
    make_folder(file.parent)
    with whole_file(file) as stream, writing(file):
        drawn.save(stream, format="PNG")
