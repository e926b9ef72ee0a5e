"""`lookwhere explain`: where the model looked, what it predicted from that, and what it cost."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer
from rich.console import Console

from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.films import At, check_moment, picture_at
from lookwhere_cli.cli.options import OUTPUT
from lookwhere_cli.cli.output import make_folder, open_writer, track
from lookwhere_cli.cli.summary import failures, listed, say_done, stopped
from lookwhere_cli.cli.window_options import Manners, may_replace, window_request
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.names import name_below
from lookwhere_cli.options import MAX_PIXELS
from lookwhere_cli.output.files import check_free, output_of_one_picture, whole_file, writing
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

TITLE = "Where the model looked"
ENDING = ".png"
LIKELY = 0.5  # probability from which on an overlay names a label; the first one it always names
PAGE_SIDE = 1600  # pixels; the page shows pictures with at most this longer side

if TYPE_CHECKING:
    from lookwhere_cli.explain import Explanation
    from lookwhere_cli.output.rows import Detection, Row
    from lookwhere_cli.predictor import Predictor
    from lookwhere_cli.show.page import PagePicture


def explain(
    context: typer.Context,
    paths: options.Paths,
    k: options.CellsOrAuto = None,
    size: options.Size = None,
    coarse: options.Coarse = None,
    prune: options.Prune = None,
    crop: options.Crop = False,
    stretch: options.Stretch = False,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    background: options.Background = "white",
    bands: options.Bands = None,
    stretch_range: options.StretchRange = None,
    at: At = None,
    model: options.Model = DEFAULT_CLASSIFIER,
    thumbnail: options.Thumbnail = None,
    device: options.Device = "auto",
    runtime: options.Runtime = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 1,
    top: options.Top = 5,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG|DIR", help="Draw heat and cells on the picture; a folder for several.", rich_help_panel=OUTPUT
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Interactive page with a slider for k.", rich_help_panel=OUTPUT)
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page of --html in a browser.", rich_help_panel=OUTPUT)
    ] = False,
    format: Annotated[
        Literal["jsonl"] | None,
        typer.Option(metavar="jsonl", help="Print all that lies behind, as JSON.", rich_help_panel=OUTPUT),
    ] = None,
    overwrite: options.Overwrite = False,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show where the model looked: the selector map, the best cells, labels and cost.

    Examples:

      lookwhere explain photo.jpg --out overlay.png

      lookwhere explain photos/ -k 10% --html page.html --open
    """
    settings, windows = options.options_from(context, auto=True), window_request(context)
    if open_page and html is None:
        raise UsageError("--open opens the page of --html; add for instance --html page.html.")
    if windows is not None and at is not None:
        raise UsageError("--window is for pictures, and --at for films; leave one of them out.")

    from lookwhere_cli.cli.pictures import pictures_of

    pictures = pictures_of(paths, quiet, films=at is not None)
    check_moment(pictures, at)
    overlays = {} if out is None else _overlay_files(pictures, paths, out, may_replace(windows, out, overwrite))
    if html is not None:
        check_free(html, may_replace(windows, out or html, overwrite))
    ensure_downloaded(model, quiet)

    from lookwhere_cli.loading import load

    predictor = load(model, settings)
    if out is not None and out not in overlays.values():
        make_folder(out)  # last: wrong use makes none
    if windows is not None:
        from lookwhere_cli.cli.window_explain import WindowFiles, explain_in_windows

        drawn = WindowFiles(out, overlays, html, open_page)
        request, manners = windows._replace(rows=format is not None), Manners(quiet, fail_fast)
        explain_in_windows(predictor, request, drawn, settings, pictures, paths, overwrite, manners)
        return
    _explain_pictures(
        predictor, pictures, paths, _Files(at, out, overlays, html, open_page), format, (quiet, fail_fast)
    )


class _Files(NamedTuple):
    """What is read and written.

    at: the moment of films. overlays: the file of each picture's overlay, if any are drawn.
    """

    at: str | None
    out: Path | None
    overlays: dict[str, Path]
    html: Path | None
    open_page: bool


def _explain_pictures(
    predictor: Predictor,
    pictures: Sequence[str],
    paths: Sequence[str],
    files: _Files,
    format: str | None,
    manners: tuple[bool, bool],
) -> None:
    """Explain pictures as wholes, and exit with 1 if some failed. manners: quiet, fail_fast."""
    (at, out, overlays, html, open_page), (quiet, fail_fast) = files, manners
    with (
        _page_writer(html, pictures, paths) as add_to_page,
        _printer(format) as printer,
        _reporting_interrupt(len(pictures), [file for file in (out, html) if file is not None]) as count,
    ):
        outputs = _Outputs(at, printer, overlays, add_to_page, count)
        failed = _explain_all(predictor, pictures, outputs, quiet, fail_fast)
    _say_written(len(pictures) - failed, failed, out, html, quiet)
    if open_page and html is not None and html.exists():
        webbrowser.open(html.resolve().as_uri())
    if failed:
        raise typer.Exit(1)


def _say_written(explained: int, failed: int, out: Path | None, html: Path | None, quiet: bool) -> None:
    """Say which files were written, if any; a page is begun with the first picture that can be read."""
    files = [f"{counted(explained, 'overlay')} to {out}"] if out is not None else []
    files += [f"{counted(explained, 'picture')} to {html}"] if html is not None and explained else []
    if files:
        say_done(f"Wrote {listed(files)}{failures(failed)}.", quiet)


class _Printer(NamedTuple):
    """Prints results on standard output.

    write: an explanation. fail: the row of a picture that failed. bar: the console for the progress bar, which must not
    break the output.
    """

    write: Callable[[Explanation], None]
    fail: Callable[[Row], None]
    bar: Console


class _Outputs(NamedTuple):
    """What is done with each explanation.

    overlays: the file of each picture's overlay, if any are drawn. tally: counts a finished picture. at: the moment of
    films.
    """

    at: str | None
    printer: _Printer
    overlays: dict[str, Path]
    add_to_page: Callable[[Predictor, Explanation], None]
    tally: Callable[[], None]


@contextmanager
def _printer(format: str | None) -> Iterator[_Printer]:
    """Print cards or, with a format, a line of JSON for each picture."""
    messages = make_console(stderr=True)
    if format is not None:
        from lookwhere_cli.output.writers import JsonLinesWriter

        with open_writer(nullcontext(sys.stdout.buffer), JsonLinesWriter, "standard output") as write:
            yield _Printer(write, write, messages)
        return
    from lookwhere_cli.cli.cards import explanation_card

    console = make_console()

    def print_card(explanation: Explanation) -> None:
        """Print the card at the terminal's width; a pipe gets long lines as they are."""
        console.print(explanation_card(explanation, console), soft_wrap=not console.is_terminal)

    yield _Printer(print_card, lambda row: None, console if console.is_terminal else messages)


def _explain_all(
    predictor: Predictor,
    pictures: Sequence[str],
    outputs: _Outputs,
    quiet: bool,
    fail_fast: bool,
) -> int:
    """Print each explanation, draw its overlay and add it to the page. Return the number of failed pictures.

    fail_fast: raise PictureError at the first failure.
    """
    from lookwhere_cli.explain import explain_each
    from lookwhere_cli.output.rows import Row

    printer, failed = outputs.printer, 0
    resolve = partial(picture_at, at=outputs.at)
    paths = track(pictures, len(pictures), printer.bar, printer.bar.is_terminal and not quiet)
    for picture, found in zip(paths, explain_each(predictor.pipeline, pictures, resolve), strict=True):
        try:
            if isinstance(found, PictureError):
                raise found
            if picture in outputs.overlays:
                _draw(predictor, found, outputs.overlays[picture])
        except PictureError as error:
            printer.fail(Row(picture, error=str(error)))
            if fail_fast:
                raise
            say(make_console(stderr=True), f"Error: {error}")
            failed += 1
            outputs.tally()
            continue
        printer.write(found)
        outputs.add_to_page(predictor, found)
        outputs.tally()
    return failed


@contextmanager
def _reporting_interrupt(total: int, files: Sequence[Path]) -> Iterator[Callable[[], None]]:
    """Yield a function that counts a finished picture; after Ctrl-C, say how many there are and what is kept.

    files: what is written for the pictures.
    """
    done = 0

    def count() -> None:
        """Count one more finished picture."""
        nonlocal done
        done += 1

    try:
        yield count
    except KeyboardInterrupt:
        kept = "the same command starts again"
        if files and done:
            names = " and ".join(map(str, files))
            kept = f"{names} keep{'s' * (len(files) == 1)} them, and the same command with --overwrite starts again"
        say(make_console(stderr=True), f"{stopped(done, total).removesuffix('.')}; {kept}.")
        raise


def _overlay_files(pictures: Sequence[str], inputs: Sequence[str], out: Path, overwrite: bool) -> dict[str, Path]:
    """Return the overlay file of each picture: `out` itself if it is a PNG, else a file in that folder.

    The folder mirrors the sub-folders of the inputs, as that of `segment` does. Raises UsageError for a PNG for several
    pictures, for a picture format that is not written, and if a file exists already.
    """
    from lookwhere_cli.images.formats import named_like_picture
    from lookwhere_cli.output.masks.paths import check_no_clash, output_paths

    if out.is_dir() or not named_like_picture(out.name):
        paths = output_paths(pictures, inputs, out)
        check_no_clash(paths, [ENDING])
        files = {picture: path.file(ENDING) for picture, path in paths.items()}
    elif out.suffix.lower() != ENDING:
        raise UsageError(f"--out {str(out)!r}: an overlay is a PNG; use a name that ends in .png.")
    elif len(pictures) > 1:
        raise UsageError(f"--out {str(out)!r} is one file, for {len(pictures)} pictures; name a folder.")
    else:
        files = {pictures[0]: out}
    for file in files.values():
        if file == out or file.exists():
            check_free(file, overwrite)
    return files


def _draw(predictor: Predictor, explanation: Explanation, file: Path) -> None:
    from PIL import Image

    from lookwhere_cli.cli.cards import coarse_text
    from lookwhere_cli.show.box_overlay import draw_boxes
    from lookwhere_cli.show.geometry import scaled_box, shown_size
    from lookwhere_cli.show.overlay import overlay

    row, view = explanation.row, explanation.view
    likely = [label for label in row.labels if label.probability >= LIKELY] or row.labels[:1]
    answer = [", ".join(f"{label.label} {label.probability:.1%}" for label in likely)] if likely else []
    caption = "; ".join([*answer, f"{row.k} of {row.grid[0] * row.grid[1]} cells read{coarse_text(row)}"])
    size = shown_size(view)
    displayed = Image.fromarray(predictor.pipeline.reader.displayed(explanation.picture, *size))
    drawn = overlay(displayed, explanation.scores, row.cells, scaled_box(view.box, view.size, size), caption)
    boxes = [replace(found, box=scaled_box(found.box, view.size, size)) for found in row.boxes or ()]
    draw_boxes(drawn, boxes, displayed.size)
    with output_of_one_picture():
        make_folder(file.parent)
        with whole_file(file) as stream, writing(file):
            drawn.save(stream, format="PNG")


@contextmanager
def _page_writer(
    file: Path | None, pictures: Sequence[str], inputs: Sequence[str]
) -> Iterator[Callable[[Predictor, Explanation], None]]:
    """Yield a function that adds a picture to the page, which begins with the first; Ctrl-C completes the file."""
    with ExitStack() as opened:
        write: list[Callable[[PagePicture], None]] = []

        def add(predictor: Predictor, explanation: Explanation) -> None:
            """Add a picture to the page, if one is written; the first one opens the file."""
            if file is None:
                return
            if not write:
                from lookwhere_cli.show.page import PageWriter

                page = open_writer(whole_file(file), lambda stream: PageWriter(stream, TITLE, len(pictures)), file)
                write.append(opened.enter_context(page))
            write[0](_page_picture(predictor, explanation, name_below(explanation.row.path, inputs)))

        yield add


def _page_picture(predictor: Predictor, explanation: Explanation, name: str) -> PagePicture:
    """Return a picture for the page. name: how the page calls it."""
    from PIL import Image

    from lookwhere_cli.show.page import PagePicture

    row, view = explanation.row, explanation.view
    scale, (height, width) = _shrunk(view.size, PAGE_SIDE)
    left, top, right, bottom = (edge * scale for edge in view.box)
    return PagePicture(
        name=name,
        picture=Image.fromarray(predictor.pipeline.reader.displayed(explanation.picture, height, width)),
        grid=row.grid,
        scores=explanation.scores,
        order=list(explanation.order),
        box=(left, top, right, bottom),
        predictions={k: list(labels) for k, labels in explanation.predictions.items()},
        macs=explanation.macs,
        macs_full=row.macs_full,
        k=row.k,
        coarse=row.coarse,
        coarse_unread=predictor.pipeline.config.coarse_patches == "unread",
        boxes={k: [_scaled(one, scale) for one in boxes] for k, boxes in explanation.boxes.items()},
    )


def _shrunk(size: tuple[int, int], side: int) -> tuple[float, tuple[int, int]]:
    """Return the scale at which the longer side has at most `side` pixels, and the (height, width) at that scale."""
    scale = min(1.0, side / max(size))
    return scale, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def _scaled(found: Detection, scale: float) -> Detection:
    left, top, right, bottom = (edge * scale for edge in found.box)
    return replace(found, box=(left, top, right, bottom))
