"""Curves of a training run, as a picture beside its weights."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOSSES = ("total", "cls", "patch", "map", "logits")
OTHERS = {"lr": "learning rate", "images_per_second": "images / s"}
# Okabe and Ito's colours: told apart by everyone.
LINE, SMOOTH = "#9ac7e6", "#0072b2"
PANELS_PER_ROW = 3
SMOOTHED_OVER = 50  # at most so many windows make up the smooth line


def loss_curves(history: Sequence[Mapping[str, float]], path: str | os.PathLike[str]) -> None:
    """Draw one panel for each loss, the learning rate and the speed, those that the history holds, as a PNG.

    history: one mapping per recorded step: "step", and any of "total", "cls", "patch", "map", "logits", "lr",
    "images_per_second"; a record may lack some. The file is written whole or not at all; OSError where it can't be.
    """
    names = [name for name in (*LOSSES, *OTHERS) if any(name in record for record in history)]
    figure = _panels(history, names)
    folder = Path(path).resolve().parent
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".png", delete=False) as file:
        try:
            figure.savefig(file, format="png", dpi=150)
            file.close()
            Path(file.name).chmod(0o644)  # a temporary file is its owner's alone
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _panels(history: Sequence[Mapping[str, float]], names: Sequence[str]) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    across = min(PANELS_PER_ROW, max(1, len(names)))
    down = max(1, -(-len(names) // across))
    figure = Figure(figsize=(3.6 * across, 2.5 * down), layout="constrained")
    FigureCanvasAgg(figure)
    for place, name in enumerate(names):
        axes = figure.add_subplot(down, across, place + 1)
        points = [(record["step"], record[name]) for record in history if name in record]
        _curve(axes, *np.array(points, dtype=np.float64).T, noisy=name != "lr")
        if name == "images_per_second":
            axes.set_ylim(bottom=0)
        axes.set_title(OTHERS.get(name, f"{name} loss"), fontsize=10, loc="left")
        axes.set_xlabel("step" if place >= len(names) - across else "", fontsize=9)
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
