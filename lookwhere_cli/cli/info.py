"""`lookwhere info`: what files are, and how they would be read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.options import MAX_PIXELS

if TYPE_CHECKING:
    from lookwhere_cli.images.frame import Reading
    from lookwhere_cli.images.large.info import Facts


def info(
    context: typer.Context,
    paths: options.Paths,
    size: options.Size = None,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    bands: options.Bands = None,
    stretch_range: options.StretchRange = None,
    model: options.Model = DEFAULT_CLASSIFIER,
    as_json: Annotated[bool, typer.Option("--json", help="Print all facts as JSON.")] = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Show what files are, and how they would be read: size, levels, bands, place, grid.

    No picture is decoded, but for the overview of a raster whose values are stretched.

    Examples:

      lookwhere info slide.svs

      lookwhere info scenes/*.tif --json
    """
    settings = options.options_from(context)

    from lookwhere_cli.checkpoints.configs import read_config
    from lookwhere_cli.checkpoints.resolve import find
    from lookwhere_cli.cli.pictures import pictures_of
    from lookwhere_cli.loading import reading_for

    pictures = pictures_of(paths, quiet)
    reading = reading_for(read_config(find(model).folder), settings)
    found, failures = _facts_of_all(pictures, reading)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        _print_tables([facts for facts in found if "error" not in facts])
    _say_failures(failures)
    if failures:
        raise typer.Exit(1)


def _facts_of_all(pictures: list[str], reading: Reading) -> tuple[list[Facts], list[str]]:
    """Return the facts about each file, with `error` for one that can't be read, and the sentences of these."""
    from lookwhere_cli.errors import PictureError
    from lookwhere_cli.images.large.info import file_facts
    from lookwhere_cli.text import printable

    found, failures = [], []
    for path in pictures:
        try:
            found.append({**file_facts(path, reading), "path": printable(path)})
        except PictureError as error:
            found.append({"path": printable(path), "error": str(error)})
            failures.append(str(error))
    return found, failures


def _print_tables(found: list[Facts]) -> None:
    from rich.table import Column, Table

    from lookwhere_cli.images.large.info import lines
    from lookwhere_cli.show.console import make_console

    console = make_console()
    for place, facts in enumerate(found):
        if place:
            console.print()
        console.print(facts["path"], soft_wrap=True)
        table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0))
        for name, value in lines(facts):
            table.add_row(f"  {name}", value)
        console.print(table)


def _say_failures(failures: list[str]) -> None:
    from lookwhere_cli.show.console import make_console, say

    for sentence in failures:
        say(make_console(stderr=True), f"Error: {sentence}")
