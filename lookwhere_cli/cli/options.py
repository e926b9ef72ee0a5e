"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lookwhere_cli.amounts import Amount
from lookwhere_cli.cli.usage import as_typed
from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import (
    MAX_PIXELS,
    Mode,
    OptionChanges,
    Options,
    parse_amount,
    parse_bands,
    parse_bytes,
    parse_colour,
    parse_difference,
    parse_prune,
    parse_range,
)

READING, MODEL, OUTPUT = "How to read", "Model", "Output"
PATCHES = ("-k", "--patches")
"""The names of the option for the cells to read."""


def options_from(context: typer.Context, auto: bool = False) -> Options:
    """Return the options of a command that set how pictures are read and computed.

    auto: whether the command accepts `-k auto`. Raises UsageError for an invalid value.
    """
    values = {name: value for name, value in context.params.items() if name in OptionChanges.__annotations__}
    if values.get("k") is not None:
        read = amount_or_auto if auto else amount
        values["k"] = read(values["k"], as_typed(*PATCHES))
    if values.get("prune") is not None:
        values["prune"] = parse_prune(values["prune"], "--prune")
    if values.get("memory") is not None:
        values["memory"] = parse_bytes(values["memory"], "--memory")
    if values.get("reuse") is not None:
        values["reuse"] = parse_difference(values["reuse"], "--reuse")
    if "background" in values:
        values["background"] = parse_colour(values["background"], "--background")
    if "bands" in values:
        values["bands"] = parse_bands(values["bands"] or (), "--bands")
    if values.get("stretch_range") is not None:
        values["stretch_range"] = parse_range(values["stretch_range"], "--stretch-range")
    for name in ("top", "batch_size", "workers"):
        if values.get(name) is not None and values[name] < 1:
            raise UsageError(f"--{name.replace('_', '-')} is {values[name]}; it must be at least 1.")
    if "max_boxes" in values and values["max_boxes"] < 1:
        raise UsageError(f"--max-boxes is {values['max_boxes']}; it must be at least 1.")
    for name in ("conf", "iou"):
        if name in values and not 0 <= values[name] <= 1:
            raise UsageError(f"--{name} is {values[name]:g}; it must be between 0 and 1.")
    if "only" in values:
        values["only"] = tuple(filter(None, map(str.strip, (values["only"] or "").split(","))))
    values["mode"] = mode(context.params.get("crop", False), context.params.get("stretch", False))
    return Options(**values)


def amount_or_auto(text: str, option: str = "-k") -> Amount | Literal["auto"]:
    """Parse `auto` or an amount of cells: N, 0.25, 25% or all. Raises UsageError."""
    return parse_amount(text, option)


def amount(text: str, option: str = "-k") -> Amount:
    """Parse an amount of cells: N (a count), 0.25 or 25% (a share), or `all`. Raises UsageError, also for `auto`."""
    value = parse_amount(text, option)
    if isinstance(value, str):
        raise UsageError(
            f"{option} auto is only for classify, explain and evaluate; use a number of cells (94), a share of them "
            "(0.25 or 25%), or all."
        )
    return value


def amounts(text: str, option: str = "-k") -> list[Amount]:
    """Parse amounts separated by commas. Raises UsageError."""
    return [amount(part, option) for part in text.split(",")]


def mode(crop: bool, stretch: bool) -> Mode:
    """Return the mode of reading that the two flags select. Raises UsageError if both are set."""
    if crop and stretch:
        raise UsageError("--crop and --stretch exclude each other; use one, or neither to read the whole picture.")
    return "crop" if crop else "stretch" if stretch else "whole"


Format = Literal["text", "json", "jsonl", "csv", "parquet"]

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Files, folders, globs, @list.txt, or - (stdin).",
        show_default=False,
    ),
]
Cells = Annotated[
    str | None,
    typer.Option(
        "--patches",
        "-k",
        metavar="K",
        help="Cells: 94, 0.25, 25%, all (default: model's)",
        rich_help_panel=READING,
        show_default=False,
    ),
]
CellsOrAuto = Annotated[
    str | None,
    typer.Option(
        "--patches",
        "-k",
        metavar="K",
        help="Cells: 94, 25%, all, auto (default: model's)",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        help="About PX x PX pixels. (default: the model's)",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Coarse = Annotated[
    int | None,
    typer.Option(
        metavar="PX",
        help="Also read the picture coarsely, at PX x PX px.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="Prune tokens: to 50% of MACs, or 8 a block.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Crop = Annotated[bool, typer.Option("--crop", help="Read the centre square only.", rich_help_panel=READING)]
Stretch = Annotated[bool, typer.Option("--stretch", help="Stretch the picture to a square.", rich_help_panel=READING)]
MaxPixels = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help=f"Refuse larger pictures. (default: {MAX_PIXELS})",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Background = Annotated[str, typer.Option(metavar="COLOUR", help="Behind transparent pixels.", rich_help_panel=READING)]
Bands = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,N",
        help="Bands of rasters as red, green, blue.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
StretchRange = Annotated[
    tuple[float, float] | None,
    typer.Option(
        metavar="LOW HIGH",
        help="Values of rasters that become black and white.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        envvar="LOOKWHERE_MODEL",
        help="Bundled, alias, folder, or owner/name@revision.",
        rich_help_panel=MODEL,
        autocompletion=lambda: known_names(),
    ),
]
Thumbnail = Annotated[
    Literal["antialias", "alias"] | None,
    typer.Option(
        metavar="HOW",
        help="antialias or alias. (default: the model's)",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="LOOKWHERE_DEVICE",
        help="auto (default), cpu, cuda, cuda:1, mps.",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Runtime = Annotated[
    Literal["auto", "torch", "onnx"],
    typer.Option(
        metavar="NAME",
        help="auto (default), torch, onnx (exported models).",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(metavar="NAME", help="float32, bfloat16 or float16.", rich_help_panel=MODEL),
]
BatchSize = Annotated[int, typer.Option(metavar="N", help="Pictures per batch, at most.", rich_help_panel=MODEL)]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", help="Reader threads. (default: one per CPU)", rich_help_panel=MODEL, show_default=False),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="For open pictures, e.g. 2G. (default: 512M)",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
RowsFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Rows: .csv, .jsonl, .json, .parquet, .txt.", rich_help_panel=OUTPUT),
]
RowsPlace = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Rows: .csv, .jsonl, .json, .parquet, DIR/.", rich_help_panel=OUTPUT),
]
Top = Annotated[int, typer.Option(metavar="N", help="Labels per picture.", rich_help_panel=OUTPUT)]
FullRows = Annotated[bool, typer.Option("--full-rows", help="In CSV: also lists, as JSON.", rich_help_panel=OUTPUT)]
NoMap = Annotated[bool, typer.Option("--no-map", help="Do not draw the map.", rich_help_panel=OUTPUT)]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=OUTPUT)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress and notes.", rich_help_panel=OUTPUT)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)]


def known_names() -> list[str]:
    """Return the model names that shells complete: bundled models, aliases, cached repositories."""
    from lookwhere_cli.checkpoints import resolve

    return resolve.known_names()
