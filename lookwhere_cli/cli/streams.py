"""The standard streams as they may be: closed, or in an encoding that lacks some letters."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import NoReturn, TextIO


class ClosedStream(io.RawIOBase):
    """Takes the place of a standard output that the caller closed: the first write fails."""

    def writable(self) -> bool:
        """Return True: that it is closed is said when something is written."""
        return True

    def write(self, content: object) -> NoReturn:
        """Raise OSError."""
        raise OSError(errno.EBADF, "it is closed")


def prepare_streams() -> None:
    """Let closed streams fail when they are used, and no other file take their numbers; escape letters they lack."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(ClosedStream(), encoding="utf-8", write_through=True)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        if not is_unicode(stream) and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_unicode(stream: TextIO) -> bool:
    """Return True if the stream takes any letter."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


def drop(stream: TextIO) -> None:
    """Discard what a standard stream still buffers: it can't be written, and Python would report that at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
