"""Pictures that disappear or break while a training runs: a few are skipped by name, many stop it."""

from __future__ import annotations

from collections.abc import Iterable

from lookwhere_cli.data.checks import LISTED, TOLERATED
from lookwhere_cli.errors import DataError
from lookwhere_cli.text import counted


class Skipped:
    """Pictures that could not be read, of `total` in all; `noun` names one of them."""

    def __init__(self, total: int, noun: str = "training picture") -> None:
        self.total, self._noun = total, noun
        self._sentences: dict[str, str] = {}

    def new(self, pictures: Iterable[tuple[str, str]]) -> tuple[str, ...]:
        """Add pictures, each with its sentence; return the sentences of those that were not known yet."""
        found = {path: sentence for path, sentence in pictures if path not in self._sentences}
        self._sentences |= found
        return tuple(found.values())

    @property
    def are_too_many(self) -> bool:
        """True if more than a tenth can't be read: a disk that is gone, rather than a broken file."""
        return len(self._sentences) > TOLERATED * self.total

    def check(self) -> None:
        """Raise DataError if too many can't be read."""
        if self.are_too_many:
            sentences = list(self._sentences.values())
            more = [f"... and {len(sentences) - LISTED} more"] if len(sentences) > LISTED else []
            raise DataError(
                f"{len(sentences)} of {counted(self.total, self._noun)} can't be read any more, more than a "
                "tenth; bring them back, and the same command continues:",
                [*sentences[:LISTED], *more],
            )
