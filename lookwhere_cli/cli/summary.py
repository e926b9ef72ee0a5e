"""The line on standard error that says what a finished command did; `--quiet` hides it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.models.config import Config


class Tally(NamedTuple):
    """How many pictures have a result, and how many of these results are failures."""

    done: int
    failed: int


def say_done(sentence: str, quiet: bool) -> None:
    """Print the line, unless `quiet`."""
    say(make_console(stderr=True, quiet=quiet), sentence)


def wrote(amount: str, place: Path, failed: int = 0) -> str:
    """Return "Wrote 14 rows to rows.csv (2 failed)."; `amount` is "14 rows"."""
    return f"Wrote {amount} to {place}{failures(failed)}."


def failures(failed: int) -> str:
    """Return " (2 failed)", or nothing if none did."""
    return f" ({failed:,} failed)" if failed else ""


def say_failures(tally: Tally) -> None:
    """Print how many of several pictures failed, also with `--quiet`."""
    if tally.failed and tally.done > 1:
        say_done(f"{tally.failed:,} of {counted(tally.done, 'picture')} failed.", quiet=False)


def stopped(done: int, total: int) -> str:
    """Return the sentence for Ctrl-C: how many of the pictures are done."""
    return f"Stopped: {done:,} of {counted(total, 'picture')} {'is' if total == 1 else 'are'} done."


def listed(items: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))


def duration(seconds: float) -> str:
    """Return a time in its two largest units: 12 s, 4 min, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def usage_of(config: Config, model: Path | str) -> str:
    """Return a command that uses a model: lookwhere classify photo.jpg --model my-model."""
    from lookwhere_cli.heads.registry import head_of

    return f"lookwhere {head_of(config).command()} --model {shlex.quote(str(model))}"
