"""`lookwhere bench`: speed and memory on this machine, next to those of the full ViT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookwhere_cli.bench.subjects import NEED_PHOTOGRAPHS, SUBJECTS, check_subjects, default_subjects, measure_of
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR
from lookwhere_cli.cli import options
from lookwhere_cli.cli import train_options as asked
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.options import OUTPUT
from lookwhere_cli.cli.summary import say_done, wrote
from lookwhere_cli.output.files import check_free, whole_file, writing
from lookwhere_cli.output.numbers import to_json
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.bench.measurement import Measurement
    from lookwhere_cli.bench.settings import BenchSettings

PHOTOGRAPHS = 200
LARGE = "Large pictures"
WIDE = 160  # columns of text that hold every line of the table, for pipes and files


def bench(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SUBJECT", help=f"{', '.join(SUBJECTS)}. (default: all but jobs and large)", show_default=False
        ),
    ] = None,
    photos: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Photographs to read. (default: 200 made from examples/)", show_default=False),
    ] = None,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="Rounds; medians are reported.")] = 5,
    raster: Annotated[
        str | None, typer.Option(metavar="FILE", help="large: a raster whose tiles are counted.", rich_help_panel=LARGE)
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="large: boxes of photographs that make a mosaic.", rich_help_panel=LARGE),
    ] = None,
    label_column: asked.LabelColumn = None,
    label_map: asked.LabelMap = None,
    detector: Annotated[
        str, typer.Option(metavar="NAME", help="large: the model that finds these boxes.", rich_help_panel=LARGE)
    ] = DEFAULT_DETECTOR,
    mosaic: Annotated[
        int, typer.Option(metavar="N", min=1, help="large: photographs in the mosaic.", rich_help_panel=LARGE)
    ] = 900,
    model: options.Model = DEFAULT_CLASSIFIER,
    device: options.Device = "auto",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all values to FILE.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure speed and memory on this machine, as ratios within one run.

    Examples:

      lookwhere bench start folder

      lookwhere bench large --raster world.tif --boxes signs/boxes.csv --json large.json
    """
    names = check_subjects(subjects or default_subjects())
    if json_file is not None:
        check_free(json_file, overwrite)
    ensure_downloaded(model, quiet)
    if "large" in names and boxes is not None:
        ensure_downloaded(detector, quiet)

    from lookwhere_cli.bench.machine import describe_machine
    from lookwhere_cli.bench.settings import BenchSettings, LargeInputs

    machine = describe_machine(device)
    measurements: list[Measurement] = []
    inputs = LargeInputs(raster, boxes, label_column, label_map, detector, mosaic)
    settings = BenchSettings(model, (), device, rounds, inputs)
    try:
        with _with_photographs(settings, names, photos, quiet) as ready:
            for measurement in _measure(names, ready, quiet):
                measurements.append(measurement)
    finally:  # Ctrl-C keeps what was measured
        if measurements:
            _print(_table(machine, measurements))
        if measurements and json_file is not None:
            _write(json_file, machine, measurements)
            say_done(wrote(counted(len(measurements), "measurement"), json_file), quiet)


@contextmanager
def _with_photographs(
    settings: BenchSettings, names: Sequence[str], photos: str | None, quiet: bool
) -> Iterator[BenchSettings]:
    """Yield the settings with photographs if a subject needs some: those in `photos`, or temporary ones."""
    from lookwhere_cli.images.find import find_pictures

    with TemporaryDirectory() as folder:
        paths: list[Path] = []
        if NEED_PHOTOGRAPHS & set(names):
            paths = [Path(path) for path in find_pictures([photos])[:PHOTOGRAPHS]] if photos else []
            paths = paths or _made_photographs(Path(folder), quiet)
        yield replace(settings, photographs=tuple(paths))


def _made_photographs(folder: Path, quiet: bool) -> list[Path]:
    """Make photographs from the examples, or from drawn pictures where there are no examples, and say so."""
    from lookwhere_cli.bench.photographs import draw_pictures, example_photographs, make_photographs

    examples = example_photographs()
    if not examples:
        console = make_console(stderr=True, quiet=quiet)
        say(console, "No photographs in examples/, so drawn pictures are read; --photos DIR reads others.")
    return make_photographs(examples or draw_pictures(folder), PHOTOGRAPHS, folder)


def _measure(names: Sequence[str], settings: BenchSettings, quiet: bool) -> Iterator[Measurement]:
    console = make_console(stderr=True, quiet=quiet)
    with console.status("") as status:
        for name in names:
            status.update(f"Measuring {name}")
            yield from measure_of(name)(settings)


def _print(table: Table) -> None:
    console = make_console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)


def _table(machine: dict[str, str | int], measurements: Sequence[Measurement]) -> Table:
    table = Table("", "Measured", "", "Times", "by MACs", "Limit", "", box=None, pad_edge=False)
    table.caption = ", ".join(f"{name} {value}" for name, value in machine.items())
    table.caption_justify = "left"
    for column in (2, 3, 4):
        table.columns[column].justify = "right"
    for measurement in measurements:
        table.add_row(*_line(measurement))
    return table


def _line(measured: Measurement) -> list[str]:
    limit, verdict = "", ""
    if measured.limit is not None:
        limit, verdict = f"{measured.limit.kind} {measured.limit.bound:g}", "met" if measured.met else "missed"
    return [
        measured.subject,
        measured.what,
        f"{measured.value:.3g} {measured.unit}",
        "" if measured.ratio is None else f"{measured.ratio:.2f}",
        "" if measured.macs_ratio is None else f"{measured.macs_ratio:.2f}",
        limit,
        verdict,
    ]


def _write(file: Path, machine: dict[str, str | int], measurements: Sequence[Measurement]) -> None:
    values = {"machine": machine, "records": [measurement.to_dict() for measurement in measurements]}
    with whole_file(file) as stream, writing(file):
        stream.write(to_json(values, indent=2).encode() + b"\n")
