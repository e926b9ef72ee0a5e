"""The records of a picture's results; `output.writers` writes them in every format."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from lookwhere_cli.output.notebook import cells_svg, with_answers
from lookwhere_cli.text import printable, shared_name, shared_sentence

SCHEMA = 1
"""The version of the format of rows in JSON and Parquet: higher after a change that old readers could misunderstand."""


@dataclass(frozen=True)
class Label:
    """A predicted class.

    Attributes:
        label: the class's name.
        index: its index in the model's list of labels.
        probability: 0..1.
    """

    label: str
    index: int
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """Return the label as JSON stores it, the probability rounded to six decimals."""
        return {"label": printable(self.label), "index": self.index, "probability": round(self.probability, 6)}


@dataclass(frozen=True)
class Share:
    """The share of a picture's pixels that belong to a class.

    Attributes:
        label: the class's name.
        index: its index in the model's list of labels.
        share: 0..1.
        area: what these pixels cover, in square micrometres or metres; None if the size of a pixel is not known.
        unit: "µm²" or "m²" with an area.
    """

    label: str
    index: int
    share: float
    area: float | None = None
    unit: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the share as JSON stores it, rounded to six decimals, the area to hundredths."""
        values = {"label": printable(self.label), "index": self.index, "share": round(self.share, 6)}
        return values if self.area is None else values | {"area": round(self.area, 2), "unit": self.unit}


@dataclass(frozen=True)
class Detection:
    """A box that was found.

    Attributes:
        label: the class's name.
        index: its index in the model's list of labels.
        score: 0..1.
        box: left, top, right, bottom in full-resolution pixels of the picture as displayed.
        mask: its pixels, as COCO's run lengths {"size": [height, width], "counts": text} of the whole picture; None if
            only the box is known.
    """

    label: str
    index: int
    score: float
    box: tuple[float, float, float, float]
    mask: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the box as JSON stores it: the score rounded to six decimals, pixels to hundredths."""
        box = [round(edge, 2) for edge in self.box]
        values = {"label": printable(self.label), "index": self.index, "score": round(self.score, 6), "box": box}
        return values if self.mask is None else values | {"mask": self.mask}


@dataclass(frozen=True)
class WindowCounts:
    """What became of the windows that a picture was divided into.

    Attributes:
        total: all windows of the picture.
        blank: left out because they hold nothing: background, or no data.
        outside: left out because they do not touch the regions of interest.
        ranked_out: left out because others were ranked higher.
        failed: those that could not be read.
    """

    total: int
    blank: int = 0
    outside: int = 0
    ranked_out: int = 0
    failed: int = 0

    @property
    def read(self) -> int:
        """Windows that were answered."""
        return self.total - self.blank - self.outside - self.ranked_out - self.failed

    def to_dict(self) -> dict[str, int]:
        """Return the counts as JSON stores them, `read` after `total`."""
        skipped = {"blank": self.blank, "outside": self.outside, "ranked_out": self.ranked_out}
        return {"total": self.total, "read": self.read, **skipped, "failed": self.failed}


@dataclass(frozen=True)
class Row:
    """The result for one picture. A picture that failed has `path` and `error`, and defaults for all other fields.

    Attributes:
        path: the picture's path as given (bytes that are not UTF-8 as lone surrogates), or its name.
        width, height: pixels of the picture as displayed (EXIF orientation applied).
        model: the model's name.
        revision: the commit that the model was pulled at, or the short hash of its weights.
        k: number of cells read.
        grid: (rows, columns) of cells in the picture.
        cells: (row, column) of each cell read, best first.
        labels: the predicted classes, most probable first.
        macs: multiply-adds spent on this picture.
        macs_full: multiply-adds of the full ViT on all cells.
        seconds: wall time; for a picture in a batch, its share.
        coarse: (rows, columns) of the coarse patches; None for a model without them.
        coarse_k: number of coarse patches read; None for a model without them.
        exit: the stage that answered, from 1; None for a model with one stage.
        shares: the classes that occur in a segmented picture, largest share first.
        boxes: what a detection model found, best first; None from other models.
        mask: path of the file with the picture's mask.
        window: left, top, right, bottom of the window that the row is about, in full-resolution pixels; None if the row
            is about the whole picture.
        windows: what became of the windows of a picture that was read in windows.
        note: how the picture was decoded, for instance "first of 12 frames".
        error: why there is no result, in one sentence.
        time: of a film's frame: seconds from the film's start; None for other pictures.
        frame: of a film's frame: its number, from 0; None for other pictures.
    """

    path: str
    width: int = 0
    height: int = 0
    model: str = ""
    revision: str = ""
    k: int = 0
    grid: tuple[int, int] = (0, 0)
    cells: tuple[tuple[int, int], ...] = ()
    labels: tuple[Label, ...] = ()
    macs: int = 0
    macs_full: int = 0
    seconds: float = 0.0
    coarse: tuple[int, int] | None = None
    coarse_k: int | None = None
    exit: int | None = None
    shares: tuple[Share, ...] = ()
    boxes: tuple[Detection, ...] | None = None
    mask: str | None = None
    window: tuple[int, int, int, int] | None = None
    windows: WindowCounts | None = None
    note: str | None = None
    error: str | None = None
    time: float | None = None
    frame: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON stores it: `schema`, then the fields; from `coarse` on only those with a value.

        `boxes` is there, if empty, for every picture of a detection model.
        """
        if self.error is not None:
            places: dict[str, Any] = {} if self.window is None else {"window": list(self.window)}
            places |= {} if self.windows is None else {"windows": self.windows.to_dict()}
            return {"schema": SCHEMA, "path": printable(self.path), **places, "error": printable(self.error)}
        sometimes = {name: value for name, value in self._sometimes().items() if value is not None}
        return {"schema": SCHEMA} | self._always() | sometimes

    def noted(self, note: str | None) -> Row:
        """Return the row with a note added to those that it has."""
        return self if note is None else replace(self, note="; ".join(filter(None, (self.note, note))))

    def _repr_html_(self) -> str:
        """Return the map of the cells that were read and the answers, for a notebook."""
        title = shared_name(self.path)
        if self.error is not None:
            return with_answers(title, "", (), shared_sentence(self.error))
        answers = [(label.label, label.probability) for label in self.labels]
        answers += [(share.label, share.share) for share in self.shares]
        answers += [(found.label, found.score) for found in self.boxes or ()]
        return with_answers(title, cells_svg(self.grid, self.cells, self.width, self.height), answers, self.summary)

    @property
    def name(self) -> str:
        """The picture's path; of a film's frame the one that a file with it would have: film.mp4/000025.png."""
        return self.path if self.frame is None else f"{self.path}/{frame_stem(self.frame)}.png"

    @property
    def summary(self) -> str:
        """How many cells were read, in a few words."""
        if self.windows is not None:
            return f"{self.k} cells of {self.windows.read} windows read"
        return f"{self.k} of {self.grid[0] * self.grid[1]} cells read"

    def _always(self) -> dict[str, Any]:
        return {
            "path": printable(self.path),
            "width": self.width,
            "height": self.height,
            "model": printable(self.model),
            "revision": self.revision,
            "k": self.k,
            "grid": list(self.grid),
            "cells": [list(cell) for cell in self.cells],
            "labels": [label.to_dict() for label in self.labels],
            "macs": self.macs,
            "macs_full": self.macs_full,
            "seconds": round(self.seconds, 6),
        }

    def _sometimes(self) -> dict[str, Any]:
        return {
            "coarse": None if self.coarse is None else list(self.coarse),
            "coarse_k": self.coarse_k,
            "exit": self.exit,
            "shares": [share.to_dict() for share in self.shares] or None,
            "boxes": None if self.boxes is None else [found.to_dict() for found in self.boxes],
            "mask": None if self.mask is None else printable(self.mask),
            "window": None if self.window is None else list(self.window),
            "windows": None if self.windows is None else self.windows.to_dict(),
            "note": self.note,
            "time": None if self.time is None else round(self.time, 6),
            "frame": self.frame,
        }


def frame_stem(frame: int) -> str:
    """Return the name, without ending, of files for a film's frame."""
    return f"{frame:06d}"


COLUMNS = tuple(field.name for field in fields(Row))
"""The names of a row's fields: the columns of Parquet."""
NESTED = ("grid", "cells", "labels", "coarse", "coarse_k", "shares", "boxes")
"""The fields that hold lists, and the number that belongs to one."""
