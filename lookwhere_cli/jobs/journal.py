"""Deaths that are survived: which shards and pictures were begun, so that whoever comes next knows what killed.

A shard is begun with a mark, which goes when its rows are written. Who finds the mark of the same session, or those of
two, knows that a process died over the shard, and does it picture by picture: each is marked before it is read, and its
row is a file as soon as it is there. A picture over which a process dies then is the culprit.
"""

from __future__ import annotations

import json
from contextlib import suppress

from lookwhere_cli.jobs.folder import JobFolder
from lookwhere_cli.jobs.names import OURS

_ATTEMPTS = f"{OURS}/attempts"
_LOST = 2
"""Sessions that may end over a shard, or a picture, before it counts as the reason."""


class Journal:
    """The marks of one shard.

    session: of this run of the job; a worker that replaces one that died has the same.
    """

    def __init__(self, folder: JobFolder, shard: int, session: str) -> None:
        self._folder, self._session = folder, session
        self._mark, self._place = f"{_ATTEMPTS}/{shard:05}", f"{OURS}/journal/{shard:05}"

    def begin(self) -> bool:
        """Mark the shard as begun. Return True if it is to be done picture by picture."""
        is_careful = self._has_killed(self._mark) or bool(self._folder.names(self._place))
        self._add(self._mark)
        return is_careful

    def begin_picture(self, number: int) -> bool:
        """Mark a picture of the shard as begun. Return False if processes died over it: it is not to be read again."""
        mark = f"{self._place}/{number:06}.begun"
        if self._has_killed(mark):
            return False
        self._add(mark)
        return True

    def row(self, number: int) -> bytes | None:
        """Return what `keep_row` kept of a picture; None if it was not finished."""
        try:
            return self._folder.read(f"{self._place}/{number:06}.parquet")
        except FileNotFoundError:
            return None

    def keep_row(self, number: int, content: bytes) -> None:
        """Keep the row of a picture that is finished: a Parquet file."""
        self._folder.write(f"{self._place}/{number:06}.parquet", content)

    def forget_attempt(self) -> None:
        """Remove the shard's mark: it ended without a death, finished or not."""
        self._folder.remove(self._mark)

    def close(self) -> None:
        """Remove all marks and rows: the shard's own file is written."""
        for name in self._folder.names(self._place):
            self._folder.remove(f"{self._place}/{name}")
        self.forget_attempt()

    def _has_killed(self, mark: str) -> bool:
        sessions = self._sessions(mark)
        return self._session in sessions or len(sessions) >= _LOST

    def _add(self, mark: str) -> None:
        self._folder.write(mark, json.dumps([*self._sessions(mark), self._session]).encode())

    def _sessions(self, mark: str) -> list[str]:
        with suppress(FileNotFoundError, ValueError):
            return list(json.loads(self._folder.read(mark)))
        return []
