"""The boxes that were found in one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Int64
from numpy import ndarray

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.masks.run_lengths import decode
from lookwhere_cli.output.rows import Detection


@dataclass(frozen=True, eq=False)
class Detections:
    """The boxes that were found in a picture, best first.

    Attributes:
        boxes: left, top, right, bottom in full-resolution pixels of the picture as displayed; x to the right, y down,
            (0, 0) is the top left corner of the first pixel.
        scores: 0..1, falling.
        classes: indices in `labels`.
        labels: the names of all of the model's classes.
        masks: the pixels of each object, as COCO's run lengths {"size": [height, width], "counts": text} of the whole
            picture; None if only boxes are known.
    """

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    classes: Int64[ndarray, " n"]
    labels: tuple[str, ...]
    masks: tuple[dict[str, Any], ...] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for arrays of different lengths, rising scores and classes without a name."""
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.scores.shape != (count,) or self.classes.shape != (count,):
            raise ValueError(
                f"boxes, scores and classes have the shapes {self.boxes.shape}, {self.scores.shape} and "
                f"{self.classes.shape}; they must be (n, 4), (n,) and (n,)"
            )
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f"there are {len(self.masks)} masks of {count} boxes")
        if not np.all(self.scores[1:] <= self.scores[:-1]):
            raise ValueError("scores must not rise; use Detections.best_first")
        if count and not 0 <= self.classes.min() <= self.classes.max() < len(self.labels):
            raise ValueError(f"classes must be indices of the {len(self.labels)} labels, from 0")

    @classmethod
    def best_first(
        cls,
        boxes: Float32[ndarray, "n 4"],
        scores: Float32[ndarray, " n"],
        classes: Int64[ndarray, " n"],
        labels: tuple[str, ...],
    ) -> Detections:
        """Sort boxes by score; those with equal scores stay in their order."""
        order = np.argsort(-scores, kind="stable")
        return cls(boxes[order], scores[order], classes[order], labels)

    @classmethod
    def none(cls, labels: tuple[str, ...]) -> Detections:
        """Nothing was found."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), labels)

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Detection]:
        """Yield the boxes as a row holds them, best first."""
        masks = self.masks or (None,) * len(self)
        columns = (self.boxes.tolist(), self.scores.tolist(), self.classes.tolist())
        for (left, top, right, bottom), score, index, mask in zip(*columns, masks, strict=True):
            yield Detection(self.labels[index], index, score, (left, top, right, bottom), mask)

    def select(self, which: Int[ndarray, " m"] | Bool[ndarray, " n"] | slice) -> Detections:
        """Return the boxes at rising indices, where a mask is true, or in a slice."""
        places = np.arange(len(self))[which].tolist()
        masks = None if self.masks is None else tuple(self.masks[place] for place in places)
        return Detections(self.boxes[which], self.scores[which], self.classes[which], self.labels, masks)

    def to_supervision(self) -> Any:
        """Return a `supervision.Detections` with `xyxy`, `confidence`, `class_id` and `data["class_name"]`.

        With masks, `mask` is (n, height, width) bool. Raises UsageError if the package `supervision` is not installed.
        """
        try:
            supervision = import_module("supervision")
        except ImportError as error:
            raise UsageError(
                "to_supervision needs supervision, which is not installed; install it with: pip install supervision."
            ) from error
        names = np.array([self.labels[index] for index in self.classes.tolist()], dtype=np.str_)
        masks = None if not self.masks else np.stack([decode(mask) for mask in self.masks])
        return supervision.Detections(
            xyxy=self.boxes, mask=masks, confidence=self.scores, class_id=self.classes, data={"class_name": names}
        )
