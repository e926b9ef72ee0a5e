"""What `lookwhere compare` measured, as a picture: accuracy against multiply-adds, and the Pareto front."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.show.comparison import METHODS, Results
from lookwhere_cli.show.score_plots import new_figure, plain_ticks
from lookwhere_cli.show.scores import TITLES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, and a shape each: told apart by everyone, on grey paper, too.
STYLES = {
    "full": ("#000000", "*", ""),
    "smaller": ("#777777", "D", "--"),
    "random": ("#999999", "v", ":"),
    "tome": ("#cc79a7", "^", "--"),
    "cropr": ("#009e73", "s", "-"),
    "lookwhere": ("#0072b2", "o", "-"),
    "pruned": ("#56b4e9", "P", "-"),
    "auto": ("#d55e00", "X", "-"),
    "dvt": ("#e69f00", "p", "-"),
}


def pareto_plot(results: Results, path: Path) -> None:
    """Draw the score against MACs (log scale), a line for each method, as a PNG, whole or not at all."""
    with whole_file(path) as stream, writing(path):
        draw(results, stream)


def draw(results: Results, stream: BinaryIO) -> None:
    """The same, to a stream."""
    _drawn(results).savefig(stream, format="png", dpi=150)


def _drawn(results: Results) -> "Figure":
    figure = new_figure(7.2, 4.8)
    axes = figure.add_subplot()
    for method, (colour, marker, style) in STYLES.items():
        points = sorted((one for one in results["points"] if one["method"] == method), key=lambda one: one["macs"])
        if points:
            _series(axes, points, colour, marker, style, METHODS[method])
    _front(axes, results)
    axes.set_xscale("log")
    plain_ticks(axes)
    axes.set_xlabel("GMACs per picture")
    axes.set_ylabel(f"{TITLES[results['metric']]} (%)")
    axes.set_title(f"{results['pictures']} pictures", fontsize=10, loc="left")
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    return figure


def _series(axes: Any, points: list[Results], colour: str, marker: str, style: str, label: str) -> None:
    spent = [point["macs"] / 1e9 for point in points]
    size = 13 if marker == "*" else 6
    reached = [100 * point["score"]["value"] for point in points]
    axes.plot(spent, reached, color=colour, marker=marker, linestyle=style, linewidth=1.5, markersize=size, label=label)


def _front(axes: Any, results: Results) -> None:
    """A faint staircase through the points that nobody beats."""
    points = sorted((one for one in results["points"] if one["front"]), key=lambda one: one["macs"])
    spent = [point["macs"] / 1e9 for point in points]
    reached = [100 * point["score"]["value"] for point in points]
    axes.step(spent, reached, where="post", color="#bbbbbb", linewidth=5, alpha=0.5, zorder=0, label="Pareto front")
