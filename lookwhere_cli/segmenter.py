"""Masks in Python: each pixel's class, at the picture's own size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.heads.segment import check_not_cropped
from lookwhere_cli.images.view import Picture, View, one_or_several
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.windows.masks import MaskGrid, WholeMask, mask_parts
from lookwhere_cli.windows.options import WindowChanges, WindowOptions
from lookwhere_cli.windows.picture import open_planned


class Segmented(NamedTuple):
    """A picture's row, with shares, its classes and its view; both None for a picture that can't be read.

    classes: (height, width) uint8, each pixel's class index, as the picture is displayed.
    """

    row: Row
    classes: NDArray[np.uint8] | None = None
    view: View | None = None


class SegmentedWindow(NamedTuple):
    """What one window decides of a picture's classes, or the row of the whole picture, which comes last.

    row: the window's has `window`; the whole's has `windows`, and shares of all pixels that were read.
    classes: (height, width) uint8, class indices of the pixels to which no other window's middle is nearer; None for a
    window that can't be read, and for the whole.
    place: left, top, right, bottom of `classes` in the mask of the whole picture; None for the whole.
    size: (height, width) of that mask: the picture's or, with a coarser `mpp` or `gsd`, at that of windows.
    """

    row: Row
    classes: NDArray[np.uint8] | None
    place: tuple[int, int, int, int] | None
    size: tuple[int, int]


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

    def windows(self, picture: Picture, **options: Unpack[WindowChanges]) -> Iterator[SegmentedWindow]:
        """Segment a picture window by window: yield what each window decides, then the row of the whole.

        options: fields of `WindowOptions`: window=1024, overlap=0.2, best="20%". Memory does not grow with the picture.
        Raises PictureError if the picture can't be opened, UsageError for impossible options.
        """
        chosen = WindowOptions(**options)  # type: ignore[arg-type] # it reads these forms
        return self._windows(picture, chosen)

    def _windows(self, picture: Picture, options: WindowOptions) -> Iterator[SegmentedWindow]:
        with open_planned(self.predictor, picture, options) as (source, plan):
            whole, grid = WholeMask(source, plan, self.labels), MaskGrid.of(plan)
            for answered, part in mask_parts(self.predictor, source, plan):
                whole.add(answered, part)
                yield SegmentedWindow(part.row, part.classes, grid.place(answered.window.number), grid.size)
            yield SegmentedWindow(whole.finish(), None, None, grid.size)
