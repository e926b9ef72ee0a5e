"""A full ViT on overlapping tiles of a picture at full resolution, as SAHI does: what users of detectors do today."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from numpy import ndarray

from lookwhere_cli.detections import Detections
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.heads.detect import DetectHead
from lookwhere_cli.heads.merge import merge_tiles
from lookwhere_cli.images.frame import Box, Reading
from lookwhere_cli.images.large.parts import decode_part, size_of_part
from lookwhere_cli.images.source import Source
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.scoring.costs import Costs
from lookwhere_cli.scoring.passes import Measured
from lookwhere_cli.scoring.variants import at_size
from lookwhere_cli.sizes import check_multiple_of_patch


class TileSource:
    """A square part of a picture, as a picture of its own.

    corner: its left and top in the picture. size: (height, width).
    """

    def __init__(self, picture: Source, corner: tuple[int, int], size: tuple[int, int]) -> None:
        self.size = size
        self._picture, self._corner = picture, corner

    def read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Return a box of the tile, resampled."""
        left, top = self._corner
        moved = (box[0] + left, box[1] + top, box[2] + left, box[3] + top)
        return self._picture.read(moved, height, width)


class TiledAnswer(NamedTuple):
    """What was found in all tiles together.

    tiles, cells, macs: what they took. macs_full: multiply-adds of the full ViT on the whole picture at once.
    """

    detections: Detections
    tiles: int
    cells: int
    macs: int
    macs_full: int


@dataclass
class TiledPipeline:
    """Answers pictures tile by tile, and merges what the tiles have found.

    pipeline: reads all cells of a tile. side: of a tile, in pixels. overlap: share of a tile that the next one shows,
    too. answered: what each picture took, in the last pass.
    """

    pipeline: Pipeline
    side: int
    overlap: float
    answered: list[TiledAnswer] = field(default_factory=list)

    def measure(self, paths: Sequence[str]) -> Iterator[Measured | str]:
        """Yield what scoring needs of each picture, in order; a sentence for one that can't be read."""
        self.answered.clear()
        for path in paths:
            try:
                picture = self._open(path)
            except PictureError as error:
                yield str(error)
                continue
            answer = self.answer(picture)
            self.answered.append(answer)
            yield Measured([_as_rows(answer.detections)], picture.size)

    def answer(self, picture: Source) -> TiledAnswer:
        """Answer all tiles of a picture, and merge."""
        corners = tile_corners(picture.size, self.side, self.overlap)
        height, width = (min(self.side, length) for length in picture.size)
        tiles = [TileSource(picture, (int(left), int(top)), (height, width)) for left, top in corners]
        answers = list(Predictor(self.pipeline).answers(tiles))
        head = self.pipeline.head
        assert isinstance(head, DetectHead)
        found, _ = merge_tiles([answer.result.detections for answer in answers], corners, head.iou, head.limit)
        rows = [answer.row for answer in answers]
        config = self.pipeline.config
        grid = (-(-picture.size[0] // config.patch), -(-picture.size[1] // config.patch))
        full = head.count_full(config, grid)
        return TiledAnswer(found, len(tiles), sum(row.k for row in rows), sum(row.macs for row in rows), full)

    def seconds(self, path: str) -> float:
        """Return the seconds from an opened picture to its merged boxes."""
        picture = self._open(path)
        started = time.perf_counter()
        self.answer(picture)
        return time.perf_counter() - started

    def costs(self) -> Costs:
        """Return the means of the last pass."""
        spent = np.array([(answer.cells, answer.macs, answer.macs_full) for answer in self.answered])
        return Costs(*map(float, spent.mean(axis=0)))

    def _open(self, path: str) -> Source:
        """Decode a picture at full resolution."""
        patch = self.pipeline.config.patch
        return decode_part(path, Reading(patch, patch * (-(-max(size_of_part(path)) // patch) + 1), "whole"))


def tiled(pipeline: Pipeline, side: int, overlap: float) -> TiledPipeline:
    """Return the pipeline reading tiles of `side` pixels. Raises UsageError for impossible tiles, and for a model
    without boxes.
    """
    check_multiple_of_patch("tiles' size", side, pipeline.config.patch)
    if not 0 <= overlap < 1:
        raise UsageError(f"--overlap is {overlap:g}; it must be at least 0 and below 1.")
    head = pipeline.head
    if not isinstance(head, DetectHead):
        raise UsageError(f"--tiles merges boxes, but the model {pipeline.info.name!r} {head.verb}; leave it out.")
    return TiledPipeline(replace(at_size(pipeline, side), head=head.for_scoring()), side, overlap)


def tile_corners(size: tuple[int, int], side: int, overlap: float) -> Int64[ndarray, "tiles 2"]:
    """Return the left and top of each tile of a picture (height, width), row by row.

    The last tile of a row or column ends with the picture, so that all tiles have one size; a picture that is smaller
    than a tile is one.
    """
    tops, lefts = (_starts(length, side, overlap) for length in size)
    return np.array([(left, top) for top in tops for left in lefts], dtype=np.int64)


def _starts(length: int, side: int, overlap: float) -> list[int]:
    step = max(1, round(side * (1 - overlap)))
    last = max(0, length - side)
    return [*range(0, last, step), last]


def _as_rows(found: Detections) -> Float32[ndarray, "boxes 6"]:
    return np.column_stack([found.boxes, found.scores, found.classes]).astype(np.float32)
