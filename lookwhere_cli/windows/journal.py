"""Windows that are finished, kept in a file beside the output, so that a run that was stopped goes on from there.

The file holds lines of JSON. The first one tells the command. After it come sections: the line of a picture, with its
plan, then the rows of its windows, and now and then a mark with what was pooled until there. What comes after the last
mark of a section is not used, so that a line that was cut by a crash does no harm. When a picture is gone on with, a
further section of the same picture follows; with another plan, it replaces the former ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from array import array
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.heads.pooling import WindowHead
from lookwhere_cli.images.names import StandardInput
from lookwhere_cli.interrupts import delayed
from lookwhere_cli.output.files import writing
from lookwhere_cli.output.rows import Row
from lookwhere_cli.pipeline import Answer
from lookwhere_cli.windows.exact import plan_from_json, plan_to_json, row_from_json, row_to_json
from lookwhere_cli.windows.plan import Window, WindowPlan
from lookwhere_cli.windows.pool import WholePicture
from lookwhere_cli.windows.run import WindowAnswer

VERSION = 2
ENDING = ".windows.jsonl"
MARK_EVERY = 5.0
"""Seconds after which what is kept is marked and written to the disk; so much is lost at most when power fails."""


class _Section(NamedTuple):
    """The windows of a picture that follow each other in the file.

    numbers: theirs. places: where their lines begin. marked: how many of them lie before the last mark; others are not
    used. state: what was pooled until there.
    """

    numbers: array[int]
    places: array[int]
    marked: int = 0
    state: str = ""


class WindowJournal:
    """The file of an output. out: the output's path; the journal has the same with `.windows.jsonl` at the end.

    with_cells: whether the rows of windows are wanted with their cells. command: identifies the command with its
    pictures, model and options; the file says whose it is before the first window is finished. has_windows: whether any
    is.
    """

    def __init__(self, out: str | Path, with_cells: bool, command: str = "") -> None:
        self.path, self.with_cells, self.command = journal_path(out), with_cells, command
        self.has_windows = False
        self._begun_by: str | None = None
        self._plans: dict[str, dict[str, Any]] = {}
        self._sections: dict[str, list[_Section]] = {}
        self._stream: BinaryIO | None = None
        self._index()

    def windows_of(self, key: str) -> int:
        """Return how many windows of a picture are kept."""
        return sum(section.marked for section in self._sections.get(key, ()))

    @property
    def is_own(self) -> bool:
        """True if the file was begun by the same command."""
        return bool(self.command) and self._begun_by == self.command

    def keep_only(self, keys: set[str]) -> int:
        """Forget all pictures but these; return how many were forgotten. Without any left, the file begins anew."""
        forgotten = [key for key in self._plans if key not in keys]
        for key in forgotten:
            self.forget(key)
        if not self._plans and not self.is_own:
            with writing(self.path):
                self.path.unlink(missing_ok=True)
        return len(forgotten)

    def forget(self, key: str) -> None:
        """Forget a picture."""
        self._plans.pop(key, None)
        self._sections.pop(key, None)

    def picture(self, key: str) -> PictureJournal:
        """Return what keeps the windows of one picture."""
        return PictureJournal(self, key)

    def plan(self, key: str) -> dict[str, Any] | None:
        """Return the plan of a picture; None if it is not known."""
        return self._plans.get(key)

    def sections(self, key: str) -> list[_Section]:
        """Return the windows of a picture, run by run."""
        return self._sections.get(key, [])

    def row(self, place: int) -> Row:
        """Return the row whose line begins at a place in the file."""
        with self.path.open("rb") as stream:
            stream.seek(place)
            return row_from_json(json.loads(stream.readline())["row"])

    def write(self, values: dict[str, Any], is_mark: bool = False) -> None:
        """Write a line; a mark reaches the disk. Raises OutputError."""
        with delayed(), writing(self.path):
            stream = self._opened()
            stream.write(_line(values))
            self.has_windows |= "row" in values
            if is_mark:
                stream.flush()
                os.fsync(stream.fileno())

    def leave(self) -> None:
        """Close the file, which is created if there is none, so that the same command is known again."""
        with writing(self.path):
            self._opened()
        self.close()

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

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            self._stream = self.path.open("ab")
            if not self._stream.tell():
                self._stream.write(_line({"windows": VERSION, "command": self.command}))
            elif not self._ends_with_line():
                self._stream.write(b"\n")
        return self._stream

    def _ends_with_line(self) -> bool:
        with self.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) == b"\n"

    def _index(self) -> None:
        """Find the sections of a file that an earlier run left. What is no journal is taken for an empty one."""
        with suppress(FileNotFoundError), self.path.open("rb") as stream:
            head = _parsed(stream.readline())
            if head.get("windows") != VERSION:
                return
            self._begun_by = head.get("command")
            key, found, place = "", _Section(array("q"), array("q")), stream.tell()
            for line in iter(stream.readline, b""):
                values = _parsed(line)
                if "picture" in values:
                    key, found = values["picture"], _Section(array("q"), array("q"))
                    self._begin_section(key, values["plan"])
                elif "number" in values:
                    found.numbers.append(values["number"])
                    found.places.append(place)
                elif "mark" in values and key:
                    marked = found._replace(marked=len(found.numbers), state=values["mark"])
                    self._sections[key][-1] = marked
                    self.has_windows |= marked.marked > 0
                place = stream.tell()

    def _begin_section(self, key: str, plan: dict[str, Any]) -> None:
        """Begin a section, which replaces former ones of another plan."""
        if self._plans.get(key) != plan:
            self._plans[key], self._sections[key] = plan, []
        self._sections[key].append(_Section(array("q"), array("q")))


class PictureJournal:
    """Keeps the windows of one picture; see `picture.Keeper`.

    is_outdated: whether the file has a plan of the picture that does not fit it, so that its windows are not used.
    """

    def __init__(self, journal: WindowJournal, key: str) -> None:
        self._journal, self._key = journal, key
        self.is_outdated = False
        self._numbers = self._places = np.zeros(0, np.int64)
        self._plan: WindowPlan | None = None
        self._marked = time.monotonic()
        self._unmarked: WholePicture | None = None
        self._is_open = False

    def plan(self, blank: WindowPlan) -> WindowPlan | None:
        """Return the plan of an earlier run; None if there was none."""
        values = self._journal.plan(self._key)
        try:
            self._plan = None if values is None else plan_from_json(values, blank)
        except (ValueError, KeyError, TypeError):
            self.is_outdated = True
            self._journal.forget(self._key)
        return self._plan

    def begin(self, plan: WindowPlan) -> None:
        """Keep a new plan."""
        self._plan = plan

    def restore(self, whole: WholePicture) -> Int64[ndarray, " finished"]:
        """Let `whole` take up what an earlier run had pooled; return the numbers of the windows that it finished."""
        sections = self._journal.sections(self._key)
        states = [section.state for section in sections if section.state]
        whole.restore(states[-1] if states else "")
        numbers, places = (np.concatenate([np.zeros(0, np.int64), *found]) for found in _columns(sections))
        order = np.argsort(numbers, kind="stable")
        self._numbers, self._places = numbers[order], places[order]
        return self._numbers

    def finished(self, window: Window) -> WindowAnswer:
        """Return the answer of a window that an earlier run finished, without its view."""
        assert self._plan is not None
        row = self._journal.row(int(self._places[np.searchsorted(self._numbers, window.number)]))
        head = self._plan.pipeline.head
        return WindowAnswer(window, Answer(row, None, head.result_of(row) if isinstance(head, WindowHead) else None))

    def keep(self, answered: WindowAnswer, whole: WholePicture) -> None:
        """Keep a window that was answered, and added to `whole`."""
        if not self._is_open:
            assert self._plan is not None
            self._journal.write({"picture": self._key, "plan": plan_to_json(self._plan)})
            self._is_open = True
        row = row_to_json(answered.row, self._journal.with_cells)
        self._journal.write({"number": answered.window.number, "row": row})
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
    return _digest(place, settings)


def command_key(keys: Iterable[str]) -> str:
    """Return what identifies a command over pictures with these keys."""
    return _digest(sorted(keys))


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogatepass")).hexdigest()


def _columns(sections: list[_Section]) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Return the numbers of the windows of each section, and their places."""
    used = [section for section in sections if section.marked]
    numbers = [np.frombuffer(section.numbers, np.int64)[: section.marked] for section in used]
    return numbers, [np.frombuffer(section.places, np.int64)[: section.marked] for section in used]


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
