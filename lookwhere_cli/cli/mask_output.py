"""The files that `segment` writes for each picture: which ones are missing, and how each format is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from lookwhere_cli.cli.output import make_folder, open_writer
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.films.names import is_film
from lookwhere_cli.output.files import output_of_one_picture, whole_file, writing
from lookwhere_cli.output.masks import coco
from lookwhere_cli.output.masks.paths import OutputPath, check_no_clash
from lookwhere_cli.output.rows import Row
from lookwhere_cli.text import printable

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from lookwhere_cli.images.films.frames import FilmFrame
    from lookwhere_cli.images.view import Picture, View
    from lookwhere_cli.segmenter import Segmented, Segmenter

MaskFormat = Literal["png", "rle", "geojson", "tif"]
WINDOW_FORMATS: tuple[MaskFormat, ...] = ("tif", "geojson")
"""The formats that can be written window by window."""
OVERLAY = ".overlay.png"

WriteMask = Callable[[OutputPath, Row, "UInt8[np.ndarray, 'height width']", "View"], Path]
"""Writes a picture's class indices and returns the file that holds them. Those of slides and rasters are coarser."""


class MaskFiles(ABC):
    """The mask files of one format in the output folder."""

    ending = ""
    """Of the file for each picture; empty if one file holds all masks."""

    def __init__(self, out: Path, overwrite: bool) -> None:
        self.out, self.overwrite = out, overwrite

    def check_library(self) -> None:  # noqa: B027 - PNG needs none
        """Raise UsageError, which names the extra to install, if the format's library is missing."""

    def read_existing(  # noqa: B027 - with a file for each picture there is nothing to extend
        self, paths: Mapping[str, OutputPath], labels: Sequence[str]
    ) -> None:
        """Read the masks of earlier runs, if they are in one file. Raises UsageError if it has other classes."""

    def exists(self, path: OutputPath) -> bool:
        """Return True if the picture's mask has been written, by an earlier run too."""
        return path.file(self.ending).exists()

    @abstractmethod
    def open(self, labels: Sequence[str], colours: UInt8[np.ndarray, "classes 3"]) -> AbstractContextManager[WriteMask]:
        """Return a context manager whose value writes masks. Raises UsageError if files of other classes exist."""


class PngFiles(MaskFiles):
    """An indexed PNG for each picture, and one labelmap.txt."""

    ending = ".png"

    def open(self, labels: Sequence[str], colours: UInt8[np.ndarray, "classes 3"]) -> AbstractContextManager[WriteMask]:
        """Write labelmap.txt; the value writes a PNG."""
        from lookwhere_cli.output.masks.index_png import write_png
        from lookwhere_cli.output.masks.labelmap import labelmap, write_labelmap

        def write(path: OutputPath, row: Row, classes: UInt8[np.ndarray, "height width"], view: View) -> Path:
            """Write class indices as a palette PNG, and return its path. Raises PictureError, OutputError."""
            file = path.file(self.ending)
            with output_of_one_picture():
                make_folder(file.parent)
                write_png(file, classes, colours)
            return file

        write_labelmap(self.out, labelmap(labels, colours), self.overwrite)
        return nullcontext(write)


class GeoJsonFiles(MaskFiles):
    """A GeoJSON file for each picture."""

    ending = ".geojson"

    def check_library(self) -> None:
        """Raise UsageError if shapely is missing."""
        from lookwhere_cli.output.masks.polygons import require_shapely

        require_shapely()

    def open(self, labels: Sequence[str], colours: UInt8[np.ndarray, "classes 3"]) -> AbstractContextManager[WriteMask]:
        """The value writes a GeoJSON file."""
        from lookwhere_cli.cli.large_masks import write_placed
        from lookwhere_cli.images.large.base import is_large
        from lookwhere_cli.output.masks.geojson import write_geojson

        def write(path: OutputPath, row: Row, classes: UInt8[np.ndarray, "height width"], view: View) -> Path:
            """Write polygons, on a map in its coordinates, and return the path. Raises PictureError, OutputError."""
            file = path.file(self.ending)
            with output_of_one_picture():
                make_folder(file.parent)
                if is_large(view.source):
                    write_placed(file, row, classes, view)
                else:
                    write_geojson(file, path.relative, classes, row.shares)
            return file

        return nullcontext(write)


class CocoFile(MaskFiles):
    """One annotations.json with run lengths, which grows with each run."""

    def __init__(self, out: Path, overwrite: bool) -> None:
        super().__init__(out, overwrite)
        self._file = out / coco.NAME
        self._existing = coco.Annotations()
        self._own: set[str] = set()

    def check_library(self) -> None:
        """Raise UsageError if pycocotools is missing."""
        coco.require_coco()

    def read_existing(self, paths: Mapping[str, OutputPath], labels: Sequence[str]) -> None:
        """Read the annotations of earlier runs; with `overwrite`, only those of other pictures.

        Raises UsageError if the file has other classes, unless it is to be overwritten.
        """
        self._own = {printable(path.relative) for path in paths.values()}
        self._existing = self._read(labels)

    def _read(self, labels: Sequence[str]) -> coco.Annotations:
        try:
            existing = coco.read_annotations(self._file, labels)
        except UsageError:
            if not self.overwrite:
                raise
            return coco.Annotations()
        return existing.without(self._own) if self.overwrite else existing

    def exists(self, path: OutputPath) -> bool:
        """Return True if the file had annotations of the picture."""
        return printable(path.relative) in self._existing.names

    @contextmanager
    def open(self, labels: Sequence[str], colours: UInt8[np.ndarray, "classes 3"]) -> Iterator[WriteMask]:
        """The value adds annotations. Ctrl-C leaves a complete file; no other process writes it meanwhile."""

        def writer(stream: BinaryIO) -> coco.CocoWriter:
            """Return a writer that goes on after the pictures that the file has by now."""
            self._existing = self._read(labels)  # again: another process may have added pictures before it was ours
            return coco.CocoWriter(stream, labels, self._existing)

        with open_writer(whole_file(self._file), writer, self._file) as write_annotations:

            def write(path: OutputPath, row: Row, classes: UInt8[np.ndarray, "height width"], view: View) -> Path:
                """Add a picture's annotations, unless it has some. Raises PictureError for a reduced mask."""
                if classes.shape != view.size:
                    raise PictureError(
                        f"{row.path!r} is too large for run lengths; write its mask with --format tif or geojson."
                    )
                if not self.exists(path):
                    write_annotations(path.relative, row, classes)
                return self._file

            yield write


class TiffFiles(MaskFiles):
    """A tiled TIFF for each picture."""

    ending = ".tif"

    def check_library(self) -> None:
        """Raise UsageError if rasterio is missing."""
        from lookwhere_cli.output.geo.mask_tiff import require_rasterio

        require_rasterio()

    def open(self, labels: Sequence[str], colours: UInt8[np.ndarray, "classes 3"]) -> AbstractContextManager[WriteMask]:
        """The value writes a TIFF."""
        from lookwhere_cli.output.geo.mask_tiff import TILE, open_mask
        from lookwhere_cli.windows.masks import canvas_of

        def write(path: OutputPath, row: Row, classes: UInt8[np.ndarray, "height width"], view: View) -> Path:
            """Write class indices as a tiled TIFF, and return its path. Raises PictureError, OutputError."""
            file = path.file(self.ending)
            with output_of_one_picture():
                make_folder(file.parent)
                with open_mask(file, canvas_of(view.source, classes.shape), labels, colours, TILE) as mask:
                    mask.write(0, 0, classes)
            return file

        return nullcontext(write)


MASK_FILES: dict[MaskFormat, type[MaskFiles]] = {
    "png": PngFiles,
    "rle": CocoFile,
    "geojson": GeoJsonFiles,
    "tif": TiffFiles,
}


class PendingFiles(NamedTuple):
    """The files of a picture that are to be written."""

    picture: str
    path: OutputPath
    mask: bool
    overlay: bool


class MaskRequest(NamedTuple):
    """What the user asked to be written."""

    masks: MaskFiles
    overlay: bool
    overwrite: bool

    def check(self, paths: Mapping[str, OutputPath]) -> None:
        """Raise UsageError if a file would replace a picture or another file."""
        endings = [self.masks.ending] if self.masks.ending else []
        check_no_clash(paths, [*endings, *[OVERLAY] * self.overlay])

    def pending(
        self,
        paths: Mapping[str, OutputPath],
        labels: Sequence[str],
        is_unfinished: Callable[[str, Path], bool] = lambda picture, file: False,
    ) -> dict[str, PendingFiles]:
        """Return the files to be written, by picture; pictures whose files all exist are left out.

        is_unfinished: tells of a picture and its mask that exists whether parts of it are to be tried again.
        Raises UsageError if a file of an earlier run has other classes.
        """
        self.masks.read_existing(paths, labels)
        pending = {
            picture: self.files_of(picture, path, is_unfinished(picture, path.file(self.masks.ending)))
            for picture, path in paths.items()
        }
        return {picture: files for picture, files in pending.items() if files.mask or files.overlay or is_film(picture)}

    def skips(self, pending: Mapping[str, PendingFiles]) -> Callable[[FilmFrame], bool]:
        """Return what says of a film's frame whether its files all exist."""

        def has_all(frame: FilmFrame) -> bool:
            """Return True for a frame whose mask and overlay, as far as they are wanted, exist."""
            files = self.files_of(frame.path, pending[frame.path].path.of_frame(frame.moment.frame))
            return not (files.mask or files.overlay)

        return has_all

    def kinds(self, pending: Mapping[str, PendingFiles]) -> list[str]:
        """Return what is to be written, in words: masks, overlays, or both."""
        masks = ["masks"] if any(files.mask or is_film(files.picture) for files in pending.values()) else []
        return masks + (["overlays"] if any(files.overlay for files in pending.values()) else [])

    def files_of(self, picture: str, path: OutputPath, anew: bool = False) -> PendingFiles:
        """Return the files that are to be written for a picture, or for a frame of the film `picture`.

        anew: also those that exist.
        """
        anew = anew or self.overwrite
        mask = anew or not self.masks.exists(path)
        overlay = self.overlay and (anew or not path.file(OVERLAY).exists())
        return PendingFiles(picture, path, mask, overlay)


def write_files(
    segmenter: Segmenter,
    request: MaskRequest,
    pending: Mapping[str, PendingFiles],
    pictures: Iterable[Picture],
    write_mask: WriteMask,
    colours: UInt8[np.ndarray, "classes 3"],
) -> Iterator[Segmented]:
    """Segment the pictures and write their files; yield each result, its row with the path of its mask, once done.

    pictures: those that are pending, films as their frames.
    """
    for result in segmenter.segment(pictures):
        if result.classes is None:
            yield result
            continue
        files, row = pending[result.row.path], result.row
        if row.frame is not None:
            files = request.files_of(row.path, files.path.at(row))
        try:
            if files.mask:
                assert result.view is not None
                row = replace(row, mask=str(write_mask(files.path, row, result.classes, result.view)))
            if files.overlay:
                _write_overlay(segmenter, result, files, colours)
        except PictureError as error:  # a file can't be written, or the picture that an overlay reads again is gone
            yield result._replace(row=Row(row.path, error=str(error)), classes=None, view=None)
        else:
            yield result._replace(row=row)


def _write_overlay(
    segmenter: Segmenter, result: Segmented, files: PendingFiles, colours: UInt8[np.ndarray, "classes 3"]
) -> None:
    from PIL import Image

    from lookwhere_cli.show.class_overlay import class_overlay

    row, classes, file = result.row, result.classes, files.path.file(OVERLAY)
    assert classes is not None and result.view is not None
    original = files.picture if row.frame is None else result.view.original  # one on standard input has no path
    picture = Image.fromarray(segmenter.predictor.pipeline.reader.displayed(original, *classes.shape))
    caption = f"{row.model}, {row.k} of {row.grid[0] * row.grid[1]} cells read"
    overlay = class_overlay(picture, classes, row.shares, colours, caption)
    with output_of_one_picture():
        make_folder(file.parent)
        with whole_file(file) as stream, writing(file):
            overlay.save(stream, format="PNG")
