"""`lookwhere models`: what ships with the tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from lookwhere_cli.cli import options

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.names import Bundled

app = typer.Typer(help="The models that ship with the tool.", no_args_is_help=True)


@app.callback()
def _models() -> None:
    """Keep `list` a command of its own, though it is the only one so far."""


@app.command("list")
def list_models(debug: options.Debug = False) -> None:
    """Show the bundled models: size, labels, how much they read, and the results on their cards.

    Examples:

      lookwhere models list

      lookwhere classify photos/ --model lookwhere-tiny-in1k
    """
    from rich.console import Console
    from rich.table import Table

    from lookwhere_cli.checkpoints.names import bundled

    table = Table("Model", "MB", "Task", "Labels", "Pixels", "k", "GMACs", "Results", box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    # A name is there to be typed, so it stays in one piece.
    table.columns[0].min_width = max((len(model.name) for model in bundled()), default=0)
    for model in bundled():
        table.add_row(*_line(model))
    console = Console()
    console.print(table if table.rows else "No model is bundled.", soft_wrap=not console.is_terminal)


def _line(model: Bundled) -> list[str]:
    from lookwhere_cli.checkpoints.folder import read_config, read_results
    from lookwhere_cli.checkpoints.names import WEIGHTS
    from lookwhere_cli.models import macs
    from lookwhere_cli.models.selector import kept

    config = read_config(model.folder)
    k = kept(config.k, config.grid[0] * config.grid[1])
    cost = macs.count(config, config.grid, config.thumbnail_grid, k).total
    accuracy = read_results(model.folder).get("accuracy", {})
    return [
        model.name,
        f"{(model.folder / WEIGHTS).stat().st_size / 1e6:.1f}",
        config.task,
        f"{len(config.labels)}",
        f"{config.size}",
        f"{k} of {config.grid[0] * config.grid[1]}",
        f"{cost / 1e9:.2f} of {macs.full(config, config.grid) / 1e9:.2f}",
        ", ".join(f"{name} {share:.1%}" for name, share in accuracy.items()) or "not recorded",
    ]
