"""A film's frames as pictures, decoded in a thread of their own, ahead of who reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial

from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.images.ahead import in_background
from lookwhere_cli.images.films.container import OpenedFilm, open_film
from lookwhere_cli.images.films.decode import DecodedFrame, decode
from lookwhere_cli.images.films.every import DEFAULT, Every, parse_span
from lookwhere_cli.images.films.names import EXTRA
from lookwhere_cli.images.films.upright import brightness_note, degrees, pixel_shape, turn_of, upright
from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.source import DecodedSource, FilmMoment

AHEAD_BYTES = 128 << 20
"""Bytes of frames that are decoded before they are asked for."""
MOST_AHEAD = 32
_HALF_MILLISECOND = Fraction(1, 2000)


class FilmFrame(DecodedSource):
    """A frame of a film: a source, upright, at its full size.

    path: of the film. moment: its time in seconds from the film's start, and its number.
    """

    def __init__(
        self, pixels: UInt8[ndarray, "h w 3"], path: str, moment: FilmMoment, notes: tuple[str, ...] = ()
    ) -> None:
        height, width = pixels.shape[:2]
        super().__init__(pixels, (height, width), (0, 0, width, height), path, notes)
        self.moment = moment


class LostFrames:
    """Stands for frames of a film that can't be decoded: a source whose `read` raises PictureError."""

    size = (1, 1)

    def __init__(self, path: str, sentence: str) -> None:
        self.path, self.sentence = path, sentence

    def read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Raise PictureError with the sentence that says what is wrong with the film."""
        raise PictureError(self.sentence)


def frames(path: str | os.PathLike[str], every: str = DEFAULT) -> Iterator[FilmFrame | LostFrames]:
    """Return an iterator of a film's frames, which are decoded while they are drawn.

    every: "1s" or "0.5s" for one frame in every so many seconds, "10f" for every 10th, "1f" for all.

    A predictor takes them as it takes any pictures, and its rows have their `time` and `frame`. For a film, or a part
    of it, that can't be decoded, one LostFrames comes in the place of the frames: its row has `error`. Raises
    UsageError for another `every`, and if the extra `video` is not installed.
    """
    sampling = Every.parse(every)
    check_extra(EXTRA, "A film")
    return sampled_frames(os.fsdecode(path), sampling)


def sampled_frames(path: str, every: Every) -> Generator[FilmFrame | LostFrames, None, None]:
    """Yield the frames of a film that are looked at; see `frames`. Raises nothing."""
    try:
        with (
            open_film(path) as film,
            closing(in_background(partial(_looked_at, film, every), _depth(film))) as decoded,
        ):
            for frame in decoded:
                yield LostFrames(path, str(frame)) if isinstance(frame, PictureError) else frame
    except PictureError as error:
        yield LostFrames(path, str(error))


def frame_at(path: str, moment: str) -> FilmFrame:
    """Return one frame of a film: the one that is shown at a time ("12.5s"), or one by its number ("300f").

    All frames before it are decoded, too. Raises UsageError for another form, PictureError if there is no such frame.
    """
    number, time = parse_moment(moment)
    with open_film(path) as film:
        before: DecodedFrame | PictureError | None = None
        for one in decode(film):
            if isinstance(one, DecodedFrame) and (one.number > number if time is None else one.time > time):
                break
            before = one
        else:
            before = _last(film, before, number, time)
        if isinstance(before, DecodedFrame) and (time is not None or before.number == number):
            return _Converter(film).convert(before)
        raise before if isinstance(before, PictureError) else PictureError(f"{in_message(path)} has no such frame.")


def parse_moment(text: str, option: str = "--at") -> tuple[int, Fraction | None]:
    """Read "12.5s" or "300f": return the frame's number, or the time in seconds. Raises UsageError."""
    time, number = parse_span(text)
    if time is None and number is None:
        raise UsageError(f"{option} {text} names no frame; write a time (12.5s) or a frame's number (300f).")
    # Times in rows are rounded, and a frame that begins when another one is asked for is not meant.
    return number or 0, None if time is None else time + _HALF_MILLISECOND


def _last(
    film: OpenedFilm, before: DecodedFrame | PictureError | None, number: int, time: Fraction | None
) -> DecodedFrame | PictureError | None:
    """Return the last frame if it was asked for; raise PictureError if the film ends before."""
    if not isinstance(before, DecodedFrame):
        return before
    length = film.seconds or before.time
    if (before.number < number) if time is None else (time > max(length, before.time) + _HALF_MILLISECOND):
        raise PictureError(
            f"{in_message(film.path)} ends before that: it has {before.number + 1:,} frames, {float(length):.1f} s."
        )
    return before


def _looked_at(film: OpenedFilm, every: Every, closed: Callable[[], bool]) -> Iterator[FilmFrame | PictureError]:
    """Decode all frames, and convert those that are looked at."""
    wanted, converter = every.wanted(film.tick), _Converter(film)
    for one in decode(film):
        if closed():
            return
        if isinstance(one, PictureError):
            yield one
        elif wanted(one.number, one.time):
            yield converter.convert(one)


class _Converter:
    """Makes pictures of decoded frames; for one thread."""

    def __init__(self, film: OpenedFilm) -> None:
        from av.video.reformatter import VideoReformatter

        self._path, self._shape = film.path, pixel_shape(film.stream)
        self._reformatter = VideoReformatter()
        rate = "" if film.rate is None else f"{float(film.rate):.5g} frames/s"
        self._notes = ("variable frame rate" if film.varies else rate,)

    def convert(self, frame: DecodedFrame) -> FilmFrame:
        """Return the frame as a picture."""
        turned = degrees(turn_of(frame.picture))
        notes = (
            *self._notes,
            f"turned by {turned} degrees" if turned else None,
            "pixels made square" if self._shape != 1 else None,
            brightness_note(frame.picture),
        )
        pixels = upright(frame.picture, self._reformatter, self._shape)
        moment = FilmMoment(float(frame.time), frame.number)
        return FilmFrame(pixels, self._path, moment, tuple(filter(None, notes)))


def _depth(film: OpenedFilm) -> int:
    """Return how many frames to decode ahead."""
    size = 3 * film.stream.width * film.stream.height
    return max(2, min(MOST_AHEAD, AHEAD_BYTES // max(1, size)))
