"""Files are written completely or not at all: under a temporary name in their folder, then renamed."""

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal, cast

from lookwhere_cli.errors import LookWhereError, OutputError, PictureError, UsageError
from lookwhere_cli.output.locks import lock

STREAMS, DESCRIPTORS = ("/dev/stdout", "/dev/stderr"), Path("/dev/fd")
KEPT = ".windows"
"""The ending of files that hold finished windows, to go on from there."""
LONG = 143
"""Bytes of a name that every file system takes; a temporary name is never longer."""
WAIT = 5.0
"""Seconds to wait for another process that writes the same file: a small one is ready by then."""
_ENDING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
"""What ends a run, because no other file could be written either: a full or failing disk."""
_checked: set[Path] = set()
"""Files that were free when `check_free` looked, and that are to be created since."""


def check_free(path: Path, overwrite: bool) -> None:
    """Check, before any work is done, that a file can be created at `path`, or replaced with `overwrite`.

    Without `overwrite`, `whole_file` refuses to replace a file that another process creates later.
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
    (_checked.discard if overwrite else _checked.add)(path.resolve())


def is_device(path: Path) -> bool:
    """Return True for a device or a pipe, and for a stream of this process (/dev/stdout), whatever it leads to."""
    is_stream = str(path) in STREAMS or path.parent == DESCRIPTORS
    return path.exists() and (is_stream or not (path.is_file() or path.is_dir()))


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a stream whose content becomes the file `path` if the block succeeds, and is discarded otherwise.

    The content reaches the disk before the file gets its name, so that a crash of the machine can't leave a file that
    is cut. Devices and pipes are written to directly. What a killed process left is taken up by the next one that
    writes the same file.

    Raises UsageError if the file can't be opened, or if another process writes it, OutputError if completing it fails.
    Writes in the block itself belong under `writing`.
    """
    if is_device(path):
        with _open_device(path) as stream:
            yield stream
        return
    target = path.resolve()
    partial = _Partial(path, partial_name(target))
    with _discarded_on_failure(partial):
        stream = partial.claim()
        if target in _checked and target.exists():
            raise UsageError(f"{str(path)!r} was written by another process meanwhile; choose another name.")
        yield stream
        with writing(path):
            stream.flush()
            os.fsync(stream.fileno())
            partial.file.replace(target)  # while it is locked
            stream.close()
            _checked.discard(target)
            _sync_folder(target.parent)


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Yield a path for a library that opens files itself; what it writes there becomes `path` if the block succeeds.

    It is discarded otherwise. No other process writes the same file meanwhile. Raises UsageError and OutputError as
    `whole_file` does.
    """
    target = path.resolve()
    claim = _Partial(path, partial_name(target))
    content = partial_name(target.with_name(f"{target.name}.content"))
    with _discarded_on_failure(claim):
        claim.claim()
        if target in _checked and target.exists():
            raise UsageError(f"{str(path)!r} was written by another process meanwhile; choose another name.")
        try:
            content.unlink(missing_ok=True)
            yield content
            with writing(path):
                _sync_file(content)
                content.replace(target)
                _checked.discard(target)
                _sync_folder(target.parent)
        finally:
            with suppress(OSError):
                content.unlink(missing_ok=True)


def partial_name(target: Path) -> Path:
    """Return the temporary name of a file, in its folder; the disk takes it if it takes the file's own."""
    name = f".{target.name}.partial"
    if len(os.fsencode(name)) > LONG:
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}.partial"
    return target.with_name(name)


def kept_files(file: Path) -> list[Path]:
    """Return the files beside an output that hold windows of a run that was stopped; see `windows.kept`."""
    beginning = f"{file.name}."
    if not file.parent.is_dir():
        return []
    found = [one for one in file.parent.iterdir() if one.name.startswith(beginning) and one.suffix == KEPT]
    return sorted(found)


def ends_run(failure: LookWhereError) -> bool:
    """Return True for a failure to write that no other file would escape: a full or failing disk."""
    return isinstance(failure.__cause__, OSError) and failure.__cause__.errno in _ENDING


@contextmanager
def output_of_one_picture() -> Iterator[None]:
    """Turn a failure to write a picture's own file into a PictureError, unless it ends the run (see `ends_run`)."""
    try:
        yield
    except (UsageError, OutputError) as failure:
        if ends_run(failure):
            raise
        raise PictureError(str(failure)) from failure


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
def _open_device(path: Path) -> Iterator[BinaryIO]:
    with _closed(_opened(path, path, "ab"), path) as stream:  # a log that the shell redirects to is not emptied
        yield stream


class _Partial:
    """The temporary file for `path`: locked by this process while it is open."""

    def __init__(self, path: Path, file: Path) -> None:
        self.path, self.file = path, file
        self._stream: BinaryIO | None = None

    def claim(self) -> BinaryIO:
        """Create the file, or take up the one that a killed process left, and return it open and empty.

        Raises UsageError if another process keeps it, or if it can't be opened.
        """
        deadline = time.monotonic() + WAIT
        while not (self._is_opened("xb") or self._is_opened("r+b")):
            if time.monotonic() > deadline:
                raise UsageError(
                    f"{str(self.path)!r} is being written by another process; wait for it, or choose another name."
                )
            time.sleep(0.02)
        assert self._stream is not None
        self._stream.truncate(0)
        return self._stream

    def discard(self) -> None:
        """Close the file, and remove it unless it was renamed or is another process's."""
        with suppress(OSError):
            if self._stream is not None:
                self._stream.close()
        with suppress(OSError), self.file.open("r+b") as left:
            if lock(left.fileno()) is not False:
                self.file.unlink()

    def _is_opened(self, mode: Literal["xb", "r+b"]) -> bool:
        """Open and lock the file; return False if it is there (xb) or not (r+b), or if another process has it."""
        with suppress(FileExistsError, FileNotFoundError):
            if self.file.is_symlink():
                self.file.unlink()
            self._stream = _opened(self.file, self.path, mode)
            if lock(self._stream.fileno()) is not False and _is_same(self._stream, self.file):
                return True
            self._stream.close()
        return False


def _is_same(stream: BinaryIO, partial: Path) -> bool:
    """Return False if another process has renamed or removed the file since it was opened."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), partial.lstat())
    except OSError:
        return False


def _opened(target: Path, path: Path, mode: str) -> BinaryIO:
    """Open `target` for writing; errors name `path`. A file that is there, or is not, raises OSError as it is."""
    try:
        return cast("BinaryIO", target.open(mode))
    except OSError as error:
        if (mode, type(error)) in (("xb", FileExistsError), ("r+b", FileNotFoundError)):
            raise
        kind = OutputError if error.errno in _ENDING else UsageError
        raise kind(f"{str(path)!r} can't be written: {error.strerror}; choose another place.") from error


@contextmanager
def _closed(stream: BinaryIO, path: Path) -> Iterator[BinaryIO]:
    """Close the stream at the end; errors name `path`."""
    try:
        yield stream
    except BaseException:
        with suppress(OSError):  # an error while closing must not hide the first one
            stream.close()
        raise
    with writing(path):
        stream.close()


@contextmanager
def _discarded_on_failure(partial: _Partial) -> Iterator[None]:
    """Discard the file at the end. Entered before the file exists: Ctrl-C may come at once."""
    try:
        yield
    finally:
        partial.discard()


def _sync_file(file: Path) -> None:
    """Write a file's content to the disk."""
    with file.open("r+b") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Write the folder's entries to the disk, on platforms where folders can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
