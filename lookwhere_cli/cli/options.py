"""Options that several commands share, each declared once."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lookwhere_cli.amounts import Amount, PruneAmount
from lookwhere_cli.errors import UsageError

if TYPE_CHECKING:
    from lookwhere_cli.images.frame import Mode

READING, MODEL, OUTPUT = "How to read", "Model", "Output"


def amount_or_auto(text: str | None) -> Amount | Literal["auto"] | None:
    """Read `auto`, or an amount as `amount` does."""
    return "auto" if text is not None and text.strip().lower() == "auto" else amount(text)


def amounts(text: str, option: str = "-k") -> list[Amount]:
    """Read several amounts with commas between them."""
    found = [amount(part, option) for part in text.split(",")]
    return [one for one in found if one is not None]


def amounts_or_auto(text: str | None) -> list[Amount] | Literal["auto"]:
    """Read `auto`, or several amounts; none for None."""
    return "auto" if amount_or_auto(text and text.partition(",")[0]) == "auto" else amounts(text) if text else []


def amount(text: str | None, option: str = "-k") -> Amount | None:
    """Read how many cells to read: N (a count), 0.25 or 25% (a share), `all`; None for None. Raises UsageError."""
    if text is None:
        return None
    try:
        return Amount.parse(text)
    except ValueError as error:
        if text.strip().lower() == "auto":
            raise UsageError(
                f"{option} auto is for classify, explain and evaluate; here give a number of cells (94), a share of "
                "them (0.25 or 25%), or all."
            ) from error
        raise UsageError(f"{option} {error}.") from error


def pruning(text: str | None) -> PruneAmount | None:
    """Read what to drop: N (tokens after each block), 0.5 or 50% (a share of the MACs to keep to); None for None.

    Raises UsageError.
    """
    if text is None:
        return None
    try:
        return PruneAmount.parse(text)
    except ValueError as error:
        raise UsageError(f"--prune {error}.") from error


def colour(text: str) -> tuple[int, int, int]:
    """Red, green and blue in 0..255 of a colour's name (white) or code (#ff8800). Raises UsageError."""
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as failure:
        raise UsageError(f"--background {text} is no colour; give a name (white) or a code (#ff8800).") from failure
    return red, green, blue


def mode(crop: bool, stretch: bool) -> "Mode":
    """How the picture meets the grid. Raises UsageError where both are asked for."""
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
    int, typer.Option(metavar="N", min=1, help="Refuse pictures with more pixels.", rich_help_panel=READING)
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
