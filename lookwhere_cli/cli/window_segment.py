"""`lookwhere segment --window`: a tiled TIFF or GeoJSON for each picture, written window by window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lookwhere_cli.cli.mask_output import OVERLAY, MaskRequest, PendingFiles
from lookwhere_cli.cli.output import make_folder
from lookwhere_cli.cli.results import ResultOutput
from lookwhere_cli.cli.summary import listed
from lookwhere_cli.cli.window_options import Manners, WindowRequest
from lookwhere_cli.cli.window_results import write_in_windows
from lookwhere_cli.cli.window_resume import kept_sentence, say_kept
from lookwhere_cli.cli.window_rows import KeptRows
from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.source import Source
from lookwhere_cli.images.view import View
from lookwhere_cli.interrupts import delayed
from lookwhere_cli.output.files import output_of_one_picture, whole_file, writing
from lookwhere_cli.output.geo.mask_tiff import open_mask
from lookwhere_cli.output.geo.writers import MaskGeoJsonWriter
from lookwhere_cli.output.rows import Row
from lookwhere_cli.segmenter import Segmented, Segmenter
from lookwhere_cli.show.class_overlay import class_overlay
from lookwhere_cli.show.colours import class_colours, colour_of_class
from lookwhere_cli.show.geometry import shown_size
from lookwhere_cli.text import counted
from lookwhere_cli.windows.kept import KeptArrays, kept_beside
from lookwhere_cli.windows.mask_overview import MaskOverview
from lookwhere_cli.windows.masks import MaskGrid, MaskPart, WholeMask, mask_parts
from lookwhere_cli.windows.picture import PlannedPicture, open_planned
from lookwhere_cli.windows.placing import placement_of

WritePart = Callable[[MaskPart], None]


class MaskFile(NamedTuple):
    """How the mask of a picture is written: as the ending of the path says, .tif or .geojson."""

    path: Path
    labels: Sequence[str]
    colours: UInt8[np.ndarray, "classes 3"]

    def open(self, source: Source, grid: MaskGrid) -> AbstractContextManager[WritePart]:
        """Return a context manager whose value writes parts; the file gets its name if the block succeeds."""
        return self._tiff(source, grid) if self.path.suffix == ".tif" else self._geojson(source)

    @contextmanager
    def _tiff(self, source: Source, grid: MaskGrid) -> Iterator[WritePart]:
        with open_mask(self.path, grid.canvas(source), self.labels, self.colours, grid.side) as mask:
            yield lambda part: None if part.classes is None else mask.write(*part.corner, part.classes)

    @contextmanager
    def _geojson(self, source: Source) -> Iterator[WritePart]:
        placement = placement_of(source)
        with whole_file(self.path) as stream:
            with writing(self.path):
                writer = MaskGeoJsonWriter(stream, colour_of_class)

            def write(part: MaskPart) -> None:
                """Add the polygons of a part of the mask; a failed window's part has none."""
                if part.classes is not None:
                    with delayed(), writing(self.path):
                        writer.write(part.row, part.classes, part.box, placement)

            yield write
            with writing(self.path):
                writer.close()


class MaskRun:
    """A run over pictures whose masks are written in windows.

    pending: the files to write, by picture. rows: what is kept of the file of rows; its keys identify pictures with all
    that decides their masks.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        request: WindowRequest,
        masks: MaskRequest,
        pending: Mapping[str, PendingFiles],
        rows: KeptRows,
    ) -> None:
        self.segmenter, self.request = segmenter, request
        self.out = masks.masks.out if pending else rows.file
        self._masks, self._pending, self._rows = masks, pending, rows
        self._kept: list[Path] = []
        self._quiet = False

    def begin(self, pictures: Sequence[str], quiet: bool) -> None:
        """Remember what may be said; what an earlier run left is used as a picture is opened."""
        self._quiet = quiet

    def end(self, is_written: bool) -> None:
        """Clean up after the file of rows: what is kept of a mask is removed as soon as all of it is written."""
        self._rows.end(is_written)

    @property
    def kept_in(self) -> str:
        """Return the sentence about what a stopped run leaves; empty if it leaves nothing."""
        return kept_sentence(self._kept)

    @contextmanager
    def open(self, picture: str) -> Iterator[_MaskReading]:
        """Open a picture, its mask, and what an earlier run has kept of it."""
        files = self._pending[picture]
        labels = self.segmenter.labels
        file = MaskFile(files.path.file(self._masks.masks.ending), labels, class_colours(len(labels)))
        kept = KeptArrays(kept_beside(file.path), self._rows.keys[picture])
        self._kept.append(kept.path)
        with output_of_one_picture():
            make_folder(file.path.parent)
        with (
            suppress(_Unfinished),
            open_planned(self.segmenter.predictor, picture, self.request.options, kept) as reading,
            ExitStack() as opened,
        ):
            say_kept(kept, self._quiet)
            mask = file.open(reading.source, MaskGrid.of(reading.plan)) if files.mask else nullcontext(_write_nothing)
            with output_of_one_picture():
                write = opened.enter_context(mask)
            masks = _MaskReading(self.segmenter, reading, files, file, write, opened, kept)
            yield masks
            if not masks.is_whole:
                raise _Unfinished


def _write_nothing(part: MaskPart) -> None:
    pass


class _Unfinished(Exception):  # noqa: N818 - it discards a file, and nobody sees it
    pass


class _MaskReading:
    """A picture that is open, with its mask; see `WindowReading`."""

    def __init__(
        self,
        segmenter: Segmenter,
        reading: PlannedPicture,
        files: PendingFiles,
        file: MaskFile,
        write: WritePart,
        opened: ExitStack,
        kept: KeptArrays,
    ) -> None:
        self.plan, self.source, self.is_whole = reading.plan, reading.source, False
        self._source, self._segmenter, self._files, self._file = reading.source, segmenter, files, file
        self._write, self._opened, self._kept = write, opened, kept
        self._view = View(reading.source, reading.plan.pipeline.reader.reading)
        self._whole = WholeMask(reading.source, reading.plan, segmenter.labels)
        self._overview = MaskOverview(reading.source.size, shown_size(self._view))

    def answers(self) -> Iterator[Segmented]:
        """Write the mask of each window, and yield its row."""
        for answered, part in mask_parts(self._segmenter.predictor, self._source, self.plan, self._kept):
            self._whole.add(answered, part)
            with output_of_one_picture():
                self._write(part)
            self._overview.add(part)
            yield Segmented(part.row)

    def whole(self) -> Segmented:
        """Complete the files, and return the row of the picture with its classes at the size of the overview."""
        row = self._whole.finish()
        if row.error is not None:
            raise PictureError(row.error)
        with output_of_one_picture():
            self._opened.close()
        if row.windows is not None and row.windows.failed:
            self._kept.leave()  # the same command tries them again
        else:
            self._kept.remove()
        self.is_whole = True
        if self._files.mask:
            row = replace(row, mask=str(self._file.path))
        if self._files.overlay:
            self._draw(row)
        return Segmented(row, self._overview.classes, self._view)

    def _draw(self, row: Row) -> None:
        classes, (height, width) = self._overview.classes, self._source.size
        picture = Image.fromarray(self._source.read((0, 0, width, height), *classes.shape))
        drawn = class_overlay(picture, classes, row.shares, self._file.colours, f"{row.model}, {row.summary}")
        path = self._files.path.file(OVERLAY)
        with output_of_one_picture(), whole_file(path) as stream, writing(path):
            drawn.save(stream, format="PNG")


def segment_in_windows(
    segmenter: Segmenter,
    request: WindowRequest,
    masks: MaskRequest,
    pending: Mapping[str, PendingFiles],
    rows: KeptRows,
    destination: AbstractContextManager[ResultOutput],
    manners: Manners,
) -> None:
    """Write the masks of pictures in windows, say what was written, and exit with 1 if something failed.

    rows: what is kept of the file of rows.
    """
    run = MaskRun(segmenter, request, masks, pending, rows)
    what = f"the {listed(masks.kinds(pending) or ['rows'])} of {counted(len(pending or rows.keys), 'picture')}"
    write_in_windows(run, list(pending), rows.kept(destination, pending), manners, what)


def has_unread_windows(keys: Mapping[str, str], picture: str, file: Path) -> bool:
    """Return True for a picture's mask that exists and whose run with the same options could not read some windows.

    keys: of pictures that are read in windows, with all that decides their masks.
    """
    key = keys.get(picture)
    return key is not None and file.exists() and KeptArrays(kept_beside(file), key).belongs is True
