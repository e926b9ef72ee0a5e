"""The names of a job's files. What readers of Parquet should take for data is `part-*.parquet`; the rest is ours."""

from __future__ import annotations

import re

SUCCESS = "_SUCCESS"
OURS = "_job"
"""The folder of what is not data; readers of Parquet leave out what begins with _."""
MANIFEST = f"{OURS}/manifest.json"
_PART = re.compile(r"part-(\d{5,})\.parquet")


def part_name(shard: int) -> str:
    """Return the file of a shard's rows."""
    return f"part-{shard:05}.parquet"


def shard_of(name: str) -> int | None:
    """Return the shard whose rows a file holds; None for any other file."""
    found = _PART.fullmatch(name)
    return None if found is None else int(found[1])


def list_name(digest: str) -> str:
    """Return the file of the list of pictures that has this hash."""
    return f"{OURS}/pictures-{digest[:16]}.parquet"
