"""Masks in COCO's form: one JSON file for all pictures, an annotation with run lengths for each class of a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lookwhere_cli.errors import UsageError
from lookwhere_cli.text import printable

if TYPE_CHECKING:  # this is imported for --help, too
    import numpy as np
    from numpy.typing import NDArray

    from lookwhere_cli.output.rows import Row

NAME = "annotations.json"


@dataclass(frozen=True)
class Annotations:
    """What such a file holds of pictures: its images and annotations as COCO has them."""

    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The pictures' paths, as `file_name` has them."""
        return {image["file_name"] for image in self.images}

    def without(self, names: set[str]) -> Annotations:
        """The same but for the pictures of those names."""
        images = [image for image in self.images if image["file_name"] not in names]
        kept = {image["id"] for image in images}
        return Annotations(images, [one for one in self.annotations if one["image_id"] in kept])


def categories(labels: Sequence[str]) -> list[dict[str, Any]]:
    """The classes as COCO counts them, from 1: many of its readers take 0 for the background."""
    return [{"id": index, "name": printable(label)} for index, label in enumerate(labels, start=1)]


def read_annotations(file: Path, labels: Sequence[str]) -> Annotations:
    """What an earlier run left in the file; nothing where there is none.

    Raises UsageError where the file holds something else, or other classes.
    """
    if not file.exists():
        return Annotations()
    try:
        content = json.loads(file.read_bytes())
        found, theirs = Annotations(content["images"], content["annotations"]), content["categories"]
        known = theirs == categories(labels) and len(found.names) == len(found.images)
    except (OSError, ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise UsageError(
            f"{str(file)!r} holds something else than this model's classes; choose another --out, or --overwrite."
        )
    return found


class CocoWriter:
    """Writes annotations as they come; pictures, which are small, when all are done. `close` makes it whole."""

    def __init__(self, stream: BinaryIO, labels: Sequence[str], before: Annotations) -> None:
        """Begin with what was there before. Raises UsageError where pycocotools is missing."""
        self._mask = coco_mask()
        self._stream, self._labels, self._images = stream, labels, list(before.images)
        self._image = max((image["id"] for image in before.images), default=0)
        self._annotation = 0
        self._stream.write(b'{"annotations": [')
        for annotation in before.annotations:
            self._add(annotation)

    def write(self, name: str, row: Row, classes: NDArray[np.uint8]) -> None:
        """Add a picture, under its `name`, by its class indices (height, width)."""
        self._image += 1
        size = {"width": row.width, "height": row.height}
        self._images.append({"id": self._image, "file_name": printable(name), **size})
        for share in row.shares:
            run_lengths = self._mask.encode((classes == share.index).astype("uint8", order="F"))
            self._add(
                {
                    "image_id": self._image,
                    "category_id": share.index + 1,
                    "segmentation": {"size": run_lengths["size"], "counts": run_lengths["counts"].decode()},
                    "area": int(self._mask.area(run_lengths)),
                    "bbox": self._mask.toBbox(run_lengths).tolist(),
                    "iscrowd": 0,
                }
            )

    def close(self) -> None:
        """Write the pictures and the classes."""
        rest = {"images": self._images, "categories": categories(self._labels)}
        self._stream.write(b"\n],\n" + _json(rest).encode()[1:] + b"\n")

    def _add(self, annotation: dict[str, Any]) -> None:
        self._stream.write(b",\n" if self._annotation else b"\n")
        self._annotation += 1
        self._stream.write(_json({**annotation, "id": self._annotation}).encode())


def coco_mask() -> Any:
    """The library for run lengths. Raises UsageError, which names what to install, where it is missing."""
    try:
        from pycocotools import mask
    except ImportError as missing:
        raise UsageError(
            "--format rle needs pycocotools, which is not installed; install it with: pip install 'lookwhere[segment]'."
        ) from missing
    return mask


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
