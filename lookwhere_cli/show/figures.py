"""What all plots share: figures without a display, axes, and text from outside that matplotlib does not interpret."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.show.scores import TITLES
from lookwhere_cli.text import on_one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN = {"parse_math": False}
"""Properties of text from outside: `$` starts no formula."""


INK = "#000000"
"""Colour of what is drawn in the colour of the text, whatever the theme."""
GRID = {"color": "#808080", "alpha": 0.22, "linewidth": 0.6}
"""Grid lines, visible on light and on dark paper."""
_TEXT = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_PAPER = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")


def dark_theme(ink: str = "#eeebe6", paper: str = "#161514") -> AbstractContextManager[None]:
    """Return a context in which figures are drawn and saved in light ink on dark paper."""
    import matplotlib

    return matplotlib.rc_context(dict.fromkeys(_TEXT, ink) | dict.fromkeys(_PAPER, paper))


def visible(colour: str) -> str:
    """Return the colour, or that of the text for INK."""
    import matplotlib

    return str(matplotlib.rcParams["text.color"]) if colour == INK else colour


def new_figure(width: float, height: float) -> "Figure":
    """Return a figure of a size in inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure as a PNG, completely or not at all. Raises UsageError or OutputError if it can't be written."""
    with whole_file(Path(path)) as stream, writing(path):
        figure.savefig(stream, format="png", dpi=150)


def style_axes(axes: Any, title: str) -> None:
    """Set the title, a light grid and two spines."""
    axes.set_title(on_one_line(title), fontsize=10, loc="left", **PLAIN)
    axes.grid(**GRID)
    axes.spines[["top", "right"]].set_visible(False)


def end_at_hundred(axes: Any) -> None:
    """End the y axis, in per cent, at 100 and begin it at 0 if it would go beyond."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0), min(high, 100))


def legend_below(figure: "Figure", axes: Any) -> None:
    """Explain the curves below the axes, where the legend hides no point."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=8.5)


def label_costs(axes: Any, metric: str) -> None:
    """Label the axes: multiply-adds (log scale) and the metric in per cent, which ends at 100."""
    axes.set_xscale("log")
    _plain_ticks(axes)
    axes.set_xlabel("GMACs per picture")
    axes.set_ylabel(f"{TITLES[metric]} (%), with 95 % intervals")
    end_at_hundred(axes)


def _plain_ticks(axes: Any) -> None:
    """Write numbers instead of powers of ten on the x axis, and some between the powers if it spans less than two."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if high / low > 100:
        axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_minor_formatter("")
