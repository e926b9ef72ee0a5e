"""The options about films that several commands share, and the pictures and frames that a command reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import typer

from lookwhere_cli.cli.added_options import with_options
from lookwhere_cli.cli.options import OUTPUT, READING
from lookwhere_cli.cli.summary import say_done
from lookwhere_cli.errors import UsageError
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.images.films.every import Every
    from lookwhere_cli.images.films.frames import FilmFrame
    from lookwhere_cli.images.films.pictures import PicturesAndFrames

At = Annotated[str | None, typer.Option(metavar="12.5s", help="The frame of a film; or 300f.", rich_help_panel=READING)]
Skip: TypeAlias = "Callable[[FilmFrame], bool]"

_OPTIONS: dict[str, Any] = {
    "every": Annotated[
        str | None,
        typer.Option(metavar="1s|10f", help="Frames of films to read. (default: 1s)", rich_help_panel=READING),
    ],
    "reuse": Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Films: one map while frames differ by 1%.", rich_help_panel=READING),
    ],
    "film": Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write a film with the boxes (.mp4).", rich_help_panel=OUTPUT),
    ],
}
FILM_OPTIONS = ("every", "reuse")
"""Names of the parameters that `with_film_options` adds to every command."""


def with_film_options(command: Callable[..., None], *more: str) -> Callable[..., None]:
    """Give a command the options of films, which are read from its context; its own signature stays as it is.

    more: names of options that not every command has.
    """
    return with_options(command, {name: _OPTIONS[name] for name in (*FILM_OPTIONS, *more)})


def with_frames(
    context: typer.Context, paths: Sequence[str], skip: Skip | None = None
) -> Sequence[str] | PicturesAndFrames:
    """Return the pictures of a command, with the frames of its films in the films' places, drawn as they are needed.

    skip: see `PicturesAndFrames`. Raises UsageError as `check_film_options` does.
    """
    limit = context.params.get("limit")
    paths = paths[:limit]
    every = check_film_options(context, paths)
    if every is None:
        return paths
    from lookwhere_cli.images.films.pictures import PicturesAndFrames

    return PicturesAndFrames(paths, every, limit, skip)


def without_frames(pictures: Sequence[str] | PicturesAndFrames) -> Sequence[str]:
    """Return pictures that are read in windows: no film is among them, as `with_frames` refuses that."""
    return cast("Sequence[str]", pictures)


def check_film_options(context: typer.Context, paths: Sequence[str]) -> Every | None:
    """Return which frames of films are read; None if no film is among the pictures.

    Raises UsageError for options of films without a film, or with impossible values.
    """
    from lookwhere_cli.images.films.every import DEFAULT, Every
    from lookwhere_cli.images.films.names import is_film

    params = context.params
    every = Every.parse(params["every"] or ("1f" if params.get("film") else DEFAULT), "--every")
    film = next(filter(is_film, paths), None)
    if film is not None:
        if params.get("window") is not None:
            raise UsageError(
                f"--window is for pictures, and {film!r} is a film, of which each frame is one; leave it out."
            )
        return every
    for name in _OPTIONS:
        if params.get(name) is not None:
            raise UsageError(f"--{name} is for films, and no film is among the pictures; leave it out, or name one.")
    return None


def say_skipped_frames(pictures: Sequence[str] | PicturesAndFrames, quiet: bool) -> None:
    """Say how many frames were left out because their files exist, if any were."""
    skipped = getattr(pictures, "skipped", 0)
    if skipped:
        say_done(f"Skipped {counted(skipped, 'frame')} whose files exist already; --overwrite replaces them.", quiet)


def check_moment(pictures: Sequence[str], at: str | None) -> None:
    """Raise UsageError for films without `--at`, for `--at` without a film, and for one that names no frame."""
    from lookwhere_cli.images.films.frames import parse_moment
    from lookwhere_cli.images.films.names import is_film

    films = [path for path in pictures if is_film(path)]
    if at is None and films:
        raise UsageError(f"{films[0]!r} is a film; name one of its frames, by its time or its number: --at 12.5s.")
    if at is not None:
        parse_moment(at)
        if not films:
            raise UsageError("--at is for films, and no film is among the pictures; leave it out, or name one.")


def picture_at(path: str, at: str | None) -> str | FilmFrame:
    """Return a picture's path or, of a film, the frame at a moment. Raises PictureError if there is none."""
    from lookwhere_cli.images.films.frames import frame_at
    from lookwhere_cli.images.films.names import is_film

    return path if at is None or not is_film(path) else frame_at(path, at)
