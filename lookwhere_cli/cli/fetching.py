"""A download's progress, and the download that a first use needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from lookwhere_cli.show.console import PlainTextColumn, make_console, say

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.cache import Watch
    from lookwhere_cli.models.config import Task


@contextmanager
def watched(quiet: bool) -> Iterator[Watch]:
    """A bar for each file on stderr, with rate and time left; nothing where that is no terminal."""
    console = make_console(stderr=True, quiet=quiet)
    columns = (PlainTextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
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


def chosen(context: typer.Context, task: Task, default: str, quiet: bool) -> str:
    """The name of the command's model, fetched if it is not here yet: `--model`, LOOKWHERE_MODEL or the default.

    The environment's gives way to the default where its task is another. Raises ModelError.
    """
    model: str = context.params["model"]
    have(model, quiet)
    source = context.get_parameter_source("model")
    if source is None or source.name != "ENVIRONMENT":
        return model
    from lookwhere_cli.checkpoints.folder import read_config
    from lookwhere_cli.checkpoints.names import find

    other = read_config(find(model).folder).task
    if other == task:
        return model
    if not quiet:
        console = make_console(stderr=True)
        say(console, f"LOOKWHERE_MODEL is {model!r}, whose task is {other}; {default} serves instead.")
    have(default, quiet)
    return default
