"""What a worker is told: everything that doing a shard needs, small and picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lookwhere_cli.options import Options


@dataclass(frozen=True)
class ShardPlan:
    """How shards are done.

    listing: the file of the list, below `folder`. session: names the run of the job. slice_name: which slice it does.
    threads: CPUs for one worker. base: the folder that relative paths start from. is_relative: whether there are any.
    """

    command: str
    model: str
    options: Options
    folder: str
    listing: str
    session: str
    slice_name: str = "all"
    threads: int = 1
    base: str = ""
    is_relative: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
