"""`lookwhere explain`: where the model looked, what it predicted from that, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.options import OUTPUT
from lookwhere_cli.cli.output import make_folder, open_writer, track
from lookwhere_cli.cli.summary import failures, listed, say_done
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.options import MAX_PIXELS
from lookwhere_cli.output.files import check_free, whole_file, writing
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

TITLE = "Where the model looked"
ENDING = ".png"
PAGE_SIDE = 1600  # pixels; the page shows pictures with at most this longer side

if TYPE_CHECKING:
    from lookwhere_cli.explain import Explanation
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
    model: options.Model = DEFAULT_CLASSIFIER,
    thumbnail: options.Thumbnail = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
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
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show where the model looked: the selector map, the best cells, labels and cost.

    Examples:

      lookwhere explain photo.jpg --out overlay.png

      lookwhere explain photos/ -k 10% --html page.html
    """
    settings = options.options_from(context, auto=True)

    from lookwhere_cli.images.find import find_pictures
    from lookwhere_cli.loading import load

    pictures = find_pictures(paths)
    overlays = {} if out is None else _overlay_files(pictures, paths, out, overwrite)
    if html is not None:
        check_free(html, overwrite)
    ensure_downloaded(model, quiet)
    predictor = load(model, settings)
    if out is not None and out not in overlays.values():
        make_folder(out)  # last: wrong use makes none
    with _page_writer(html, len(pictures)) as add_to_page:
        failed = _explain_all(predictor, pictures, overlays, add_to_page, quiet)
    _say_written(len(pictures) - failed, failed, out, html, quiet)
    if failed:
        raise typer.Exit(1)


def _say_written(explained: int, failed: int, out: Path | None, html: Path | None, quiet: bool) -> None:
    """Say which files were written, if any; a page is begun with the first picture that can be read."""
    files = [f"{counted(explained, 'overlay')} to {out}"] if out is not None else []
    files += [f"{counted(explained, 'picture')} to {html}"] if html is not None and explained else []
    if files:
        say_done(f"Wrote {listed(files)}{failures(failed)}.", quiet)


def _explain_all(
    predictor: Predictor,
    pictures: Sequence[str],
    overlays: dict[str, Path],
    add_to_page: Callable[[Predictor, Explanation], None],
    quiet: bool,
) -> int:
    """Print each picture's card, draw its overlay and add it to the page. Return the number of failed pictures."""
    from lookwhere_cli.cli.cards import explanation_card

    console, messages = make_console(), make_console(stderr=True)
    bar = console if console.is_terminal else messages
    failed = 0
    for picture in track(pictures, len(pictures), bar, bar.is_terminal and not quiet):
        try:
            explanation = predictor.explain(picture)
        except PictureError as error:
            say(messages, f"Error: {error}")
            failed += 1
            continue
        console.print(explanation_card(explanation, console), soft_wrap=not console.is_terminal)
        if picture in overlays:
            _draw(predictor, explanation, overlays[picture])
        add_to_page(predictor, explanation)
    return failed


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
    from lookwhere_cli.show.overlay import overlay

    row, view = explanation.row, explanation.view
    answer = [f"{label.label} {label.probability:.1%}" for label in row.labels[:1]]
    caption = "; ".join([*answer, f"{row.k} of {row.grid[0] * row.grid[1]} cells read{coarse_text(row)}"])
    displayed = Image.fromarray(predictor.pipeline.reader.displayed(explanation.picture, *view.size))
    drawn = overlay(displayed, explanation.scores, row.cells, view.box, caption)
    make_folder(file.parent)
    with whole_file(file) as stream, writing(file):
        drawn.save(stream, format="PNG")


@contextmanager
def _page_writer(file: Path | None, pictures: int) -> Iterator[Callable[[Predictor, Explanation], None]]:
    """Yield a function that adds a picture to the page, which begins with the first; Ctrl-C completes the file."""
    with ExitStack() as opened:
        write: list[Callable[[PagePicture], None]] = []

        def add(predictor: Predictor, explanation: Explanation) -> None:
            if file is None:
                return
            if not write:
                from lookwhere_cli.show.page import PageWriter

                page = open_writer(whole_file(file), lambda stream: PageWriter(stream, TITLE, pictures), file)
                write.append(opened.enter_context(page))
            write[0](_page_picture(predictor, explanation))

        yield add


def _page_picture(predictor: Predictor, explanation: Explanation) -> PagePicture:
    from PIL import Image

    from lookwhere_cli.show.page import PagePicture

    row, view = explanation.row, explanation.view
    scale = min(1.0, PAGE_SIDE / max(view.size))
    height, width = (max(1, round(length * scale)) for length in view.size)
    left, top, right, bottom = (edge * scale for edge in view.box)
    return PagePicture(
        name=row.path,
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
    )
