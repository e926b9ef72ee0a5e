"""Windows that are finished, kept in a file beside the output, so that a run that was stopped goes on from there.

The file holds lines of JSON. After the first one come sections: the line of a picture, with its plan, then the rows of
its windows, and now and then a mark with what was pooled until there. What comes after the last mark of a section is
not used, so that a line that was cut by a crash does no harm. When a picture is gone on with, a further section of the
same picture follows.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lookwhere_cli.heads.pooling import WindowHead
from lookwhere_cli.images.names import StandardInput
from lookwhere_cli.interrupts import delayed
from lookwhere_cli.output.files import writing
from lookwhere_cli.pipeline import Answer
from lookwhere_cli.windows.exact import plan_from_json, plan_to_json, row_from_json, row_to_json
from lookwhere_cli.windows.plan import WindowPlan
from lookwhere_cli.windows.pool import WholePicture
from lookwhere_cli.windows.run import WindowAnswer

VERSION = 1
ENDING = ".windows.jsonl"
MARK_EVERY = 5.0
"""Seconds after which what is kept is marked and written to the disk; so much is lost at most when power fails."""


class _Section(NamedTuple):
    """Where the rows of a picture's windows lie in the file: from `start` up to the last mark."""

    start: int
    stop: int
    windows: int
    state: str


class WindowJournal:
    """The file of an output. out: the output's path; the journal has the same with `.windows.jsonl` at the end.

    with_cells: whether the rows of windows are wanted with their cells.
    """

    def __init__(self, out: str | Path, with_cells: bool) -> None:
        self.path, self.with_cells = journal_path(out), with_cells
        self._plans: dict[str, dict[str, Any]] = {}
        self._sections: dict[str, list[_Section]] = {}
        self._stream: BinaryIO | None = None
        self._index()

    def windows_of(self, key: str) -> int:
        """Return how many windows of a picture are kept."""
        return sum(section.windows for section in self._sections.get(key, ()))

    def keep_only(self, keys: set[str]) -> int:
        """Forget all pictures but these; return how many were forgotten. Without any left, the file begins anew."""
        forgotten = [key for key in self._plans if key not in keys]
        for key in forgotten:
            self._plans.pop(key)
            self._sections.pop(key, None)
        if not self._plans:
            with writing(self.path):
                self.path.unlink(missing_ok=True)
        return len(forgotten)

    def picture(self, key: str) -> PictureJournal:
        """Return what keeps the windows of one picture."""
        return PictureJournal(self, key)

    def plan(self, key: str) -> dict[str, Any] | None:
        """Return the plan of a picture; None if it is not known."""
        return self._plans.get(key)

    def sections(self, key: str) -> list[_Section]:
        """Return where the windows of a picture lie."""
        return self._sections.get(key, [])

    def rows(self, section: _Section) -> Iterator[dict[str, Any]]:
        """Yield the lines of the windows of a section."""
        with self.path.open("rb") as stream:
            stream.seek(section.start)
            while stream.tell() < section.stop:
                values = json.loads(stream.readline())
                if "row" in values:
                    yield values

    def write(self, values: dict[str, Any], is_mark: bool = False) -> None:
        """Write a line; a mark reaches the disk. Raises OutputError."""
        with delayed(), writing(self.path):
            if self._stream is None:
                self._stream = self.path.open("ab")
                if not self._stream.tell():
                    self._stream.write(_line({"windows": VERSION}))
                elif not self._ends_with_line():
                    self._stream.write(b"\n")
            self._stream.write(_line(values))
            if is_mark:
                self._stream.flush()
                os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file, and leave it."""
        if self._stream is not None:
            with writing(self.path):
                self._stream.close()
            self._stream = None

    def remove(self) -> None:
        """Remove the file: the output is whole."""
        self.close()
        with writing(self.path):
            self.path.unlink(missing_ok=True)

    def _ends_with_line(self) -> bool:
        with self.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) == b"\n"

    def _index(self) -> None:
        """Find the sections of a file that an earlier run left. What is no journal is taken for an empty one."""
        with suppress(FileNotFoundError), self.path.open("rb") as stream:
            if _parsed(stream.readline()).get("windows") != VERSION:
                return
            key, start, windows = "", 0, 0
            for line in iter(stream.readline, b""):
                values = _parsed(line)
                if "picture" in values:
                    key, start, windows = values["picture"], stream.tell(), 0
                    self._plans.setdefault(key, values["plan"])
                    self._sections.setdefault(key, []).append(_Section(start, start, 0, ""))
                windows += "row" in values
                if "mark" in values and key:
                    self._sections[key][-1] = _Section(start, stream.tell(), windows, values["mark"])


class PictureJournal:
    """Keeps the windows of one picture; see `picture.Keeper`."""

    def __init__(self, journal: WindowJournal, key: str) -> None:
        self._journal, self._key = journal, key
        self._plan: WindowPlan | None = None
        self._marked = time.monotonic()
        self._unmarked: WholePicture | None = None
        self._is_open = False

    def plan(self, blank: WindowPlan) -> WindowPlan | None:
        """Return the plan of an earlier run; None if there was none."""
        values = self._journal.plan(self._key)
        self._plan = None if values is None else plan_from_json(values, blank)
        return self._plan

    def begin(self, plan: WindowPlan) -> None:
        """Keep a new plan."""
        self._plan = plan

    def finished(self, whole: WholePicture) -> Iterator[WindowAnswer]:
        """Yield the windows that an earlier run finished, without views; `whole` takes up what it had pooled."""
        assert self._plan is not None
        windows, head = iter(self._plan.windows), self._plan.pipeline.head
        state = ""
        for section in self._journal.sections(self._key):
            for values in self._journal.rows(section):
                row = row_from_json(values["row"])
                result = head.result_of(row) if isinstance(head, WindowHead) and row.error is None else None
                answered = WindowAnswer(next(windows), Answer(row, None, result))
                whole.add(answered)
                yield answered
            state = section.state or state
        whole.restore(state)

    def keep(self, answered: WindowAnswer, whole: WholePicture) -> None:
        """Keep a window that was answered, and added to `whole`."""
        if not self._is_open:
            assert self._plan is not None
            self._journal.write({"picture": self._key, "plan": plan_to_json(self._plan)})
            self._is_open = True
        self._journal.write({"row": row_to_json(answered.row, self._journal.with_cells)})
        self._unmarked = whole
        if time.monotonic() - self._marked > MARK_EVERY:
            self._mark()

    def close(self) -> None:
        """Write what is not written yet."""
        if self._unmarked is not None:
            self._mark()

    def _mark(self) -> None:
        assert self._unmarked is not None
        self._journal.write({"mark": self._unmarked.state()}, is_mark=True)
        self._marked, self._unmarked = time.monotonic(), None


def journal_path(out: str | Path) -> Path:
    """Return the path of the journal of an output."""
    target = Path(out)
    return target.with_name(target.name + ENDING)


def picture_key(path: str, *settings: object) -> str:
    """Return what identifies a picture and all that decides its windows and their answers.

    path: of a file, which counts as another one when its size or the time of its last change differ; or an address. A
    picture from standard input is known by its bytes.
    settings: objects whose `repr` tells all of them.
    """
    place: list[object] = [path, hashlib.sha256(path.content).digest()] if isinstance(path, StandardInput) else [path]
    with suppress(OSError, ValueError):
        found = Path(path).stat()
        place = [str(Path(path).resolve()), found.st_size, found.st_mtime_ns]
    return hashlib.sha256(repr((place, settings)).encode("utf-8", "surrogatepass")).hexdigest()


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
