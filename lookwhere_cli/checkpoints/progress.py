"""How a download reports its progress."""

from collections.abc import Callable
from typing import TypeAlias

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with the file's name, the bytes downloaded so far, and the bytes of the whole file."""


def ignore_progress(file: str, downloaded: int, total: int) -> None:
    """Do nothing: the default `OnProgress`."""
