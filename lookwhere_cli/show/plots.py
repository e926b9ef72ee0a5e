"""Curves of a training run, as a PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from lookwhere_cli.show.figures import GRID, PLAIN, end_at_hundred, new_figure, save_figure
from lookwhere_cli.text import on_one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEP_TITLES = {
    "loss": "total loss",
    "cls": "CLS loss",
    "patch": "patch loss",
    "map": "map loss",
    "logits": "logits loss",
    "rate": "learning rate",
    "seconds": "seconds / step",
}
EPOCH_TITLES = {
    "score": "validation score (%)",
    "loss": "total loss",
    "task": "task loss",
    "auxiliary": "auxiliary loss of pruning",
    "look": "map loss",
}
PARTS = ("cls", "patch", "map", "logits", "task", "auxiliary", "look")
"""The losses that the total consists of."""
# Okabe and Ito's colours, which can be told apart with any colour vision.
LINE, SMOOTH = "#9ac7e6", "#0072b2"
PANELS_PER_ROW = 3
SMOOTH_WINDOWS = 50  # the running mean covers 1/50 of the steps


def loss_curves(history: Sequence[Mapping[str, float]], path: str | Path, title: str) -> None:
    """Draw a panel for each loss, the learning rate and the speed, as far as the history has them, as a PNG.

    history: a record for each recorded step, with "step" and any of "loss" (the total), "cls", "patch", "map",
    "logits", "rate" and "seconds". Records may lack some; other keys are ignored. A loss that equals the total is drawn
    once. title: what was trained on which data.
    The file is written completely or not at all. Raises UsageError or OutputError if it can't be written.
    """
    save_figure(_figure(history, "step", STEP_TITLES, title), path)


def epoch_curves(epochs: Sequence[Mapping[str, float]], path: str | Path, title: str) -> None:
    """Draw a panel for each curve of fine-tuning, as `loss_curves` does.

    epochs: a record for each epoch, with "epoch" and any of "score", "loss", "task", "auxiliary" and "look".
    """
    save_figure(_figure(epochs, "epoch", EPOCH_TITLES, title), path)


def _figure(history: Sequence[Mapping[str, float]], over: str, titles: Mapping[str, str], title: str) -> "Figure":
    total = _values(history, "loss")
    shown = {
        name: panel
        for name, panel in titles.items()
        if len(values := _values(history, name)) and (name not in PARTS or not _equal(values, total))
    }
    figure = _panels(history, shown, over)
    figure.suptitle(on_one_line(title), fontsize=10, x=0.01, ha="left", **PLAIN)
    return figure


def _values(history: Sequence[Mapping[str, float]], name: str) -> Float64[np.ndarray, " records"]:
    return np.array([record[name] for record in history if name in record], np.float64)


def _equal(values: Float64[np.ndarray, " records"], others: Float64[np.ndarray, " others"]) -> bool:
    return len(values) == len(others) and np.allclose(values, others, equal_nan=True)


def _panels(history: Sequence[Mapping[str, float]], titles: Mapping[str, str], over: str) -> "Figure":
    across = min(PANELS_PER_ROW, max(1, len(titles)))
    down = max(1, -(-len(titles) // across))
    figure = new_figure(3.6 * across, 2.5 * down)
    for place, (name, title) in enumerate(titles.items()):
        axes = figure.add_subplot(down, across, place + 1)
        scale = 100 if name == "score" else 1
        points = [(record[over], scale * record[name]) for record in history if name in record]
        _curve(axes, *np.array(points, dtype=np.float64).T, noisy=name != "rate")
        if name == "seconds":  # without a limit the first, slow step would flatten the curve
            axes.set_ylim(0, 2 * np.median([seconds for _, seconds in points]))
        if name == "score":
            end_at_hundred(axes)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel(over if place >= len(titles) - across else "", fontsize=9)
    return figure


def _curve(
    axes: Any, steps: Float64[np.ndarray, " steps"], values: Float64[np.ndarray, " steps"], *, noisy: bool
) -> None:
    """Draw values over steps; noisy ones pale, under their running mean."""
    axes.grid(**GRID)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=5, integer=True)
    axes.ticklabel_format(axis="y", scilimits=(-3, 5))
    window = max(1, len(values) // SMOOTH_WINDOWS)
    if noisy and window > 1:
        axes.plot(steps, values, color=LINE, linewidth=0.8)
        weights = np.ones(window) / window
        axes.plot(steps[window - 1 :], np.convolve(values, weights, "valid"), color=SMOOTH, linewidth=1.6)
    else:
        marker = "o" if len(values) == 1 else ""
        axes.plot(steps, values, color=SMOOTH, linewidth=1.6, marker=marker)
