"""What a film is, told by its header and its first frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lookwhere_cli.images.films.container import OpenedFilm, open_film
from lookwhere_cli.images.films.decode import DecodedFrame, decode
from lookwhere_cli.images.films.upright import degrees, pixel_shape, turn_of
from lookwhere_cli.images.orientation import Turn


@dataclass(frozen=True)
class FilmDescription:
    """A film.

    size: (height, width) as displayed. streams: what it holds, such as "video h264, 768 x 432". coding: of the stream
    that is looked at. frames, rate (mean frames per second), seconds: None where the film does not tell; frames may be
    off by a few. turned: degrees to the right by which it is displayed. varies: whether its rate does.
    """

    path: str
    container: str
    coding: str
    size: tuple[int, int]
    frames: int | None
    rate: float | None
    seconds: float | None
    turned: int
    varies: bool
    streams: tuple[str, ...]


def describe_film(path: str) -> FilmDescription:
    """Describe a film. Raises PictureError for one that can't be opened."""
    with open_film(path) as film:
        turn = _turn(film)
        rate, seconds = film.rate, film.seconds
        width = round(film.stream.width * pixel_shape(film.stream))
        return FilmDescription(
            path=path,
            container=film.container.format.long_name or film.container.format.name,
            coding=film.stream.codec_context.name,
            size=turn.size(film.stream.height, width),
            frames=film.frames or (round(seconds * rate) if seconds and rate else None),
            rate=None if rate is None else float(rate),
            seconds=None if seconds is None else float(seconds),
            turned=degrees(turn),
            varies=film.varies,
            streams=tuple(map(_stream, film.container.streams)),
        )


def _turn(film: OpenedFilm) -> Turn:
    """Return the turn of the first frame; none if there is no frame."""
    first = next(iter(decode(film)), None)
    return turn_of(first.picture) if isinstance(first, DecodedFrame) else Turn()


def _stream(stream: Any) -> str:
    context = stream.codec_context
    name = f"{stream.type} {context.name if context is not None else 'of unknown coding'}"
    return f"{name}, {stream.width} x {stream.height}" if stream.type == "video" and context is not None else name
