"""Locks on files and folders, so that two processes don't write to the same place. They vanish with their process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lookwhere_cli.errors import UsageError


def lock(descriptor: int) -> bool | None:
    """Lock an open file or folder without waiting.

    Returns True if this process has the lock now, False if another one has it, None where there are no such locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return None
    return True


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keep a folder for this process until the block ends. Raises UsageError if another process has it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        yield
        return
    try:
        if lock(descriptor) is False:
            raise UsageError(f"Another run writes to {str(folder)!r}; wait until it ends, or choose another folder.")
        yield
    finally:
        os.close(descriptor)
