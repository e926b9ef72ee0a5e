"""Pictures among which are films, each film replaced by its frames while they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import islice

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.films.container import open_film
from lookwhere_cli.images.films.every import Every
from lookwhere_cli.images.films.frames import FilmFrame, LostFrames, sampled_frames
from lookwhere_cli.images.films.names import is_film


class PicturesAndFrames:
    """The pictures of a list of paths, in order; a film's frames in its place. It can be iterated over once.

    skip: says of a frame whether it is left out. skipped: how many frames were.
    """

    def __init__(
        self,
        paths: Sequence[str],
        every: Every,
        limit: int | None = None,
        skip: Callable[[FilmFrame], bool] | None = None,
    ) -> None:
        self._paths, self._every, self._limit, self._skip = paths, every, limit, skip
        self._drawn = self.skipped = 0
        self._ended = False
        self._estimate: int | None = None

    def __iter__(self) -> Iterator[str | FilmFrame | LostFrames]:
        for picture in islice(self._all(), self._limit):
            self._drawn += 1
            yield picture
        self._ended = True

    def __len__(self) -> int:
        """How many pictures there are: until all are drawn an estimate, from what the films say of themselves."""
        if self._ended:
            return self._drawn
        if self._estimate is None:
            self._estimate = sum(_frames(path, self._every) if is_film(path) else 1 for path in self._paths)
        estimate = max(self._drawn, self._estimate - self.skipped)
        return estimate if self._limit is None else min(self._limit, estimate)

    def _all(self) -> Iterator[str | FilmFrame | LostFrames]:
        for path in self._paths:
            if not is_film(path):
                yield path
                continue
            with closing(sampled_frames(path, self._every)) as frames:
                for frame in frames:
                    if self._skip is not None and isinstance(frame, FilmFrame) and self._skip(frame):
                        self.skipped += 1
                    else:
                        yield frame


def _frames(path: str, every: Every) -> int:
    with suppress(PictureError), open_film(path) as film:
        seconds = None if film.seconds is None else float(film.seconds)
        frames = film.frames
        if frames is None and film.rate is not None and film.seconds is not None:
            frames = round(film.rate * film.seconds)
        return every.count(frames, seconds) or 1
    return 1
