"""How large the windows of a picture are, and on which grid they are read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.frame import Grid
from lookwhere_cli.images.large.base import Spacing, is_large
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.source import Source
from lookwhere_cli.options import AUTO
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.strategies.base import AmountStrategy
from lookwhere_cli.strategies.registry import check_amount
from lookwhere_cli.windows.options import WindowOptions

BOX_OVERLAP = 0.2
"""Share of a window that the next one shows, too, where boxes are looked for: what one cuts, the other has whole."""
_SQUARE = 1.02
"""A pixel of which one side is longer by this ratio is not square."""
_UNITS = {"mpp": "µm", "gsd": "m"}
_NAMES = {"µm": "microns per pixel (--mpp)", "m": "metres per pixel (--gsd)"}


class WindowSize(NamedTuple):
    """The size of all windows of a picture.

    side: of a window in the pixels that are read. shape: (height, width) in full-resolution pixels, not larger than the
    picture. scale: full-resolution pixels, down and across, that a pixel of the window covers.
    """

    side: int
    shape: tuple[int, int]
    scale: tuple[float, float]

    @property
    def is_square(self) -> bool:
        """False if a pixel of the window covers more of one side of the file's pixels than of the other."""
        return max(self.scale) / min(self.scale) < _SQUARE


def window_size(source: Source, pipeline: Pipeline, options: WindowOptions) -> WindowSize:
    """Return the size of a picture's windows.

    Raises PictureError for a resolution in microns or metres of a picture that does not tell its own.
    """
    side = pipeline.reader.reading.size if options.window == AUTO else options.window
    scale = _scale(source, options)
    shape = tuple(min(length, max(1, round(side * one))) for length, one in zip(source.size, scale, strict=True))
    return WindowSize(side, (shape[0], shape[1]), scale)


def overlap_for(pipeline: Pipeline, options: WindowOptions) -> float:
    """Return the share of a window that the next one shows, too."""
    if options.overlap is not None:
        return options.overlap
    return BOX_OVERLAP if pipeline.config.has_boxes else 0.0


def pipeline_for(pipeline: Pipeline, size: WindowSize, options: WindowOptions) -> Pipeline:
    """Return the pipeline as it reads windows of this size: at their own resolution, or on the grid of `options.size`.

    Raises UsageError for a pipeline that crops, and for more cells than a window has.
    """
    reading = pipeline.reader.reading
    if reading.mode == "crop":
        raise UsageError("A crop of every window would leave gaps between windows; leave crop out.")
    patch = reading.patch
    full = reading.size if options.window == AUTO else options.size or -(-size.side // patch) * patch
    if isinstance(pipeline.strategy, AmountStrategy):
        check_amount(pipeline.strategy.k, full, patch)
    stages = len(pipeline.strategy.stage_cells(pipeline.config.grid))  # each of which may need a grid of its own
    rows, columns = _cells(size, full // patch)
    side = max(stages, math.ceil(math.sqrt(rows * columns)))
    grid = None if reading.mode == "stretch" or rows + columns <= stages else (rows, columns)
    reader = PictureReader(replace(reading, size=side * patch, grid=grid), pipeline.reader.thumbnail_grid)
    return replace(pipeline, reader=reader)


def size_notes(source: Source, size: WindowSize) -> tuple[str, ...]:
    """Return what a row should say about the resolution of windows."""
    if min(size.scale) < 1:
        return (f"windows are magnified {1 / min(size.scale):.3g} times: the file has no finer pixels",)
    return ()


def _cells(size: WindowSize, cells: int) -> Grid:
    """Return the rows and columns of a window that has `cells` a side, unless the picture is smaller than that."""
    lengths = [max(1, round(size.side * one)) for one in size.scale]
    rows, columns = (
        cells if length >= whole else math.ceil(cells * length / whole)
        for length, whole in zip(size.shape, lengths, strict=True)
    )
    return rows, columns


def _scale(source: Source, options: WindowOptions) -> tuple[float, float]:
    asked = "mpp" if options.mpp is not None else "gsd" if options.gsd is not None else None
    if asked is None:
        return 1.0, 1.0
    value: float = getattr(options, asked)
    spacing = _spacing(source, asked)
    return value / spacing.down, value / spacing.across


def _spacing(source: Source, asked: str) -> Spacing:
    spacing = source.spacing if is_large(source) else None
    name = in_message(getattr(source, "path", ""))
    if spacing is None:
        raise PictureError(
            f"{name} does not tell how large its pixels are, so --{asked} can't be followed; leave it out, and give "
            "--window in full-resolution pixels."
        )
    if spacing.unit != _UNITS[asked]:
        raise PictureError(f"{name} tells its {_NAMES[spacing.unit]}, not {asked}; give the resolution so.")
    return spacing
