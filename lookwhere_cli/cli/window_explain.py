"""`lookwhere explain --window`: which windows and cells were read, on the overview."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from PIL import Image

from lookwhere_cli.cli.cards import window_card
from lookwhere_cli.cli.output import make_folder, open_writer
from lookwhere_cli.cli.results import rows_output, terminal_output
from lookwhere_cli.cli.summary import failures, listed, say_done
from lookwhere_cli.cli.window_options import Manners, WindowRequest
from lookwhere_cli.cli.window_results import ResumableRun, say_tried_again, write_windows
from lookwhere_cli.images.names import name_below
from lookwhere_cli.images.view import View
from lookwhere_cli.options import Options
from lookwhere_cli.output.files import is_device, output_of_one_picture, whole_file, writing
from lookwhere_cli.output.rows import Row
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.pipeline import Answer
from lookwhere_cli.show.geometry import scaled_box, shown_size
from lookwhere_cli.show.window_overlay import ShownWindow, WindowMap, window_overlay
from lookwhere_cli.show.window_page import PageWindows, WindowPageWriter
from lookwhere_cli.text import counted
from lookwhere_cli.windows.journal import WindowJournal
from lookwhere_cli.windows.picture import WindowReading
from lookwhere_cli.windows.plan import Window
from lookwhere_cli.windows.run import WindowAnswer
from lookwhere_cli.windows.source import WindowSource

if TYPE_CHECKING:
    from lookwhere_cli.predictor import Predictor

TITLE = "Where the model looked"
WritePicture = Callable[[dict[str, Any]], None]
"""Adds a picture, as `PageWindows.finish` returns it, to a page."""


class WindowFiles(NamedTuple):
    """What is written. out: the overlay or the folder of overlays. overlays: the file of each picture's overlay.

    html: the page. open_page: whether it is opened in a browser.
    """

    out: Path | None
    overlays: Mapping[str, Path]
    html: Path | None
    open_page: bool


class ExplainRun:
    """A run over pictures that are explained in windows.

    answering: answers the windows, and keeps them. overlays: the file of each picture's overlay, if any are drawn.
    page: adds a picture to the page, if there is one. name_of: how the page calls a picture.
    """

    def __init__(
        self,
        answering: ResumableRun,
        overlays: Mapping[str, Path],
        page: WritePicture | None,
        name_of: Callable[[str], str],
    ) -> None:
        self.request, self.out = answering.request, answering.out
        self.overlays, self.page, self.name_of = overlays, page, name_of
        self._answering = answering

    def begin(self, pictures: Sequence[str], quiet: bool) -> None:
        """Say what an earlier run left. Raises UsageError for a file that exists; see `ResumableRun`."""
        self._answering.begin(pictures, quiet)

    def end(self, is_written: bool) -> None:
        """Remove what was kept, if all is written; else leave it, to go on from there."""
        self._answering.end(is_written)

    @property
    def kept_in(self) -> str:
        """Return the sentence about what a stopped run leaves; empty if it leaves nothing."""
        return self._answering.kept_in

    @contextmanager
    def open(self, picture: str) -> Iterator[_ExplainedWindows]:
        """Open a picture."""
        with self._answering.open(picture) as reading:
            yield _ExplainedWindows(self, reading, picture)


class _ExplainedWindows:
    """A picture that is open; see `WindowReading`."""

    def __init__(self, run: ExplainRun, reading: WindowReading, picture: str) -> None:
        self.plan, self.source = reading.plan, reading.source
        self._run, self._reading, self._picture = run, reading, picture
        self._full = reading.source.size
        self._shown = shown_size(View(reading.source, reading.plan.pipeline.reader.reading))
        self._map = WindowMap(self._shown)
        self._windows = None if run.page is None else PageWindows()

    def answers(self) -> Iterator[WindowAnswer]:
        """Draw each window on the map, and yield its answer."""
        for answered in self._reading.answers():
            row = answered.row
            if row.error is None and row.window is not None:
                label = (row.labels[0].label, row.labels[0].index) if row.labels else None
                box = scaled_box(row.window, self._full, self._shown)
                self._map.add(ShownWindow(box, label, row.grid, row.cells))
                if self._windows is not None:
                    self._windows.add(row, answered.answer.view or self._view_of(answered.window))
            yield answered

    def _view_of(self, window: Window) -> View:
        """Return the view of a window that an earlier run has answered."""
        return View(WindowSource(self.source, window.box), self.plan.pipeline.reader.reading)

    def whole(self) -> Answer:
        """Draw the overlay and the page, and return the answer of the picture."""
        answer = self._reading.whole()
        if answer.row.error is None:
            overview = self._overview()
            if self._picture in self._run.overlays:
                self._draw(overview, answer.row, self._run.overlays[self._picture])
            if self._windows is not None and self._run.page is not None:
                name = self._run.name_of(self._picture)
                self._run.page(self._windows.finish(name, overview, answer.row))
        return answer

    def _overview(self) -> Image.Image:
        height, width = self._full
        return Image.fromarray(self._reading.source.read((0, 0, width, height), *self._shown))

    def _draw(self, overview: Image.Image, row: Row, file: Path) -> None:
        boxes = [
            replace(found, box=scaled_box(found.box, self._full, self._shown), mask=None) for found in row.boxes or ()
        ]
        drawn = window_overlay(overview, self._map, boxes, caption_of(row))
        with output_of_one_picture():
            make_folder(file.parent)
            with whole_file(file) as stream, writing(file):
                drawn.save(stream, format="PNG")


def explain_in_windows(
    predictor: Predictor,
    request: WindowRequest,
    files: WindowFiles,
    settings: Options,
    pictures: Sequence[str],
    inputs: Sequence[str],
    overwrite: bool,
    manners: Manners,
) -> None:
    """Explain pictures in windows, say what was written, and exit with 1 if something failed.

    request: with rows of windows, all rows are printed as JSON; else a card for each picture. settings: how the model
    is used. inputs: where the pictures were found.
    """
    printed = rows_output(None, "jsonl", CsvColumns()) if request.rows else terminal_output(window_card)
    place = files.out or files.html
    journal = None if place is None or is_device(place) else WindowJournal(place, with_cells=True)
    written = [*files.overlays.values(), *([] if files.html is None else [files.html])]
    existing = [file for file in written if file.exists()]
    answering = ResumableRun(predictor, request, settings, None, overwrite, journal, existing)
    answering.begin(pictures, manners.quiet)
    with _page_writer(files.html) as page, printed as output:
        run = ExplainRun(answering, files.overlays, page, lambda picture: name_below(picture, inputs))
        tally = write_windows(run, pictures, output, manners)
    answering.end(is_written=not tally.windows.failed)
    say_tried_again(run, tally, manners.quiet)
    done = tally.pictures.done - tally.pictures.failed
    names = [f"{counted(done, 'overlay')} to {files.out}"] if files.out is not None else []
    names += [f"{counted(done, 'picture')} to {files.html}"] if files.html is not None and done else []
    if names:
        say_done(f"Wrote {listed(names)}{failures(tally.pictures.failed)}. {tally.sentence}", manners.quiet)
    if files.open_page and files.html is not None and files.html.exists():
        webbrowser.open(files.html.resolve().as_uri())
    if not tally.is_complete:
        raise typer.Exit(1)


@contextmanager
def _page_writer(file: Path | None) -> Iterator[WritePicture | None]:
    """Yield a function that adds a picture to the page, which begins with the first; Ctrl-C completes the file."""
    with ExitStack() as opened:
        write: list[WritePicture] = []

        def add(picture: dict[str, Any]) -> None:
            """Add a picture with its windows to the page; the first one opens the file."""
            assert file is not None
            if not write:
                page = open_writer(whole_file(file), lambda stream: WindowPageWriter(stream, TITLE), file)
                write.append(opened.enter_context(page))
            write[0](picture)

        yield None if file is None else add


def caption_of(row: Row) -> str:
    """Return the sentence below an overlay: the answer of the whole, and what was read."""
    likely = [label for label in row.labels if label.probability >= 0.5] or row.labels[:1]
    answer = [", ".join(f"{label.label} {label.probability:.1%}" for label in likely)] if likely else []
    counts = row.windows
    if counts is None:
        return "; ".join([*answer, row.summary])
    skipped = {"blank": counts.blank, "outside of the regions": counts.outside, "ranked lower": counts.ranked_out}
    left_out = ", ".join(f"{count:,} {name}" for name, count in skipped.items() if count)
    read = f"{counts.read:,} of {counted(counts.total, 'window')} read" + (f" ({left_out})" if left_out else "")
    return "; ".join([*answer, read, f"{row.k:,} cells"])
