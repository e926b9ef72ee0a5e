"""`detect --film`: a film with the boxes that were found in the frames of another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from lookwhere_cli.cli.box_output import BoxRequest
from lookwhere_cli.cli.output import open_writer
from lookwhere_cli.cli.summary import say_done, wrote
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.output.files import check_free, whole_file
from lookwhere_cli.output.films import FILM_ENDINGS, FilmWriter
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    import numpy as np

    from lookwhere_cli.pipeline import Answer

UNKNOWN_RATE = Fraction(25)
"""Frames per second of a film that does not tell."""


class FilmRequest(NamedTuple):
    """The film to write. source: the film that is read. every: which frames of it."""

    file: Path
    source: str
    every: str


def check_film(context: typer.Context, request: BoxRequest) -> Path | None:
    """Return the file of --film, if any. Raises UsageError for one that can't be written."""
    file: Path | None = context.params["film"]
    if file is None:
        return None
    if file.suffix.lower() not in FILM_ENDINGS:
        raise UsageError(f"--film {str(file)!r} must end in {', '.join(FILM_ENDINGS)}, which sets the kind of film.")
    if request.out is not None:
        raise UsageError("--film goes with rows, not with a file for each picture; leave --overlay and the format out.")
    check_extra("video", "--film")
    check_free(file, context.params["overwrite"])
    return file


def film_request(context: typer.Context, pictures: Sequence[str]) -> FilmRequest | None:
    """Return the film to write, if one is asked for. Raises UsageError unless it is made from exactly one film."""
    file = context.params["film"]
    if file is None:
        return None
    from lookwhere_cli.images.films.names import is_film

    if len(pictures) != 1 or not is_film(pictures[0]):
        raise UsageError(f"--film is made from one film, and {counted(len(pictures), 'file')} named; name one film.")
    if Path(pictures[0]).resolve() == file.resolve():
        raise UsageError(f"--film {str(file)!r} is the film that is read; choose another name.")
    return FilmRequest(file, pictures[0], context.params["every"] or "1f")


@contextmanager
def film_writer(request: FilmRequest | None, quiet: bool) -> Iterator[Callable[[Answer], Answer]]:
    """Yield a function that adds an answer's frame, with its boxes, to the film, and returns the answer.

    The film is begun with the first frame. Ctrl-C completes it with the frames that are done.
    """
    if request is None:
        yield lambda answer: answer
        return
    with ExitStack() as opened:
        write: list[Callable[[np.ndarray, float], None]] = []
        count = 0

        def add(answer: Answer) -> Answer:
            """Write the answer's frame; an answer without pixels or time, as of a failed frame, passes through."""
            nonlocal count
            if answer.view is not None and answer.row.time is not None:
                if not write:
                    write.append(opened.enter_context(_open(request)))
                write[0](_drawn(answer), answer.row.time)
                count += 1
            return answer

        yield add
    if count:
        say_done(wrote(counted(count, "frame"), request.file), quiet)


@contextmanager
def _open(request: FilmRequest) -> Iterator[Callable[[np.ndarray, float], None]]:
    from lookwhere_cli.images.films.container import open_film
    from lookwhere_cli.images.films.every import Every

    rate = UNKNOWN_RATE
    with suppress(PictureError), open_film(request.source) as film:
        rate = film.rate or UNKNOWN_RATE
    rate, ending = Every.parse(request.every).rate(rate), request.file.suffix.lower()
    opened = whole_file(request.file)
    with open_writer(opened, lambda stream: FilmWriter(stream, ending, rate), request.file) as write:
        yield write


def _drawn(answer: Answer) -> np.ndarray:
    """Return the frame of an answer, at its full size, with its boxes."""
    import numpy as np
    from PIL import Image

    from lookwhere_cli.show.box_overlay import boxes_on

    row, view = answer.row, answer.view
    assert view is not None
    height, width = view.size
    pixels = view.source.read((0, 0, width, height), height, width)
    return np.asarray(boxes_on(Image.fromarray(pixels), row.boxes or ()))
