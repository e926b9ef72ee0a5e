"""Where `detect` puts its boxes: rows in a file or on standard output, a file for each picture, overlays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

from lookwhere_cli.cli.output import check_parquet, open_rows, open_writer
from lookwhere_cli.cli.results import ResultOutput
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.extras import require
from lookwhere_cli.images.films.names import is_film
from lookwhere_cli.output.boxes.folders import BOX_FOLDERS, BoxFolder
from lookwhere_cli.output.boxes.writers import BOX_ENDINGS, make_box_writer
from lookwhere_cli.output.files import check_free, is_device, whole_file, writing
from lookwhere_cli.output.masks.paths import OutputPath, check_no_clash, output_paths
from lookwhere_cli.output.rows import Row
from lookwhere_cli.output.writers import WRITERS, RowWriter
from lookwhere_cli.show.console import make_console

if TYPE_CHECKING:
    from lookwhere_cli.images.films.frames import FilmFrame
    from lookwhere_cli.images.view import Picture
    from lookwhere_cli.pipeline import Answer
    from lookwhere_cli.predictor import Predictor

BoxFormat = Literal["text", "json", "jsonl", "csv", "parquet", "coco", "geojson", "yolo", "voc"]
OVERLAY = ".overlay.png"
_WHOLE_FILES = "one file: .csv, .jsonl, .json, .parquet, .geojson, or COCO"
MASK_FORMATS = ("json", "jsonl", "parquet", "coco", "geojson", "yolo")
"""The formats with a place for masks."""


class BoxRequest(NamedTuple):
    """What the user asked for.

    rows: the format of rows in a file or on standard output; None if the format is a folder. file: of the rows; None
    for standard output. folder: the format with a file for each picture, if any. out: the folder of these files and of
    the overlays.
    """

    rows: str | None
    file: Path | None
    folder: str | None
    out: Path | None
    overlay: bool
    overwrite: bool


def box_request(out: Path | None, format: BoxFormat | None, overlay: bool, overwrite: bool) -> BoxRequest:
    """Put the options together. Raises UsageError for those that contradict each other, and for an existing file."""
    if format in BOX_FOLDERS or overlay:
        reason = f"--format {format}" if format in BOX_FOLDERS else "--overlay"
        if out is None:
            raise UsageError(f"{reason} writes a file for each picture; name a folder for them with --out.")
        if out.is_file() or (not out.is_dir() and out.suffix.lower() in BOX_ENDINGS):
            raise UsageError(
                f"{reason} writes a file for each picture, but --out {str(out)!r} is a file; name a folder."
            )
        folder = format if format in BOX_FOLDERS else None
        return BoxRequest(None if folder else format or "text", None, folder, out, overlay, overwrite)
    rows = format or _format_of_ending(out)
    check_parquet(rows)
    if out is not None:
        check_free(out, overwrite)
    return BoxRequest(rows, out, None, None, False, overwrite)


def check_masks_fit(request: BoxRequest, drawn: bool = False) -> None:
    """Raise UsageError if masks were computed and nothing would show them, or a package for them is missing.

    drawn: whether a film shows them.
    """
    format = request.folder or request.rows
    if format not in MASK_FORMATS and not (request.overlay or drawn):
        raise UsageError(
            f"--masks has no effect on {'CSV' if format == 'csv' else format}; write {', '.join(MASK_FORMATS)}, or "
            "draw them with --overlay --out FOLDER."
        )
    if format in ("geojson", "yolo"):
        require("shapely", "segment", f"--format {format} with --masks")


def check_windows_fit(request: BoxRequest, rows: bool, masks: bool) -> None:
    """Raise UsageError for what pictures have only if they are read as a whole. rows: of windows."""
    if request.folder is not None:
        raise UsageError(
            f"--format {request.folder} is for pictures that are read as a whole; with --window, write {_WHOLE_FILES}."
        )
    if masks:
        raise UsageError("--masks finds masks in pictures that are read as a whole; leave it out, or --window.")
    if rows and request.rows not in WRITERS:
        raise UsageError(f"--window-rows adds rows for windows, and {request.rows} has boxes only; write .jsonl.")
    if rows and request.rows == "csv":
        raise UsageError("--window-rows would have every box twice in CSV; write .jsonl, or leave it out.")


def _format_of_ending(out: Path | None) -> str:
    """Return the format of the file's ending; text on standard output. Raises UsageError for any other ending."""
    if out is None or is_device(out):
        return "text"
    if out.suffix.lower() not in BOX_ENDINGS:
        raise UsageError(
            f"--out {str(out)!r} must end in {', '.join(BOX_ENDINGS)}, which sets the format of the boxes; for a file "
            "of another name, give --format (coco, for instance, which is JSON, too)."
        )
    return BOX_ENDINGS[out.suffix.lower()]


@contextmanager
def box_rows(request: BoxRequest, labels: Sequence[str]) -> Iterator[ResultOutput]:
    """Write each result's row in the request's format; for a folder of files, no rows."""
    console = make_console(stderr=True)
    if request.rows is None:
        yield ResultOutput(lambda result: None, console, console.is_terminal, messages=True)
        return
    with _open(request.rows, request.file, labels) as write:
        progress = console.is_terminal and request.file is not None
        yield ResultOutput(
            _with_placement(write) if request.rows == "geojson" else _row_only(write), console, progress, messages=True
        )


def _row_only(write: Callable[[Row], None]) -> Callable[[Answer], None]:
    return lambda answer: write(answer.row)


def _with_placement(write: Callable[..., None]) -> Callable[[Answer], None]:
    """Return a function that writes boxes in the coordinates of their slide or map."""
    from lookwhere_cli.windows.placing import placement_of_large

    return lambda answer: write(answer.row, placement_of_large(answer.view))


def _open(format: str, file: Path | None, labels: Sequence[str]) -> AbstractContextManager[Callable[..., None]]:
    def make(stream: BinaryIO) -> RowWriter:
        """Return a writer of boxes in the format, with a colour for each class."""
        from lookwhere_cli.show.colours import colour_of_class

        return make_box_writer(format, stream, labels, colour_of_class)

    return open_writer(open_rows(file, format), make, file or "standard output")


class PictureFiles:
    """The files of each picture: its boxes in a folder's format, its overlay."""

    def __init__(self, request: BoxRequest, pictures: Sequence[str], inputs: Sequence[str]) -> None:
        """Raises UsageError if a file would replace a picture or another file."""
        assert request.out is not None
        self._request = request
        self.paths = output_paths(pictures, inputs, request.out)
        check_no_clash(self.paths, [OVERLAY] * request.overlay)

    def pending(self, folder: BoxFolder | None) -> dict[str, OutputPath]:
        """Return the pictures some of whose files are missing; with `overwrite`, all."""
        paths = self.paths.items()
        return {picture: path for picture, path in paths if is_film(picture) or any(self._missing(path, folder))}

    def skips(self, folder: BoxFolder | None) -> Callable[[FilmFrame], bool]:
        """Return what says of a film's frame whether its files all exist."""
        return lambda frame: not any(self._missing(self.paths[frame.path].of_frame(frame.moment.frame), folder))

    def overlays(self, anew: bool = False) -> dict[str, Path]:
        """Return the file of each overlay that is missing; with `overwrite` or `anew`, of all."""
        missing = {picture: path for picture, path in self.paths.items() if anew or self._missing(path, None)[1]}
        return {picture: path.file(OVERLAY) for picture, path in missing.items()}

    def write(self, predictor: Predictor, folder: BoxFolder | None, pictures: Iterable[Picture]) -> Iterator[Answer]:
        """Answer the pictures, films as their frames, and write their files; yield each answer once they are."""
        for answer in predictor.answers(pictures):
            if answer.view is None:
                yield answer
                continue
            path = self.paths[answer.row.path].at(answer.row)
            try:
                boxes, overlay = self._missing(path, folder)
                if folder is not None and boxes:
                    folder.write(answer.row, path)
                if overlay:
                    write_overlay(predictor, answer, path.file(OVERLAY))
            except PictureError as error:  # an overlay reads the picture again, at full resolution: it may be gone
                yield answer._replace(row=Row(answer.row.path, error=str(error)), view=None, result=None)
            else:
                yield answer

    def _missing(self, path: OutputPath, folder: BoxFolder | None) -> tuple[bool, bool]:
        """Return whether boxes and overlay of a picture are to be written."""
        every = self._request.overwrite
        boxes = folder is not None and (every or not folder.file(path).exists())
        rows = self._request.rows is not None  # rows are of all pictures
        return boxes or rows, self._request.overlay and (every or not path.file(OVERLAY).exists())


def write_overlay(predictor: Predictor, answer: Answer, file: Path) -> None:
    """Draw the boxes and the cells that were read on the picture as displayed, or on its overview if it is large.

    Raises PictureError.
    """
    from PIL import Image

    from lookwhere_cli.show.box_overlay import box_overlay
    from lookwhere_cli.show.geometry import scaled_box, shown_size

    row, view = answer.row, answer.view
    assert view is not None and row.boxes is not None
    size = shown_size(view)
    picture = Image.fromarray(predictor.pipeline.reader.displayed(view.original, *size))
    boxes = row.boxes
    if size != view.size:
        boxes = tuple(replace(found, box=scaled_box(found.box, view.size, size), mask=None) for found in boxes)
    grid_box, caption = scaled_box(view.box, view.size, size), f"{row.model}, {row.summary}"
    drawn = box_overlay(picture, boxes, row.grid, row.cells, grid_box, caption)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as stream, writing(file):
        drawn.save(stream, format="PNG")
