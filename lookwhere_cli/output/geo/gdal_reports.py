"""What GDAL reports while it writes a file, as errors that say why.

rasterio raises nothing when the last tiles can't be written as a file is closed: it only logs what GDAL reported. And
GDAL's copy of libtiff prints the cause, a full disk, on standard error.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from lookwhere_cli.errors import OutputError

_SIGNAL = "GDAL signalled an error"
"""How the entries of rasterio's log begin that tell of an error."""
_CAUSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
_STDERR = 2
_PROBE = 1 << 20
"""Bytes by which a file that could not be written is to grow, to hear from the disk why."""


class GdalReports:
    """The reports about one file that is being written. partial: where its content is until it is complete."""

    def __init__(self, file: Path, partial: Path) -> None:
        self._file, self._partial = file, partial

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise OutputError at the end of the block if GDAL reported or rasterio raised an error in it.

        What other threads do with GDAL meanwhile is left alone.
        """
        from rasterio.errors import RasterioError

        failure: RasterioError | None = None
        with stderr_of_libraries() as printed, _signals() as signals:
            try:
                yield
            except RasterioError as error:
                failure = error
        if failure is not None or signals:
            raise _failure(self._file, self._partial, [*signals, str(failure)], printed)


@contextmanager
def stderr_of_libraries() -> Iterator[list[str]]:
    """Keep from standard error what is printed there by whatever language within the block; the value gets it."""
    printed: list[str] = []
    with TemporaryFile() as taken:
        kept = os.dup(_STDERR)
        os.dup2(taken.fileno(), _STDERR)
        try:
            yield printed
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            printed.append(_text_of(taken))


@contextmanager
def _signals() -> Iterator[list[str]]:
    """Collect the errors that rasterio logs in this thread; the value gets them."""
    signals, logger = _Signals(), logging.getLogger("rasterio._env")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(signals)
    try:
        yield signals.sentences
    finally:
        logger.removeHandler(signals)
        logger.setLevel(level)


class _Signals(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.sentences: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the sentence of a signal that this thread caused."""
        sentence = record.getMessage()
        if record.thread == self._thread and sentence.startswith(_SIGNAL):
            self.sentences.append(sentence)


def _failure(file: Path, partial: Path, sentences: Sequence[str], printed: Sequence[str]) -> OutputError:
    """Return the error for a file that could not be written; its cause is what the disk said, if that is known."""
    for number in _CAUSES:
        reason = os.strerror(number)
        if any(reason in sentence for sentence in [*sentences, *printed]):
            return _output_error(file, reason, OSError(number, reason))
    error = _disk_error(partial)
    return _output_error(file, sentences[0] if error is None else os.strerror(error.errno or 0), error)


def _disk_error(partial: Path) -> OSError | None:
    """Return what the disk says when a file, which is of no use any more, is to grow; None if it may.

    Where another library has replaced libtiff's handler of errors, GDAL does not tell why it could not write.
    """
    try:
        with partial.open("ab") as stream:
            stream.write(bytes(_PROBE))
    except OSError as error:
        return error if error.errno in _CAUSES else None
    return None


def _output_error(file: Path, reason: str, cause: OSError | None = None) -> OutputError:
    failure = OutputError(f"Writing {str(file)!r} failed: {reason}; make room or choose another place.")
    failure.__cause__ = cause
    return failure


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
