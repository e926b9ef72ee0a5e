"""Files are written completely or not at all: under a temporary name in their folder, then renamed."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

from lookwhere_cli.errors import OutputError, UsageError

STREAMS, DESCRIPTORS = ("/dev/stdout", "/dev/stderr"), Path("/dev/fd")


def check_free(path: Path, overwrite: bool) -> None:
    """Check, before any work is done, that a file can be created at `path`, or replaced with `overwrite`.

    Devices and pipes are always free. Raises UsageError if it can't.
    """
    if is_device(path):
        return
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder; name a file to write to.")
    if path.is_file() and not overwrite:
        raise UsageError(f"{str(path)!r} exists already; choose another name, or replace it with --overwrite.")
    if not path.parent.is_dir():
        raise UsageError(f"{str(path)!r} can't be written: {os.strerror(errno.ENOENT)}; choose another place.")


def is_device(path: Path) -> bool:
    """Return True for a device or a pipe, and for a stream of this process (/dev/stdout), whatever it leads to."""
    is_stream = str(path) in STREAMS or path.parent == DESCRIPTORS
    return path.exists() and (is_stream or not (path.is_file() or path.is_dir()))


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a stream whose content becomes the file `path` if the block succeeds, and is discarded otherwise.

    The content reaches the disk before the file gets its name, so that a crash of the machine can't leave a file that
    is cut. Devices and pipes are written to directly.

    Raises UsageError if the file can't be opened, OutputError if completing it fails. Writes in the block itself belong
    under `writing`.
    """
    if is_device(path):
        with _open(path, path, "ab") as stream:  # a log that the shell redirects to is not emptied
            yield stream
        return
    target = path.resolve()
    partial = target.with_name(f".{target.name[:200]}.{os.getpid()}.partial")
    with _removed_on_failure(partial), _open(partial, path) as stream:
        yield stream
        with writing(path):
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            partial.replace(target)
            _sync_folder(target.parent)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that names `path`. A BrokenPipeError passes unchanged."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"Writing {str(path)!r} failed: {error.strerror or error}; make room or choose another place."
        ) from error


@contextmanager
def _open(target: Path, path: Path, mode: Literal["wb", "ab"] = "wb") -> Iterator[BinaryIO]:
    """Open `target` for writing; errors name `path`."""
    try:
        stream = target.open(mode)
    except OSError as error:
        raise UsageError(f"{str(path)!r} can't be written: {error.strerror}; choose another place.") from error
    try:
        yield stream
    except BaseException:
        with suppress(OSError):  # an error while closing must not hide the first one
            stream.close()
        raise
    with writing(path):
        stream.close()


@contextmanager
def _removed_on_failure(partial: Path) -> Iterator[None]:
    """Remove the file at the end, if it was not renamed. Entered before the file exists: Ctrl-C may come at once."""
    try:
        yield
    finally:
        with suppress(OSError):
            partial.unlink()


def _sync_folder(folder: Path) -> None:
    """Write the folder's entries to the disk, on platforms where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
