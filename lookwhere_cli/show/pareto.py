"""The results of `lookwhere compare` as a plot: score against multiply-adds, and the Pareto front."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lookwhere_cli.show.comparison import METHODS
from lookwhere_cli.show.figures import (
    INK,
    dark_theme,
    label_costs,
    legend_below,
    new_figure,
    save_figure,
    style_axes,
    visible,
)
from lookwhere_cli.show.scores import short
from lookwhere_cli.show.tables import JsonObject
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours and a shape for each: they can be told apart with any colour vision and in grey print.
STYLES = {
    "full": (INK, "*", ""),
    "smaller": ("#777777", "D", "--"),
    "random": ("#999999", "v", ":"),
    "tome": ("#cc79a7", "^", "--"),
    "cropr": ("#009e73", "s", "-"),
    "lookwhere": ("#0072b2", "o", "-"),
    "pruned": ("#56b4e9", "P", "-"),
    "auto": ("#d55e00", "X", "-"),
    "dvt": ("#e69f00", "p", "-"),
}


def pareto_plot(results: JsonObject, path: Path) -> None:
    """Draw the score against MACs, a line for each method, as a PNG.

    The file is written completely or not at all. Raises UsageError or OutputError if it can't be written.
    """
    save_figure(_figure(results), path)


def draw_pareto(results: JsonObject, stream: BinaryIO) -> None:
    """Write the plot of `pareto_plot` to a stream."""
    _figure(results).savefig(stream, format="png", dpi=150)


def draw_dark_pareto(results: JsonObject, stream: BinaryIO) -> None:
    """Write the same plot for dark pages to a stream."""
    with dark_theme():
        draw_pareto(results, stream)


def _figure(results: JsonObject) -> "Figure":
    figure = new_figure(7.2, 4.8)
    axes = figure.add_subplot()
    for method, (colour, marker, style) in STYLES.items():
        points = sorted((one for one in results["points"] if one["method"] == method), key=lambda one: one["macs"])
        if points:
            _series(axes, points, visible(colour), marker, style, METHODS[method])
    _front(axes, results)
    label_costs(axes, results["metric"])
    style_axes(axes, f"{short(results['data'])}, {counted(results['pictures'], 'picture')}")
    legend_below(figure, axes)
    return figure


def _series(axes: Any, points: list[JsonObject], colour: str, marker: str, style: str, label: str) -> None:
    macs = [point["macs"] / 1e9 for point in points]
    size = 13 if marker == "*" else 6
    scores, low, high = ([100 * point["score"][end] for point in points] for end in ("value", "low", "high"))
    look = {"color": colour, "marker": marker, "linestyle": style, "linewidth": 1.5, "markersize": size}
    axes.plot(macs, scores, label=label, clip_on=False, **look)
    axes.vlines(macs, low, high, color=colour, linewidth=1.2, alpha=0.5)


def _front(axes: Any, results: JsonObject) -> None:
    """Draw a faint staircase through the points of the Pareto front."""
    points = sorted((one for one in results["points"] if one["front"]), key=lambda one: one["macs"])
    macs = [point["macs"] / 1e9 for point in points]
    scores = [100 * point["score"]["value"] for point in points]
    axes.step(macs, scores, where="post", color="#bbbbbb", linewidth=5, alpha=0.5, zorder=0, label="Pareto front")
