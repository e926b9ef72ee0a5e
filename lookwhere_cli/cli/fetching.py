"""Downloads that a command needs, with a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from lookwhere_cli.show.console import PlainTextColumn, make_console, say

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.progress import OnProgress
    from lookwhere_cli.models.config import Config, Task


ALSO: dict[str, tuple[str, ...]] = {"classify": ("detect",)}
"""Models of other tasks that serve a task, too: a detection model labels pictures by their boxes."""


@contextmanager
def download_progress(quiet: bool) -> Iterator[OnProgress]:
    """Show a bar for each file on stderr, with rate and time left; show nothing if stderr is not a terminal."""
    console = make_console(stderr=True, quiet=quiet)
    columns = (PlainTextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    bars: dict[str, object] = {}
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:

        def update(file: str, downloaded: int, total: int) -> None:
            """Show how many of a file's bytes have arrived; its first call adds the file's bar."""
            if file not in bars:
                bars[file] = progress.add_task(file, total=total)
            progress.update(bars[file], completed=downloaded)  # type: ignore[arg-type]

        yield update


def ensure_downloaded(model: str, quiet: bool) -> None:
    """Fetch a model that is not on this machine yet, with a progress bar. Raises ModelError."""
    from lookwhere_cli.checkpoints.names import HubName
    from lookwhere_cli.checkpoints.resolve import obtain, resolve

    resolved = resolve(model)
    if isinstance(resolved, HubName):
        with download_progress(quiet) as update:
            obtain(resolved, update, _describe)


def check_teacher(spec: str) -> None:
    """Raise ModelError, before torch is imported, if timm would have to download a teacher and can't."""
    from lookwhere_cli.checkpoints.timm_spec import parse_timm_spec
    from lookwhere_cli.checkpoints.timm_weights import check_obtainable

    if not parse_timm_spec(spec).file:
        check_obtainable(spec)


def _describe(config: Config) -> str:
    """Return a converted model's card, by a module that is imported only once the model has been downloaded."""
    from lookwhere_cli.card import describe

    return describe(config)


def model_from_option(context: typer.Context, task: Task, default: str, quiet: bool) -> str:
    """Return the name of the command's model: `--model`, LOOKWHERE_MODEL or `default`; fetch it if it is not here.

    A model from LOOKWHERE_MODEL that has another task is replaced by `default`. Raises ModelError.
    """
    model: str = context.params["model"]
    ensure_downloaded(model, quiet)
    source = context.get_parameter_source("model")
    if source is None or source.name != "ENVIRONMENT":
        return model
    from lookwhere_cli.checkpoints.configs import read_config
    from lookwhere_cli.checkpoints.resolve import find

    other = read_config(find(model).folder).task
    if other in (task, *ALSO.get(task, ())):
        return model
    if not quiet:
        message = f"LOOKWHERE_MODEL is {model!r}, a model for {other}; using {default} instead."
        say(make_console(stderr=True), message)
    ensure_downloaded(default, quiet)
    return default
