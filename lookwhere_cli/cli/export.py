"""`lookwhere export`: a model as graphs that onnxruntime or torch alone computes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lookwhere_cli.cli import options
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.options import OUTPUT
from lookwhere_cli.cli.summary import say_done, usage_of
from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.show.console import make_console

DEFAULT_OPSET = 20


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Bundled name, alias, folder, or owner/name@revision.",
            show_default=False,
            autocompletion=options.known_names,
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The new folder.", rich_help_panel=OUTPUT)],
    format: Annotated[
        Literal["onnx", "torch"],
        typer.Option(metavar="FORMAT", help="onnx, or torch (.pt2 programs).", rich_help_panel=OUTPUT),
    ] = "onnx",
    half: Annotated[
        bool, typer.Option("--half", help="Store float16: half the bytes.", rich_help_panel=OUTPUT)
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Compute in int8: less exact.", rich_help_panel=OUTPUT)] = False,
    opset: Annotated[
        int, typer.Option(metavar="N", min=18, max=23, help="Version of ONNX's operators.", rich_help_panel=OUTPUT)
    ] = DEFAULT_OPSET,
    verify: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="Compare both on these pictures.", show_default=False),
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write a model as graphs that run without torch.

    The folder is then a model for --model: nothing else has to be said.

    Examples:

      lookwhere export lookwhere-tiny-in1k --out tiny-onnx/ --verify photos/

      lookwhere classify photos/ --model tiny-onnx/
    """
    check_extra("export", "lookwhere export")
    _check_combination(format, half, int8, opset)
    from lookwhere_cli.images.find import find_pictures

    pictures = find_pictures(verify) if verify else []
    ensure_downloaded(model, quiet)

    from lookwhere_cli.checkpoints.resolve import load_model
    from lookwhere_cli.export.write import (
        ExportOptions,
        check_exportable,
        check_target,
        describe_differences,
        export_model,
    )

    check_target(out, overwrite)
    loaded = load_model(model, "cpu")
    check_exportable(loaded)
    console = make_console(stderr=True, quiet=quiet)
    with console.status("") as status:
        chosen = ExportOptions(format, half, int8, opset, pictures)
        found = export_model(loaded, out, chosen, lambda what: status.update(f"Exporting: {what}"))
    if found is not None:
        print(f"{describe_differences(found)[:1].upper()}{describe_differences(found)[1:]}.")
    use = f"; next: {usage_of(loaded.config, out)}" if format == "onnx" else ""
    say_done(f"Saved {out}{use}", quiet)


def _check_combination(format: str, half: bool, int8: bool, opset: int) -> None:
    """Raise UsageError for options that exclude each other."""
    if format == "torch" and (opset != DEFAULT_OPSET or int8):
        raise UsageError(f"{'--int8' if int8 else '--opset'} is for ONNX; leave it out for --format torch.")
    if half and int8:
        raise UsageError("--half and --int8 exclude each other; use one of them.")
