"""Masks in COCO's format: one JSON file for all pictures, one run-length annotation for each class of a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import require
from lookwhere_cli.text import printable

if TYPE_CHECKING:  # --help imports this module, and no NumPy
    import numpy as np
    from jaxtyping import UInt8

    from lookwhere_cli.output.rows import Row

NAME = "annotations.json"


@dataclass(frozen=True)
class Annotations:
    """COCO's images and annotations, as an earlier run wrote them."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def names(self) -> set[str]:
        """The `file_name` of each image."""
        return {image["file_name"] for image in self.images}

    def without(self, names: set[str]) -> Annotations:
        """Return the annotations of all images but those with a `file_name` in `names`, and frames of such films."""
        kept = (image for image in self.images if image["file_name"] not in names)
        images = [image for image in kept if image["file_name"].rpartition("/")[0] not in names]
        ids = {image["id"] for image in images}
        return Annotations(images, [one for one in self.annotations if one["image_id"] in ids])


def categories(labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return COCO's categories for the labels. Ids start at 1, because many readers take 0 for the background."""
    return [{"id": index, "name": printable(label)} for index, label in enumerate(labels, start=1)]


def read_annotations(file: Path, labels: Sequence[str]) -> Annotations:
    """Read the annotations of an earlier run; return none if the file does not exist.

    Raises UsageError if the file is not such a file, or has other classes than `labels`.
    """
    if not file.exists():
        return Annotations()
    try:
        content = json.loads(file.read_bytes())
        annotations = Annotations(content["images"], content["annotations"])
        valid = content["categories"] == categories(labels) and len(annotations.names) == len(annotations.images)
    except (OSError, ValueError, TypeError, KeyError):
        valid = False
    if not valid:
        raise UsageError(
            f"{str(file)!r} does not hold annotations of this model's classes; choose another --out, or --overwrite."
        )
    return annotations


class CocoWriter:
    """Writes annotations as they come. The images, which are small, are held until `close` completes the file."""

    def __init__(self, stream: BinaryIO, labels: Sequence[str], existing: Annotations) -> None:
        """Write the existing annotations first. Raises UsageError if pycocotools is missing."""
        self._coco = require_coco()
        self._stream, self._labels, self._images = stream, labels, list(existing.images)
        self._image_id = max((image["id"] for image in existing.images), default=0)
        self._annotation_id = 0
        self._stream.write(b'{"annotations": [')
        for annotation in existing.annotations:
            self._write(annotation)

    def write(self, name: str, row: Row, classes: UInt8[np.ndarray, "height width"]) -> None:
        """Write the annotations of a picture.

        name: its `file_name`. row: has its size and the shares of its classes. classes: class indices.
        """
        self._image_id += 1
        size = {"width": row.width, "height": row.height}
        self._images.append({"id": self._image_id, "file_name": printable(name), **size})
        for share in row.shares:
            self._write(self._annotation(share.index, classes))

    def close(self) -> None:
        """Write the images and the categories."""
        rest = {"images": self._images, "categories": categories(self._labels)}
        self._stream.write(b"\n],\n" + _json(rest).encode()[1:] + b"\n")

    def _annotation(self, index: int, classes: UInt8[np.ndarray, "height width"]) -> dict[str, Any]:
        run_lengths = self._coco.encode((classes == index).astype("uint8", order="F"))
        return {
            "image_id": self._image_id,
            "category_id": index + 1,
            "segmentation": {"size": run_lengths["size"], "counts": run_lengths["counts"].decode()},
            "area": int(self._coco.area(run_lengths)),
            "bbox": self._coco.toBbox(run_lengths).tolist(),
            "iscrowd": 0,
        }

    def _write(self, annotation: dict[str, Any]) -> None:
        self._stream.write(b",\n" if self._annotation_id else b"\n")
        self._annotation_id += 1
        self._stream.write(_json({**annotation, "id": self._annotation_id}).encode())


def require_coco() -> Any:
    """Return `pycocotools.mask`. Raises UsageError, which names the extra to install, if it is missing."""
    return require("pycocotools.mask", "segment", "--format rle")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
