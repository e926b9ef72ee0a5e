"""The mask of a picture that is read in windows, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.heads.missing import UNKNOWN_NODATA, leave_out_nodata
from lookwhere_cli.heads.segment import SegmentHead
from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.source import Source
from lookwhere_cli.output.geo.mask_tiff import MaskCanvas
from lookwhere_cli.output.rows import Row, Share
from lookwhere_cli.pipeline import Answer
from lookwhere_cli.windows.kept import KeptArrays
from lookwhere_cli.windows.placing import area_of
from lookwhere_cli.windows.plan import Answering, Window, WindowPlan
from lookwhere_cli.windows.pool import WholePicture
from lookwhere_cli.windows.resume import in_order, missing_windows
from lookwhere_cli.windows.run import WindowAnswer, answer_windows

Area: TypeAlias = tuple[float, str]
"""A number and its unit."""


class MaskPart(NamedTuple):
    """The pixels of a mask that one window decides: those to which no other window's middle is nearer.

    row: the window's; its shares are those of the part, or it has `error`. corner: left, top in the mask's pixels.
    classes: class indices, NODATA where a raster has no data; None for a window that can't be read. counts: pixels of
    each class. box: left, top, right, bottom of the part in full-resolution pixels. area: what it covers, in m² or µm²,
    if that is known.
    """

    row: Row
    corner: tuple[int, int]
    classes: UInt8[ndarray, "height width"] | None
    counts: Int64[ndarray, " classes"]
    box: Box
    area: Area | None


@dataclass(frozen=True, eq=False)
class MaskGrid:
    """Which pixels of a mask each window decides.

    size: the mask's (height, width). scale: full-resolution pixels, down and across, to a pixel of the mask.
    """

    plan: WindowPlan
    size: tuple[int, int]
    scale: tuple[float, float]
    rows: Int64[ndarray, " edges"]
    columns: Int64[ndarray, " edges"]

    @classmethod
    def of(cls, plan: WindowPlan) -> MaskGrid:
        """Return the mask of a plan: at full resolution, or at that of the windows if it is coarser."""
        size = tuple(
            max(1, round(side / max(1.0, one))) for side, one in zip(plan.grid.size, plan.size.scale, strict=True)
        )
        scale = tuple(whole / side for whole, side in zip(plan.grid.size, size, strict=True))
        down, across = plan.grid.cores()
        edges = _whole(down / scale[0]), _whole(across / scale[1])
        return cls(plan, (size[0], size[1]), (scale[0], scale[1]), *edges)

    @property
    def side(self) -> int:
        """The side of windows in the mask's pixels, about."""
        return round(self.plan.size.shape[1] / self.scale[1])

    def place(self, number: int) -> tuple[int, int, int, int]:
        """Return left, top, right, bottom, in the mask's pixels, of the part that a window decides."""
        row, column = divmod(number, len(self.plan.grid.lefts))
        (top, bottom), (left, right) = self.rows[row : row + 2].tolist(), self.columns[column : column + 2].tolist()
        return left, top, right, bottom

    def box(self, place: tuple[int, int, int, int]) -> Box:
        """Return a place in the mask in full-resolution pixels."""
        down, across = self.scale
        return place[0] * across, place[1] * down, place[2] * across, place[3] * down

    def canvas(self, source: Source) -> MaskCanvas:
        """Return the mask as a file has it: where it lies on the Earth, or how large its pixels are."""
        return canvas_of(source, self.size)


class WholeMask:
    """Collects the parts of a mask: the row of the whole picture, with the shares of the pixels that were read."""

    def __init__(self, source: Source, plan: WindowPlan, labels: tuple[str, ...]) -> None:
        self._labels, self._whole = labels, WholePicture(source, plan)
        self._pixels = np.zeros(len(labels), np.int64)
        self._areas = np.zeros(len(labels))
        self._unit: str | None = None

    def add(self, answered: WindowAnswer, part: MaskPart) -> None:
        """Add a window and its part of the mask."""
        self._whole.add(answered)
        self._pixels += part.counts
        if part.area is not None and part.classes is not None:
            self._areas += part.counts / max(1, part.classes.size) * part.area[0]
            self._unit = part.area[1]

    def finish(self) -> Row:
        """Return the row of the whole picture."""
        row = self._whole.finish().row
        return row if row.error is not None else replace(row, shares=self._shares())

    def _shares(self) -> tuple[Share, ...]:
        areas: list[float | None] = [None if self._unit is None else area for area in self._areas.tolist()]
        return _shares_of(self._pixels, self._labels, areas, self._unit)


def mask_parts(
    predictor: Answering, source: Source, plan: WindowPlan, kept: KeptArrays | None = None
) -> Iterator[tuple[WindowAnswer, MaskPart]]:
    """Yield each window's answer and its part of the mask, in reading order.

    The model must be one that labels every pixel. kept: where finished parts are kept, with a plan; those of an
    earlier run come without views. Memory does not grow with the picture.
    """
    head, cutter = plan.pipeline.head, _Cutter(source, MaskGrid.of(plan), predictor.pipeline.config.labels)
    assert isinstance(head, SegmentHead)
    scaled = replace(plan, pipeline=replace(plan.pipeline, head=replace(head, scale=cutter.grid.scale)))
    if kept is None:
        yield from map(cutter.cut_answered, answer_windows(predictor, source, scaled))
        return
    missing = missing_windows(plan, kept.numbers)

    def computed() -> Iterator[tuple[WindowAnswer, MaskPart]]:
        """Yield the answer and the mask of each missing window."""
        for answered, part in map(cutter.cut_answered, answer_windows(predictor, source, scaled.only(missing))):
            if part.classes is not None:  # what can't be read is tried again
                kept.keep(answered.window.number, part.row, {"classes": part.classes})
            yield answered, part

    def finished(window: Window) -> tuple[WindowAnswer, MaskPart]:
        """Return the answer and the mask of a window that an earlier run finished."""
        row, arrays = kept.read(window.number)
        return WindowAnswer(window, Answer(row)), cutter.part(row, window, arrays["classes"])

    yield from in_order(plan, missing, finished, computed())


class _Cutter:
    """Cuts the parts of a mask out of the classes of windows."""

    def __init__(self, source: Source, grid: MaskGrid, labels: tuple[str, ...]) -> None:
        self.grid, self._source, self._labels = grid, source, labels

    def cut(self, answered: WindowAnswer) -> MaskPart:
        """Return the part that a window decides."""
        row, window = answered.row, answered.window
        if row.error is not None:
            return self.part(row, window, None)
        place = self.grid.place(window.number)
        classes = _sampled(answered.answer, window.box, self.grid, place)
        try:
            leave_out_nodata(self._source, self.grid.box(place), classes)
        except PictureError:
            row = row.noted(UNKNOWN_NODATA)
        return self.part(row, window, classes)

    def cut_answered(self, answered: WindowAnswer) -> tuple[WindowAnswer, MaskPart]:
        """Return a window's answer and the part that it decides."""
        return answered, self.cut(answered)

    def part(self, row: Row, window: Window, classes: UInt8[ndarray, "height width"] | None) -> MaskPart:
        """Return the part with these classes, and its shares and area."""
        place = self.grid.place(window.number)
        box, counts = self.grid.box(place), np.zeros(len(self._labels), np.int64)
        area = area_of(self._source, box)
        if classes is not None:
            counts += np.bincount(classes.ravel(), minlength=len(self._labels))[: len(self._labels)]
            square, unit = area or (None, None)
            areas = [None if square is None else square * count / max(1, classes.size) for count in counts.tolist()]
            row = replace(row, shares=_shares_of(counts, self._labels, areas, unit))
        return MaskPart(row, place[:2], classes, counts, box, area)


def _sampled(
    answer: Answer, window: Box, grid: MaskGrid, place: tuple[int, int, int, int]
) -> UInt8[ndarray, "height width"]:
    """Return the class at the centre of each pixel of a part of the mask."""
    classes: UInt8[ndarray, "h w"] = answer.result.classes
    left, top, right, bottom = place
    rows = nearest(top, bottom, grid.scale[0], window[1], window[3], classes.shape[0])
    columns = nearest(left, right, grid.scale[1], window[0], window[2], classes.shape[1])
    return classes[rows[:, None], columns]


def nearest(start: int, stop: int, scale: float, low: float, high: float, count: int) -> Int64[ndarray, " n"]:
    """Return which of `count` pixels between `low` and `high` is at the centre of each coarser one of start..stop.

    scale: pixels, in terms of `low` and `high`, to a coarser one.
    """
    centres = ((np.arange(start, stop) + 0.5) * scale - low) / (high - low) * count
    return np.clip(np.floor(centres).astype(np.int64), 0, count - 1)


def canvas_of(source: Source, size: tuple[int, int]) -> MaskCanvas:
    """Return a mask of (height, width) pixels that covers a picture, as a file has it: where it lies on the Earth, or
    how large its pixels are.
    """
    down, across = source.size[0] / size[0], source.size[1] / size[1]
    georeference = getattr(source, "georeference", None)
    if georeference is not None:
        return MaskCanvas(size, *_coarser(georeference, across, down))
    spacing = source.spacing if is_large(source) else None
    if spacing is None or spacing.unit != "µm":
        return MaskCanvas(size)
    return MaskCanvas(size, pixel=(spacing.across * across, spacing.down * down))


def _shares_of(
    counts: Int64[ndarray, " classes"], labels: tuple[str, ...], areas: list[float | None], unit: str | None
) -> tuple[Share, ...]:
    """Return the shares of the classes that occur, the largest first."""
    total, order = max(1, int(counts.sum())), np.argsort(-counts, kind="stable").tolist()
    return tuple(
        Share(labels[index], index, int(counts[index]) / total, areas[index], unit) for index in order if counts[index]
    )


def _coarser(georeference: Any, across: float, down: float) -> tuple[Any, Any, Any]:
    """Return CRS, transform and ground control points for pixels that are coarser by these factors."""
    from rasterio.control import GroundControlPoint
    from rasterio.transform import Affine

    crs, transform, gcps = georeference
    if transform is not None:
        one = transform
        return crs, Affine(one.a * across, one.b * down, one.c, one.d * across, one.e * down, one.f), None
    moved = [GroundControlPoint(gcp.row / down, gcp.col / across, gcp.x, gcp.y, gcp.z) for gcp in gcps]
    return crs, None, moved


def _whole(edges: Float64[ndarray, " n"]) -> Int64[ndarray, " n"]:
    return np.rint(edges).astype(np.int64)
