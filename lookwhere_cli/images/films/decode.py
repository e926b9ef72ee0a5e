"""Decoding a film's frames in the order in which they are shown, with their numbers and times."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.films.container import OpenedFilm
from lookwhere_cli.images.names import in_message

_SLACK = Fraction(1)
"""Seconds by which a film may be shorter than it says: sound is often a little longer."""


class DecodedFrame(NamedTuple):
    """A frame as PyAV decodes it, its number, from 0, and its time in seconds from the film's start."""

    picture: Any
    number: int
    time: Fraction


def decode(film: OpenedFilm) -> Iterator[DecodedFrame | PictureError]:
    """Yield a film's frames. Where it is damaged, one PictureError stands for the frames up to the next whole one.

    A film that ends before its time, and one without a frame, end with a PictureError.
    """
    pass_over, reading = False, _Reading(film)
    for event in reading.events():
        if isinstance(event, Exception):
            if not pass_over:
                yield PictureError(reading.damage(event))
            pass_over = True
            continue
        frame = reading.placed(event, after_damage=pass_over)
        pass_over = pass_over and not event.key_frame  # what is decoded before that lacks what it is built on
        if not pass_over:
            yield frame
    if (sentence := reading.end()) is not None:
        yield PictureError(sentence)


class _Reading:
    """Where the decoder is in a film. expected: times, in ticks, of frames that were read and not yet decoded."""

    def __init__(self, film: OpenedFilm) -> None:
        self._film = film
        self._expected: list[int] = []
        self._packets = self._next = 0
        self._last = Fraction(0)
        self._failed = False

    def events(self) -> Iterator[Any]:
        """Yield PyAV's frames, and its errors as values."""
        try:
            for packet in self._film.container.demux(self._film.stream):
                self._count(packet)
                try:
                    yield from packet.decode()
                except self._film.error as error:
                    self._failed = True
                    yield error
        except self._film.error as error:
            self._failed = True
            yield error

    def placed(self, picture: Any, after_damage: bool) -> DecodedFrame:
        """Give a frame its number and time; after damage, the frames that are missing are counted too."""
        missing = self._passed(picture.pts)
        number = self._next + (missing if after_damage else 0)
        self._next, self._last = number + 1, self._time(picture, number)
        return DecodedFrame(picture, number, self._last)

    def damage(self, error: Exception) -> str:
        """Return the sentence for a place that can't be decoded."""
        reason = getattr(error, "strerror", None) or error
        return (
            f"{in_message(self._film.path)} is damaged after {float(self._last):.3f} s (frame {self._next}): {reason}; "
            "the frames up to the next whole one are left out."
        )

    def end(self) -> str | None:
        """Return what is wrong with a film that ended here, if anything is."""
        film = self._film
        name = in_message(film.path)
        if not self._packets:
            return f"{name} holds no frames."
        short = film.frames is not None and self._packets < film.frames
        stated = film.stated_seconds
        if short or (film.frames is None and stated is not None and self._last + _SLACK < stated):
            length = "" if film.seconds is None else f" of {float(film.seconds):.1f} s"
            return f"{name} is cut: its frames end after {float(self._last):.1f} s{length}."
        return None if self._next or self._failed else f"{name} holds no frame that can be decoded."

    def _count(self, packet: Any) -> None:
        if packet.size:
            self._packets += 1
            if packet.pts is not None and not packet.is_discard:
                heapq.heappush(self._expected, packet.pts)

    def _passed(self, pts: int | None) -> int:
        """Count the frames that should have come before `pts` and did not."""
        passed = 0
        while pts is not None and self._expected and self._expected[0] <= pts:
            passed += heapq.heappop(self._expected) < pts
        return passed

    def _time(self, picture: Any, number: int) -> Fraction:
        if picture.pts is None:
            return number / (self._film.rate or Fraction(25))
        return picture.pts * Fraction(picture.time_base or self._film.tick) - self._film.start
