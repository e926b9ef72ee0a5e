"""Remote stores (s3://, gs://, hf://, https://, memory://) through fsspec, and how their failures are met."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from lookwhere_cli.errors import LookWhereError, UsageError
from lookwhere_cli.extras import install_command, require

T = TypeVar("T")

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each further attempt, longer or shorter by up to a half, so that workers don't come back together."""
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*://", re.IGNORECASE)
_LASTING = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, ValueError, NotImplementedError)
_WORTH_RETRYING = (408, 409, 425, 429)
"""HTTP statuses below 500 after which the same request may succeed: time-outs, conflicts, throttling."""


class StoreError(LookWhereError):
    """A remote store that keeps failing. Exit code 1; the same command goes on later."""


def is_remote(name: str) -> bool:
    """Return True for the address of something in a remote store, such as s3://bucket/pictures/."""
    return _REMOTE.match(name) is not None


def is_web(name: str) -> bool:
    """Return True for an address on the web, where a file that can't be fetched is that file's own failure."""
    return name.lower().startswith(("http://", "https://"))


def file_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system for an address, and the address as that file system writes it.

    Raises UsageError for an unknown kind of store, and if its library is missing.
    """
    fsspec = require("fsspec", "remote", f"{address!r}")
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise UsageError(f"{address!r} needs another library: {error}; {install_command('remote')}.") from error
    except ValueError as error:
        raise UsageError(f"{address!r} is of no kind of store that fsspec knows: {error}.") from error
    return system, str(path)


def retried(call: Callable[[], T], subject: str) -> T:
    """Return what the call returns, tried again after failures that may pass (throttling, 5xx, lost connections).

    subject: of the sentence. Raises what lasts (FileNotFoundError, PermissionError, a status of 4xx) as it is, and
    StoreError once all attempts have failed.
    """
    for wait in (*WAITS, None):
        try:
            return call()
        except Exception as error:
            if _lasts(error):
                raise
            if wait is None:
                raise StoreError(
                    f"{subject} failed {len(WAITS) + 1} times, at last with: {error or type(error).__name__}; the same "
                    "command goes on from here."
                ) from error
            time.sleep(wait * random.uniform(0.5, 1.5))
    raise AssertionError


def _lasts(error: Exception) -> bool:
    if isinstance(error, (*_LASTING, LookWhereError)) or "Credentials" in type(error).__name__:
        return True
    status = getattr(error, "status", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in _WORTH_RETRYING
