"""What an engine is: something that lets workers do shards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from lookwhere_cli.jobs.plan import ShardPlan

Tick = Callable[[], None]
"""Called about every second while workers work."""


class Engine(Protocol):
    """Does shards by workers of one kind."""

    def run(self, shards: Sequence[int], plan: ShardPlan, tick: Tick) -> None:
        """Do all shards.

        Workers that die are replaced. Raises what a worker raises: UsageError or ModelError for options that don't fit
        the model, OutputError for rows that can't be written.
        """
        ...
