"""The columns of rows in CSV, which is for spreadsheets: a cell has one number or one text, and no lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lookwhere_cli.output.rows import NESTED, Row, WindowCounts
from lookwhere_cli.text import printable

BEFORE, AFTER = (
    ("width", "height", "model", "revision", "k"),
    ("macs", "macs_full", "seconds", "exit", "mask", "note", "error"),
)
"""The fields that a record has after its answer, as they are; fields with lists (`NESTED`) lie between them."""
EDGES = ("left", "top", "right", "bottom")
"""What a record has after its path where pictures are read in windows: empty for a whole picture."""
COUNTS = tuple(f"{name}_windows" for name in WindowCounts(0).to_dict())
"""What a record has at its end where pictures are read in windows: empty for a window."""


@dataclass(frozen=True)
class CsvColumns:
    """The columns of a CSV file of rows. They depend on the command and the model only, so that files fit together.

    Attributes:
        labels: how many labels a record has, each with its probability.
        classes: the model's classes, for each of which a record has the share; none for a model that labels pictures.
        windows: whether rows are of pictures that are read in windows: a record has the edges of its window, or the
            numbers of windows of the whole picture.
        full: whether a record also has the fields that are lists, as JSON.
    """

    labels: int = 0
    classes: tuple[str, ...] = ()
    full: bool = False
    windows: bool = False

    def titles(self) -> list[str]:
        """Return the header."""
        labels = [title for number in range(1, self.labels + 1) for title in _label_titles(number)]
        shares = [f"share_{printable(name)}" for name in self.classes]
        return [
            "path",
            *(EDGES if self.windows else ()),
            *labels,
            *shares,
            *BEFORE,
            *self._nested(),
            *AFTER,
            *(COUNTS if self.windows else ()),
        ]

    def record(self, row: Row) -> list[Any]:
        """Return the cells of a row, empty where there is no value; text is not yet escaped."""
        values = row.to_dict()
        edges, counts = values.get("window", [""] * len(EDGES)), values.get("windows", {})
        values |= {name: json.dumps(values[name], ensure_ascii=False) for name in NESTED if name in values}
        fields = (values.get(name, "") for name in (*BEFORE, *self._nested(), *AFTER))
        places = edges if self.windows else ()
        numbers = [counts.get(name.removesuffix("_windows"), "") for name in COUNTS] if self.windows else ()
        return [values["path"], *places, *self._label_cells(row), *self._share_cells(row), *fields, *numbers]

    def _nested(self) -> tuple[str, ...]:
        return NESTED if self.full else ()

    def _label_cells(self, row: Row) -> Iterator[str | float]:
        for number in range(self.labels):
            if number < len(row.labels):
                values = row.labels[number].to_dict()
                yield from (values["label"], values["probability"])
            else:
                yield from ("", "")

    def _share_cells(self, row: Row) -> Iterator[str | float]:
        """Yield the share of each class: 0 for one that does not occur, nothing for a picture that failed."""
        shares = {share.index: share.to_dict()["share"] for share in row.shares}
        for index in range(len(self.classes)):
            yield "" if row.error is not None else shares.get(index, 0.0)


def _label_titles(number: int) -> tuple[str, str]:
    suffix = "" if number == 1 else f"_{number}"
    return f"label{suffix}", f"probability{suffix}"
