"""`lookwhere bench`: how fast this machine is, how much memory it takes, and what the full ViT takes beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookwhere_cli.bench.subjects import NEED_PHOTOGRAPHS, SUBJECTS, check, subject
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli.options import OUTPUT
from lookwhere_cli.output.files import check_free, whole_file, writing
from lookwhere_cli.show.console import make_console

if TYPE_CHECKING:
    from lookwhere_cli.bench.record import Record
    from lookwhere_cli.bench.settings import Settings

PHOTOGRAPHS = 200
UNBROKEN = 160  # columns that hold every line of the table, for pipes and files


def bench(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUBJECT]...", help=f"{', '.join(SUBJECTS)}. [default: all]", show_default=False),
    ] = None,
    photos: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Photographs to read. [default: 200 made from examples/]", show_default=False),
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Take medians of N.")] = 5,
    model: options.Model = DEFAULT_CLASSIFIER,
    device: options.Device = "auto",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure speed and memory on this machine, as ratios taken in one run.

    Examples:

      lookwhere bench start folder

      lookwhere bench published --rounds 3 --json speed.json
    """
    names = check(subjects or list(SUBJECTS))
    if json_file is not None:
        check_free(json_file, overwrite)

    from lookwhere_cli.bench.machine import describe
    from lookwhere_cli.bench.settings import Settings

    machine = describe(device)
    records: list[Record] = []
    settings = Settings(model, (), device, rounds)
    try:
        with _with_photographs(settings, names, photos) as ready:
            for record in _measured(names, ready, quiet):
                records.append(record)
    finally:  # Ctrl-C keeps what is measured
        if records:
            _show(_table(machine, records))
        if records and json_file is not None:
            _write(json_file, machine, records)


@contextmanager
def _with_photographs(settings: Settings, names: Sequence[str], photos: str | None) -> Iterator[Settings]:
    """The settings with photographs where a subject needs some: those asked for, or made ones that vanish after."""
    from lookwhere_cli.bench.photographs import examples, made
    from lookwhere_cli.images.find import find_pictures

    with TemporaryDirectory() as place:
        paths: list[Path] = []
        if NEED_PHOTOGRAPHS & set(names):
            given = [Path(path) for path in find_pictures([photos])[:PHOTOGRAPHS]] if photos else []
            paths = given or made(examples(), PHOTOGRAPHS, Path(place))
        yield replace(settings, photographs=tuple(paths))


def _measured(names: Sequence[str], settings: Settings, quiet: bool) -> Iterator[Record]:
    console = make_console(stderr=True, quiet=quiet)
    with console.status("") as status:
        for name in names:
            status.update(f"Measuring {name}")
            yield from subject(name)(settings)


def _show(table: Table) -> None:
    console = make_console()
    if not console.is_terminal:
        console.width = UNBROKEN
    console.print(table)


def _table(machine: dict[str, str | int], records: Sequence[Record]) -> Table:
    table = Table("", "Measured", "", "Times", "by MACs", "Limit", "", box=None, pad_edge=False)
    table.caption = ", ".join(f"{name} {value}" for name, value in machine.items())
    table.caption_justify = "left"
    for column in (2, 3, 4):
        table.columns[column].justify = "right"
    for record in records:
        table.add_row(*_line(record))
    return table


def _line(record: Record) -> list[str]:
    limit, verdict = "", ""
    if record.limit is not None:
        limit, verdict = f"{record.limit.kind} {record.limit.bound:g}", "met" if record.met else "missed"
    return [
        record.subject,
        record.what,
        f"{record.value:.3g} {record.unit}",
        "" if record.ratio is None else f"{record.ratio:.2f}",
        "" if record.macs_ratio is None else f"{record.macs_ratio:.2f}",
        limit,
        verdict,
    ]


def _write(path: Path, machine: dict[str, str | int], records: Sequence[Record]) -> None:
    figures = {"machine": machine, "records": [record.to_dict() for record in records]}
    with whole_file(path) as stream, writing(path):
        stream.write(json.dumps(figures, indent=2, ensure_ascii=False).encode() + b"\n")
