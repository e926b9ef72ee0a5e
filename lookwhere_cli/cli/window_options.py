"""The options for reading pictures in windows, which several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from lookwhere_cli.cli.added_options import with_options
from lookwhere_cli.cli.options import READING
from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import AUTO

if TYPE_CHECKING:
    from lookwhere_cli.windows.options import WindowOptions

PANEL = "Windows"
_OPTIONS: dict[str, Any] = {
    "window": Annotated[
        str | None,
        typer.Option(metavar="PX", help="In windows of PX x PX pixels, or auto.", rich_help_panel=READING),
    ],
    "window_rows": Annotated[
        bool | None,
        typer.Option("--window-rows", help="Write a row for each window, too.", rich_help_panel=PANEL),
    ],
    "window_overlap": Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="What neighbours share. (default: 20% for boxes)", rich_help_panel=PANEL),
    ],
    "mpp": Annotated[
        float | None,
        typer.Option(metavar="MICRONS", help="Read slides at so many microns per pixel.", rich_help_panel=PANEL),
    ],
    "gsd": Annotated[
        float | None,
        typer.Option(metavar="METRES", help="Read rasters at so many metres per pixel.", rich_help_panel=PANEL),
    ],
    "best_windows": Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="Only the best by the overview: 20%, or 500.", rich_help_panel=PANEL),
    ],
    "roi": Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Only windows that touch this GeoJSON's polygons.", rich_help_panel=PANEL),
    ],
}
WINDOW_OPTIONS = tuple(_OPTIONS)
"""Names of the parameters that `with_window_options` adds."""
RARE_WINDOW_OPTIONS = tuple(name for name in _OPTIONS if name != "window")
"""Those that a short help leaves out."""


class Manners(NamedTuple):
    """quiet: no progress and no notes. fail_fast: stop at the first failure."""

    quiet: bool
    fail_fast: bool


class WindowRequest(NamedTuple):
    """What the user asked for. rows: whether each window has a row."""

    options: WindowOptions
    rows: bool


def with_window_options(command: Callable[..., None], leave_out: tuple[str, ...] = ()) -> Callable[..., None]:
    """Give a command the options of windows; `window_request` finds their values in its context."""
    return with_options(command, {name: one for name, one in _OPTIONS.items() if name not in leave_out})


def window_request(context: typer.Context) -> WindowRequest | None:
    """Return how pictures are read in windows; None if they are read as a whole.

    Raises UsageError for a value that is impossible, for options that need --window, for regions that can't be used.
    """
    params = context.params
    if params.get("window") is None:
        for name in RARE_WINDOW_OPTIONS:
            if params.get(name):
                raise UsageError(f"{_option(name)} is for reading in windows; add --window auto, or leave it out.")
        return None
    if params.get("crop"):
        raise UsageError("--crop reads the centre of a picture, and --window all of it; use one of them.")

    from lookwhere_cli.windows.options import WindowOptions

    options = WindowOptions(
        _window(params["window"]),
        _share(params["window_overlap"]),
        params["mpp"],
        params["gsd"],
        params["best_windows"],
        params["roi"],
        params.get("size"),
    )
    if options.roi is not None:
        from lookwhere_cli.windows.regions import RegionsOfInterest

        RegionsOfInterest(options.roi)
    return WindowRequest(options, bool(params.get("window_rows")))


def _window(text: str) -> Any:
    if text == AUTO:
        return text
    try:
        side = int(text)
    except ValueError:
        side = 0
    if side < 1:
        raise UsageError(f"--window is {text!r}; give the side of a window in pixels (1024), or auto.")
    return side


def _share(text: str | None) -> float | None:
    """Read 0.2 or 20%."""
    if text is None:
        return None
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise UsageError(f"--window-overlap is {text!r}; give a share (0.2 or 20%), or 0.") from error


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def may_replace(request: WindowRequest | None, out: Path | None, overwrite: bool) -> bool:
    """Return True if an existing output may be replaced: by --overwrite, or because a run in windows that was stopped
    has left it, and what is needed to go on beside it.
    """
    if request is None or out is None:
        return overwrite

    from lookwhere_cli.windows.journal import journal_path

    return overwrite or journal_path(out).exists()
