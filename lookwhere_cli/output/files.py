"""Files are written whole or not at all: under a temporary name beside their own, then renamed."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lookwhere_cli.errors import OutputError, UsageError


def check_free(path: Path, overwrite: bool) -> None:
    """Refuse, before any work is done, an output that is there already or has no folder. Raises UsageError."""
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder; name a file to write to.")
    if path.is_file() and not overwrite:
        raise UsageError(f"{str(path)!r} is there already; choose another name, or replace it with --overwrite.")
    if not path.parent.is_dir():
        raise UsageError(f"{str(path)!r} can't be written: {os.strerror(errno.ENOENT)}; choose another place.")


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file `path` if the block ends well, and vanishes otherwise.

    Devices and pipes are written to directly. Raises UsageError where nothing can be written at all,
    OutputError where the end fails; the block's own writes belong under `writing`.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with _opened(target, path) as stream:
            yield stream
        return
    partial = target.with_name(f".{target.name[:200]}.{os.getpid()}.partial")
    with _removed_unless_renamed(partial), _opened(partial, path) as stream:
        yield stream
        with writing(path):
            stream.close()
            partial.replace(target)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that names `path`; a closed pipe stays what it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as failure:
        raise OutputError(
            f"Writing {str(path)!r} failed: {failure.strerror or failure}; make room or choose another place."
        ) from failure


@contextmanager
def _opened(target: Path, named: Path) -> Iterator[BinaryIO]:
    try:
        stream = target.open("wb")
    except OSError as failure:
        raise UsageError(f"{str(named)!r} can't be written: {failure.strerror}; choose another place.") from failure
    try:
        yield stream
    except BaseException:
        with suppress(OSError):  # what it still holds does not matter any more, and must not hide the reason
            stream.close()
        raise
    with writing(named):
        stream.close()


@contextmanager
def _removed_unless_renamed(partial: Path) -> Iterator[None]:
    """To be entered before the file is made: Ctrl-C may come as soon as it is there."""
    try:
        yield
    finally:
        with suppress(OSError):  # it is renamed, or could not be made, of which more is told elsewhere
            partial.unlink()
