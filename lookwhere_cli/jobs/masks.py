"""Masks of a job: a file for each picture beside the shards, or run lengths inside them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import UInt8

from lookwhere_cli.extras import require
from lookwhere_cli.jobs.folder import LocalFolder, open_folder
from lookwhere_cli.output.files import output_of_one_picture
from lookwhere_cli.output.masks.coco import require_coco
from lookwhere_cli.output.masks.geojson import write_geojson
from lookwhere_cli.output.masks.index_png import write_png
from lookwhere_cli.output.masks.labelmap import NAME, labelmap
from lookwhere_cli.output.masks.paths import fitting_name
from lookwhere_cli.output.masks.polygons import require_shapely
from lookwhere_cli.output.rows import Row
from lookwhere_cli.show.colours import class_colours

Classes = UInt8[np.ndarray, "height width"]
Written = tuple[str | None, dict[str, Any]]
"""The path of the mask's file, if it has one, and the columns that the row gets."""


class MaskStore(ABC):
    """Where masks go. folder: the job's. labels: the names of the classes."""

    def __init__(self, folder: str, labels: Sequence[str]) -> None:
        self._name, self._folder, self._labels = folder, open_folder(folder), labels
        self._colours = class_colours(len(labels))

    @abstractmethod
    def write(self, stem: str, row: Row, classes: Classes) -> Written:
        """Write a picture's mask; `stem` is the path of its files below the folder. Raises PictureError."""

    def fields(self) -> list[Any]:
        """Return pyarrow's fields for the columns that rows get."""
        return []


class FileMasks(MaskStore):
    """A file for each picture."""

    ending = ""

    def write(self, stem: str, row: Row, classes: Classes) -> Written:
        """Write the file, in place of what a run that was killed may have left."""
        folder, _, name = stem.rpartition("/")
        file = "/".join(filter(None, [folder, fitting_name(name, self.ending)]))
        with output_of_one_picture():
            if isinstance(self._folder, LocalFolder):
                local = self._folder.path / file
                local.parent.mkdir(parents=True, exist_ok=True)
                self.draw(local, stem, row, classes)
                return str(local), {}
            with TemporaryDirectory(prefix="lookwhere-") as place:
                local = Path(place) / f"mask{self.ending}"
                self.draw(local, stem, row, classes)
                self._folder.put(local, file)
        return f"{self._folder.name}/{file}", {}

    @abstractmethod
    def draw(self, file: Path, stem: str, row: Row, classes: Classes) -> None:
        """Write the mask to a file of this machine."""


class PngMasks(FileMasks):
    """Indexed PNGs, and one labelmap.txt."""

    ending = ".png"

    def __init__(self, folder: str, labels: Sequence[str]) -> None:
        super().__init__(folder, labels)
        if not self._folder.exists(NAME):
            self._folder.write(NAME, labelmap(labels, self._colours).encode())

    def draw(self, file: Path, stem: str, row: Row, classes: Classes) -> None:
        """Write a PNG."""
        write_png(file, classes, self._colours)


class GeoJsonMasks(FileMasks):
    """GeoJSON. Raises UsageError if shapely is missing."""

    ending = ".geojson"

    def __init__(self, folder: str, labels: Sequence[str]) -> None:
        super().__init__(folder, labels)
        require_shapely()

    def draw(self, file: Path, stem: str, row: Row, classes: Classes) -> None:
        """Write the classes that occur as polygons."""
        ending = "" if row.path.endswith(stem) else os.path.splitext(row.path)[1]  # noqa: PTH122 - it may hold any bytes
        write_geojson(file, stem + ending, classes, row.shares)


class RunLengthMasks(MaskStore):
    """COCO's run lengths in a column `rle` of the rows: index, label, size, counts. Raises UsageError as above."""

    def __init__(self, folder: str, labels: Sequence[str]) -> None:
        super().__init__(folder, labels)
        self._coco = require_coco()

    def write(self, stem: str, row: Row, classes: Classes) -> Written:
        """Encode each class that occurs."""
        return None, {"rle": [self._encoded(share.index, classes) for share in row.shares]}

    def fields(self) -> list[Any]:
        """Return the field `rle`."""
        arrow = require("pyarrow", "parquet", "A job")
        integer, text = arrow.int64(), arrow.string()
        mask = arrow.struct([("label", text), ("index", integer), ("size", arrow.list_(integer)), ("counts", text)])
        return [arrow.field("rle", arrow.list_(mask))]

    def _encoded(self, index: int, classes: Classes) -> dict[str, Any]:
        lengths = self._coco.encode((classes == index).astype("uint8", order="F"))
        size, counts = list(map(int, lengths["size"])), lengths["counts"].decode()
        return {"label": self._labels[index], "index": index, "size": size, "counts": counts}


MASKS: dict[str, Callable[[str, Sequence[str]], MaskStore]] = {
    "png": PngMasks,
    "geojson": GeoJsonMasks,
    "rle": RunLengthMasks,
}
"""By format."""
ENDINGS = {"png": PngMasks.ending, "geojson": GeoJsonMasks.ending, "rle": ""}
"""Of each format's files; "" if there are none."""
