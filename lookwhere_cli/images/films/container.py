"""Opening a film's container, and choosing the stream whose frames are looked at."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from lookwhere_cli.errors import PictureError
from lookwhere_cli.extras import require
from lookwhere_cli.images.films.names import EXTRA, can_read_films, missing_extra
from lookwhere_cli.images.names import in_message

_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_UNEVEN = Fraction(3, 1000)
"""Share by which a film's mean rate differs from its base rate if its rate varies: NTSC's rounding is a third of it."""


@dataclass(frozen=True)
class OpenedFilm:
    """An open film. container, stream: PyAV's. error: PyAV's class of errors."""

    path: str
    container: Any
    stream: Any
    error: type[Exception]

    @property
    def tick(self) -> Fraction:
        """Seconds between two times that the film can tell apart."""
        return Fraction(self.stream.time_base or Fraction(1, 1000))

    @property
    def start(self) -> Fraction:
        """When the first frame is shown, in the stream's own time, in seconds."""
        return (self.stream.start_time or 0) * self.tick

    @property
    def rate(self) -> Fraction | None:
        """Mean frames per second; None if the film does not tell."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return Fraction(rate) if rate else None

    @property
    def varies(self) -> bool:
        """True if the frames do not follow at one rate."""
        mean, base = self.stream.average_rate, self.stream.base_rate
        return bool(mean and base) and abs(mean - base) > _UNEVEN * base

    @property
    def frames(self) -> int | None:
        """How many frames the film says that it has; None if it does not."""
        return self.stream.frames or None

    @property
    def seconds(self) -> Fraction | None:
        """How long the film says that it is; None if it does not."""
        if self.stream.duration:
            return Fraction(self.stream.duration) * self.tick
        if written := self.stated_seconds:
            return written
        return Fraction(self.container.duration, 1_000_000) if self.container.duration else None

    @property
    def stated_seconds(self) -> Fraction | None:
        """The duration that Matroska and WebM have in a tag of the stream; None without one."""
        tags = (value for name, value in self.stream.metadata.items() if name.upper().startswith("DURATION"))
        written = _DURATION.match(next(tags, ""))
        if written is None:
            return None
        hours, minutes, seconds = map(Fraction, written.groups())
        return 3600 * hours + 60 * minutes + seconds


@contextmanager
def open_film(path: str) -> Iterator[OpenedFilm]:
    """Open a film's best stream of moving pictures. Raises PictureError with a sentence that names the film."""
    if not can_read_films():
        raise PictureError(missing_extra(path))
    av = require("av", EXTRA, f"{path!r}")
    container = _opened(path, av)
    try:
        yield OpenedFilm(path, container, _moving_pictures(path, container), av.error.FFmpegError)
    finally:
        container.close()


def _opened(path: str, av: Any) -> Any:
    try:
        if not os.stat(path).st_size:  # noqa: PTH116 - the path may hold any bytes
            raise PictureError(f"{in_message(path)} is empty (0 bytes).")
        # A name is never taken for an address, and a playlist that poses as a film can't reach the network.
        return av.open("file:" + path, metadata_errors="replace", options={"protocol_whitelist": "file"})
    except av.error.FFmpegError as error:
        raise PictureError(
            f"{in_message(path)} is not a film of a known format, or it is damaged or cut ({_reason(error)}); try to "
            "repair it: ffmpeg -i FILM -c copy REPAIRED."
        ) from error
    except (OSError, ValueError) as error:
        missing = getattr(error, "errno", None) == errno.ENOENT
        reason = "is not there" if missing else f"can't be opened: {getattr(error, 'strerror', None) or error}"
        raise PictureError(f"{in_message(path)} {reason}.") from error


def _moving_pictures(path: str, container: Any) -> Any:
    streams = [one for one in container.streams.video if not _is_cover(one)]
    if not streams:
        kinds = " and ".join(sorted({one.type for one in container.streams})) or "no stream"
        raise PictureError(f"{in_message(path)} has no moving pictures, only {kinds}; name a film.")
    best = container.streams.best("video")
    stream = next((one for one in streams if best is not None and one.index == best.index), streams[0])
    if stream.codec_context is None:
        raise PictureError(
            f"{in_message(path)} is a film in a coding that PyAV can't decode; convert it: ffmpeg -i FILM FILM.mp4."
        )
    stream.thread_type, stream.codec_context.thread_count = "SLICE", 1  # frames of a damaged film are always the same
    return stream


def _is_cover(stream: Any) -> bool:
    """Return True for the picture that a song or a film is shown with in lists."""
    return "attached_pic" in (getattr(stream.disposition, "name", None) or "").lower()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
