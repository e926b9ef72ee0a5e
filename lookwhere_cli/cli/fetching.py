"""A download's progress, and the download that a first use needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.cache import Watch


@contextmanager
def watched(quiet: bool) -> Iterator[Watch]:
    """A bar for each file on stderr, with rate and time left; nothing where that is no terminal."""
    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bars: dict[str, object] = {}
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:

        def watch(file: str, here: int, total: int) -> None:
            if file not in bars:
                bars[file] = progress.add_task(file, total=total)
            progress.update(bars[file], completed=here)  # type: ignore[arg-type]

        yield watch


def have(model: str, quiet: bool) -> None:
    """Fetch a model that is not here yet, showing progress. Raises ModelError."""
    from lookwhere_cli.checkpoints.names import Place, resolve

    wanted = resolve(model)
    if not isinstance(wanted, Place):
        from lookwhere_cli.checkpoints.cache import obtain

        with watched(quiet) as watch:
            obtain(wanted, watch)
