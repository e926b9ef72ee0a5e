"""Masks in Python: each pixel's class, at the picture's own size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.heads.segment import check_not_cropped
from lookwhere_cli.images.view import Picture, View, one_or_several
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor


class Segmented(NamedTuple):
    """A picture's row, with shares, its classes and its view; both None for a picture that can't be read.

    classes: (height, width) uint8, each pixel's class index, as the picture is displayed.
    """

    row: Row
    classes: NDArray[np.uint8] | None = None
    view: View | None = None


class Segmenter:
    """A predictor whose model labels every pixel."""

    def __init__(self, predictor: Predictor) -> None:
        """Raises ModelError for a model of another task, UsageError for a predictor that crops."""
        predictor.pipeline.head.check("segment", predictor.info.name)
        check_not_cropped(predictor.pipeline.reader.reading.mode)
        self.predictor, self.labels = predictor, predictor.config.labels

    def segment(self, pictures: Picture | Iterable[Picture]) -> Iterator[Segmented]:
        """Yield the classes of each picture, in order. One that can't be read gives a row with `error`."""
        for row, view, result in self.predictor.answers(one_or_several(pictures)):
            yield Segmented(row, result and result.classes, view)
