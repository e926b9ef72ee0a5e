"""What `lookwhere evaluate` measured, as pictures: accuracy against multiply-adds, and what is taken for what."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.show.scores import TITLES, Results, ordered, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, and a shape each: told apart by everyone, on grey paper, too.
LINES = {
    "selector": ("#0072b2", "o", "-", "chosen by the selector"),
    "downscaled": ("#d55e00", "D", "--", "whole picture, downscaled"),
    "centre": ("#009e73", "s", ":", "centre"),
    "random": ("#e69f00", "^", ":", "random"),
    "exit": ("#56b4e9", "v", "--", "one exit for all"),
}
STARS = {
    "confidence": ("#0072b2", "each picture's own exit"),
    "full": ("#000000", "full ViT"),
    "teacher": ("#777777", "teacher"),
}
MOST = 40  # classes of a confusion matrix that can be read


def accuracy_plot(results: Results, path: Path) -> None:
    """Draw the main figure against MACs (log scale), a line for each way of reading, as a PNG, whole or not at all."""
    _save(_accuracy(results), path)


def confusion_plot(results: Results, path: Path) -> None:
    """Draw the headline row's confusion matrix, each truth's answers as shares, as a PNG, whole or not at all.

    Of more than 40 classes, those that are confused most often.
    """
    _save(_confusion(results), path)


def _save(figure: "Figure", path: Path) -> None:
    with whole_file(path) as stream, writing(path):
        figure.savefig(stream, format="png", dpi=150)


def new_figure(width: float, height: float) -> "Figure":
    """A figure of so many inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _accuracy(results: Results) -> "Figure":
    figure = new_figure(6.4, 4.4)
    axes = figure.add_subplot()
    for by, (colour, marker, style, label) in LINES.items():
        also = ("all",) if by == "selector" else ()
        rows = [row for row in ordered(results) if row["chosen_by"].partition(" ")[0] in (by, *also)]
        if rows:
            _series(axes, results["metric"], rows, colour, marker=marker, linestyle=style, label=label)
    for by, (colour, label) in STARS.items():
        rows = [row for row in results["rows"] if row["chosen_by"] == by]
        if rows:
            _series(axes, results["metric"], rows, colour, marker="*", linestyle="", label=label, markersize=13)
            axes.axhline(100 * rows[0]["scores"][results["metric"]]["value"], color=colour, linewidth=0.6, alpha=0.5)
    axes.set_xscale("log")
    plain_ticks(axes)
    axes.set_xlabel("GMACs per picture")
    axes.set_ylabel(f"{TITLES[results['metric']]} (%)")
    axes.set_title(f"{short(results['model'])}, {results['pictures']} pictures", fontsize=10, loc="left")
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _series(axes: Any, metric: str, rows: Sequence[Results], colour: str, **style: Any) -> None:
    """A line with its intervals, faint."""
    values = np.array([[100 * row["scores"][metric][end] for end in ("value", "low", "high")] for row in rows])
    spent = np.array([row["macs"] / 1e9 for row in rows])
    order = np.argsort(spent)
    spent, (middle, low, high) = spent[order], values[order].T
    axes.plot(spent, middle, color=colour, linewidth=1.6, **({"markersize": 5.5} | style))
    axes.vlines(spent, low, high, color=colour, linewidth=1.2, alpha=0.35)


def plain_ticks(axes: Any) -> None:
    """Numbers instead of powers of ten, also between them where the axis spans less than two."""
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    if high / low > 100:
        axes.xaxis.set_major_locator(LogLocator())
    axes.xaxis.set_minor_formatter("")


def _confusion(results: Results) -> "Figure":
    names, shares = _most_confused(results["confusion"])
    side = 2.2 + 0.24 * len(names)
    figure = new_figure(side + 0.8, side)
    axes = figure.add_subplot()
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, shrink=0.8, label="% of the true class")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    total = len(results["confusion"]["labels"])
    if total > len(names):
        axes.set_title(f"the {len(names)} most confused of {total} classes", fontsize=10, loc="left")
    if len(names) <= 15:
        for (truth, answer), share in np.ndenumerate(shares):
            if share >= 0.005:
                colour = "black" if share < 0.5 else "white"
                axes.text(answer, truth, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    return figure


def _most_confused(confusion: Results) -> tuple[list[str], NDArray[np.float64]]:
    """Names of at most 40 classes, in their own order, and which share of each truth [truth, answer] was taken for."""
    labels = confusion["labels"]
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for truth, answer, count in confusion["counts"]:
        counts[truth, answer] = count
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-wrong, kind="stable")[:MOST])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [labels[index] for index in kept], shares[np.ix_(kept, kept)]
