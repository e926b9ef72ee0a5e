"""Curves of a training run, as a picture beside its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookwhere_cli.output.files import whole_file, writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES = {
    "loss": "total loss",
    "cls": "CLS loss",
    "patch": "patch loss",
    "map": "map loss",
    "logits": "logits loss",
    "rate": "learning rate",
    "seconds": "seconds / step",
}
TITLES_OF_EPOCHS = {
    "score": "score, pictures held back",
    "loss": "total loss",
    "task": "task loss",
    "auxiliary": "loss of what teaches the pruning modules",
    "look": "map loss",
}
# Okabe and Ito's colours: told apart by everyone.
LINE, SMOOTH = "#9ac7e6", "#0072b2"
PANELS_PER_ROW = 3
SMOOTHED_OVER = 50  # at most so many windows make up the smooth line


def loss_curves(history: Sequence[Mapping[str, float]], path: str | Path) -> None:
    """Draw one panel for each loss, the learning rate and the speed, those that the history holds, as a PNG.

    history: one mapping per recorded step: "step", and any of "loss" (the total), "cls", "patch", "map", "logits",
    "rate", "seconds"; a record may lack some, and what else it holds is passed over.
    The file is written whole or not at all: UsageError or OutputError where it can't be.
    """
    _draw(history, "step", TITLES, path)


def epoch_curves(epochs: Sequence[Mapping[str, float]], path: str | Path) -> None:
    """The same for fine-tuning, over epochs: "epoch", and any of "score", "loss", "task", "auxiliary", "look"."""
    _draw(epochs, "epoch", TITLES_OF_EPOCHS, path)


def _draw(history: Sequence[Mapping[str, float]], over: str, titles: Mapping[str, str], path: str | Path) -> None:
    shown = {name: title for name, title in titles.items() if any(name in record for record in history)}
    figure = _panels(history, shown, over)
    with whole_file(Path(path)) as stream, writing(path):
        figure.savefig(stream, format="png", dpi=150)


def _panels(history: Sequence[Mapping[str, float]], titles: Mapping[str, str], over: str) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(PANELS_PER_ROW, max(1, len(titles)))
    down = max(1, -(-len(titles) // across))
    figure = Figure(figsize=(3.6 * across, 2.5 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, title) in enumerate(titles.items()):
        axes = figure.add_subplot(down, across, place + 1)
        points = [(record[over], record[name]) for record in history if name in record]
        _curve(axes, *np.array(points, dtype=np.float64).T, noisy=name != "rate")
        if name == "seconds":  # the first step warms up, and would press all others flat
            axes.set_ylim(0, 2 * np.median([seconds for _, seconds in points]))
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel(over if place >= len(titles) - across else "", fontsize=9)
    return figure


def _curve(axes: Any, steps: np.ndarray, values: np.ndarray, *, noisy: bool) -> None:
    """Draw values over steps; noisy ones pale, with their running mean over them."""
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.ticklabel_format(axis="y", scilimits=(-3, 5))
    window = max(1, len(values) // SMOOTHED_OVER)
    if noisy and window > 1:
        axes.plot(steps, values, color=LINE, linewidth=0.8)
        weights = np.ones(window) / window
        axes.plot(steps[window - 1 :], np.convolve(values, weights, "valid"), color=SMOOTH, linewidth=1.6)
    else:
        marker = "o" if len(values) == 1 else ""
        axes.plot(steps, values, color=SMOOTH, linewidth=1.6, marker=marker)
