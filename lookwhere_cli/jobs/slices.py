"""Slices of a job, for the members of a Slurm array: `--shards 3/40` does every 40th shard, from the 3rd."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from lookwhere_cli.errors import UsageError


@dataclass(frozen=True)
class Slice:
    """The `number`th of `count` slices, from 1; all shards if there is one slice."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Slice:
        """Read "3/40". Raises UsageError."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shards {text} is not a slice; write 3/40 for the third of forty.")
        return cls(int(found[1]), int(found[2]))

    @property
    def is_all(self) -> bool:
        """True if there is one slice, so that it holds every shard."""
        return self.count == 1

    @property
    def name(self) -> str:
        """The slice in a file's name: "all", "3-of-40"."""
        return "all" if self.is_all else f"{self.number}-of-{self.count}"

    @classmethod
    def named(cls, name: str) -> Slice | None:
        """Return the slice of that name; None if it is no slice's."""
        if name == "all":
            return cls()
        found = re.fullmatch(r"(\d+)-of-(\d+)", name)
        return None if found is None else cls(int(found[1]), int(found[2]))

    def shards(self, total: int) -> range:
        """Return the shards of this slice, of `total` from 0. Neighbours go to different members."""
        return range(self.number - 1, total, self.count)

    def overlaps(self, other: Slice) -> bool:
        """Return True if two runs of these slices could do the same shard. Other cuts than ours do, as a rule."""
        return self == other or self.count != other.count


def first_overlap(mine: Slice, others: Iterable[str]) -> Slice | None:
    """Return the first of the named slices that overlaps with mine; mine itself is left out."""
    slices = filter(None, map(Slice.named, others))
    return next((other for other in slices if other != mine and mine.overlaps(other)), None)
