"""The results of `lookwhere evaluate` as plots: accuracy against multiply-adds, and the confusion matrix."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lookwhere_cli.show.figures import PLAIN, label_costs, legend_below, new_figure, save_figure, style_axes
from lookwhere_cli.show.scores import ordered, short
from lookwhere_cli.show.tables import JsonObject
from lookwhere_cli.text import counted, on_one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours and a shape for each: they can be told apart with any colour vision and in grey print.
LINES = {
    "selector": ("#0072b2", "o", "-", "chosen by the selector"),
    "downscaled": ("#d55e00", "D", "--", "whole picture, downscaled"),
    "centre": ("#009e73", "s", ":", "centre"),
    "random": ("#e69f00", "^", ":", "random"),
    "pruned": ("#cc79a7", "P", ":", "pruned at random"),
    "exit": ("#56b4e9", "v", "--", "one exit for all"),
}
STARS = {
    "confidence": ("#0072b2", "each picture's own exit"),
    "full": ("#000000", "full ViT"),
    "teacher": ("#777777", "teacher"),
}
MAX_CLASSES = 40  # of a legible confusion matrix


def accuracy_plot(results: JsonObject, path: Path) -> None:
    """Draw the main metric against MACs, a line for each way to choose cells, as a PNG.

    The file is written completely or not at all. Raises UsageError or OutputError if it can't be written.
    """
    save_figure(_accuracy(results), path)


def confusion_plot(results: JsonObject, path: Path) -> None:
    """Draw the headline row's confusion matrix, in shares of each true class, as a PNG.

    Of more than 40 classes, it has those that are confused most often. The file is written completely or not at all.
    Raises UsageError or OutputError if it can't be written.
    """
    save_figure(_confusion(results), path)


def _accuracy(results: JsonObject) -> "Figure":
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
    label_costs(axes, results["metric"])
    style_axes(axes, _title(results))
    legend_below(figure, axes)
    return figure


def _title(results: JsonObject) -> str:
    return f"{short(results['model'])} on {short(results['data'])}, {counted(results['pictures'], 'picture')}"


def _series(axes: Any, metric: str, rows: Sequence[JsonObject], colour: str, **style: Any) -> None:
    """Draw a line, and its intervals faintly."""
    values = np.array([[100 * row["scores"][metric][end] for end in ("value", "low", "high")] for row in rows])
    spent = np.array([row["macs"] / 1e9 for row in rows])
    order = np.argsort(spent)
    spent, (middle, low, high) = spent[order], values[order].T
    axes.plot(spent, middle, color=colour, linewidth=1.6, clip_on=False, **({"markersize": 5.5} | style))
    axes.vlines(spent, low, high, color=colour, linewidth=1.2, alpha=0.5)


def _confusion(results: JsonObject) -> "Figure":
    names, shares = _most_confused(results["confusion"])
    side = 2.2 + 0.24 * len(names)
    figure = new_figure(side + 0.8, side)
    axes: Any = figure.add_subplot()
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, shrink=0.8, label="% of the true class")
    shown = [on_one_line(name) for name in names]
    axes.set_xticks(range(len(names)), shown, rotation=90, fontsize=8, **PLAIN)
    axes.set_yticks(range(len(names)), shown, fontsize=8, **PLAIN)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    total = len(results["confusion"]["labels"])
    part = f"\nthe {len(names)} most confused of {total} classes" if total > len(names) else ""
    axes.set_title(f"{on_one_line(_title(results))}{part}", fontsize=10, loc="left", **PLAIN)
    if len(names) <= 15:
        _write_shares(axes, shares)
    return figure


def _write_shares(axes: Any, shares: Float[np.ndarray, "classes classes"]) -> None:
    for (truth, answer), share in np.ndenumerate(shares):
        if share >= 0.005:
            colour = "black" if share < 0.5 else "white"
            axes.text(answer, truth, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=colour)


def _most_confused(confusion: JsonObject) -> tuple[list[str], Float[np.ndarray, "classes classes"]]:
    """Return the names of at most 40 classes, in their order, and the shares [truth, answer] of each true class."""
    labels = confusion["labels"]
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for truth, answer, count in confusion["counts"]:
        counts[truth, answer] = count
    wrong = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    chosen = np.sort(np.argsort(-wrong, kind="stable")[:MAX_CLASSES])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [labels[index] for index in chosen], shares[np.ix_(chosen, chosen)]
