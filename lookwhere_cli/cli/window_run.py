"""What commands do with pictures that they read in windows, as `write_in_windows` asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lookwhere_cli.cli.results import Result
from lookwhere_cli.cli.window_options import WindowRequest

if TYPE_CHECKING:
    from lookwhere_cli.images.source import Source
    from lookwhere_cli.windows.plan import WindowPlan


class OpenWindows(Protocol):
    """A picture that is open, and its windows; see `WindowReading`."""

    @property
    def source(self) -> Source:
        """Its pixels."""
        ...

    @property
    def plan(self) -> WindowPlan:
        """The windows that are read."""
        ...

    def answers(self) -> Iterator[Result]:
        """Yield the result of each window; to be called once."""
        ...

    def whole(self) -> Result:
        """Return the result of the whole picture, once all windows were answered."""
        ...


class WindowRun(Protocol):
    """What is done with pictures."""

    @property
    def request(self) -> WindowRequest:
        """What the user asked for."""
        ...

    @property
    def out(self) -> Path | None:
        """The file or folder that is written, if any."""
        ...

    def begin(self, pictures: Sequence[str], quiet: bool) -> None:
        """Prepare for these pictures, and say what an earlier run left."""
        ...

    def open(self, picture: str) -> AbstractContextManager[OpenWindows]:
        """Open a picture."""
        ...

    def end(self, is_written: bool) -> None:
        """Clean up. is_written: False if the run was stopped."""
        ...

    @property
    def kept_in(self) -> str:
        """Return the sentence about what a stopped run leaves; empty if it leaves nothing."""
        ...
