"""Options that several commands share, each declared once."""

from typing import Annotated, Literal

import typer

from lookwhere_cli.amounts import Amount
from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import (
    MAX_PIXELS,
    Mode,
    OptionChanges,
    Options,
    parse_amount,
    parse_bytes,
    parse_colour,
    parse_prune,
)

READING, MODEL, OUTPUT = "How to read", "Model", "Output"


def options_from(context: typer.Context, auto: bool = False) -> Options:
    """Collect a command's options on how pictures are read and computed.

    auto: whether the command takes `-k auto`. Raises UsageError for an impossible value.
    """
    values = {name: value for name, value in context.params.items() if name in OptionChanges.__annotations__}
    if values.get("k") is not None:
        values["k"] = amount_or_auto(values["k"]) if auto else amount(values["k"])
    if values.get("prune") is not None:
        values["prune"] = parse_prune(values["prune"], "--prune")
    if values.get("memory") is not None:
        values["memory"] = parse_bytes(values["memory"], "--memory")
    if "background" in values:
        values["background"] = parse_colour(values["background"], "--background")
    values["mode"] = mode(context.params.get("crop", False), context.params.get("stretch", False))
    return Options(**values)


def amount_or_auto(text: str, option: str = "-k") -> Amount | Literal["auto"]:
    """Read `auto`, or an amount of cells: N, 0.25, 25% or all. Raises UsageError."""
    return parse_amount(text, option)


def amount(text: str, option: str = "-k") -> Amount:
    """Read an amount of cells: N (a count), 0.25 or 25% (a share), `all`. Raises UsageError, also for `auto`."""
    value = parse_amount(text, option)
    if isinstance(value, str):
        raise UsageError(
            f"{option} auto is for classify, explain and evaluate; here give a number of cells (94), a share of them "
            "(0.25 or 25%), or all."
        )
    return value


def amounts(text: str, option: str = "-k") -> list[Amount]:
    """Read several amounts with commas between them. Raises UsageError."""
    return [amount(part, option) for part in text.split(",")]


def mode(crop: bool, stretch: bool) -> Mode:
    """Return how a picture's shape meets the grid. Raises UsageError if both options are given."""
    if crop and stretch:
        raise UsageError("--crop and --stretch exclude each other; give one of them, or neither to read all as it is.")
    return "crop" if crop else "stretch" if stretch else "whole"


Format = Literal["text", "json", "jsonl", "csv", "parquet"]

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH",
        help="Files, folders, globs, @list.txt, - (stdin).",
        show_default=False,
    ),
]
Cells = Annotated[
    str | None,
    typer.Option(
        "--patches",
        "-k",
        metavar="K",
        help="Cells to read: 94, 0.25, 25% or all. (default: the model's)",
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
        help="Cells to read: 94, 0.25, 25%, all, or auto: more where unsure. (default: the model's)",
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
        help="Also read all at PX x PX pixels, coarsely.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        metavar="AMOUNT",
        help="Drop cells on the way: 50% (of MACs), or 8.",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Crop = Annotated[bool, typer.Option("--crop", help="Read the centre square only.", rich_help_panel=READING)]
Stretch = Annotated[bool, typer.Option("--stretch", help="Squash into a square.", rich_help_panel=READING)]
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
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        envvar="LOOKWHERE_MODEL",
        show_envvar=False,
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
        show_envvar=False,
        help="auto, cpu, cuda, cuda:1, mps.",
        rich_help_panel=MODEL,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(metavar="NAME", help="float32, bfloat16 or float16.", rich_help_panel=MODEL),
]
BatchSize = Annotated[int, typer.Option(metavar="N", help="Pictures that go together.", rich_help_panel=MODEL)]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Threads that decode. (default: one per core)", rich_help_panel=MODEL, show_default=False
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="For opened pictures, as 2G. (default: 512M)",
        rich_help_panel=MODEL,
        show_default=False,
    ),
]
Top = Annotated[int, typer.Option(metavar="N", help="Labels per picture.", rich_help_panel=OUTPUT)]
NoMap = Annotated[bool, typer.Option("--no-map", help="Words only.", rich_help_panel=OUTPUT)]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first bad picture.", rich_help_panel=OUTPUT)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes.", rich_help_panel=OUTPUT)]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)]


def known_names() -> list[str]:
    """Return the names of models that a shell may complete: bundled models, aliases, cached repositories."""
    from lookwhere_cli.checkpoints import resolve

    return resolve.known_names()
