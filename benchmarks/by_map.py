"""Is an amount of cells for each picture, taken from its selector map, better than one amount for all pictures?

    python benchmarks/by_map.py lookwhere-tiny-in1k DATA --amounts 10%,15%,20%,25%,30%,37.5%,50%

A picture's amount is proportional to the share of its cells that hold nine tenths of the map's probability: it is small
if the selector is certain of a few cells. It needs no second look. The factor is solved so that the mean MACs are a
share of those of a fixed amount, on one half of the pictures for the other half. DATA is as for `lookwhere evaluate`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.cli.options import amounts
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.images.frame import frame_for
from lookwhere_cli.loading import load
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.probabilities import softmax
from lookwhere_cli.scoring.eval_set import ScoringTask
from lookwhere_cli.scoring.passes import CellPolicy, run_policies
from lookwhere_cli.scoring.splits import select_split
from lookwhere_cli.scoring.variants import with_k
from lookwhere_cli.show.tables import markdown_table, percent
from lookwhere_cli.strategies.base import Batch

HELD = 0.9  # of the map's probability
BUDGETS = (0.8, 0.9)  # of a fixed amount's MACs
STEPS = 50  # of bisection


class Answered(NamedTuple):
    """For all pictures: whether the answer at each amount is correct and what it costs (pictures, amounts); the need.

    need: (pictures,), the share of the cells that hold nine tenths of the map.
    """

    correct: NDArray[np.bool_]
    macs: NDArray[np.float64]
    need: NDArray[np.float64]


def answer_all(pipeline: Pipeline, labelled: LabelledSet, ks: Sequence[Amount]) -> Answered:
    """Answer every picture at every amount."""
    task, reading = ScoringTask(pipeline, labelled), pipeline.reader.reading
    paths = [example.path for example in labelled.examples]
    policies = [CellPolicy("selector", k) for k in ks]
    measured = [
        one for one in run_policies(pipeline, policies, lambda logits, _: logits, paths) if not isinstance(one, str)
    ]
    if len(measured) < len(paths):
        raise SystemExit("There are pictures that can't be read; remove them.")
    labels = np.array([[int(logits.argmax()) for logits in one.outcomes] for one in measured])
    truth = np.array([task.truth(place).labels[0] for place in range(len(paths))])
    strategies = [with_k(pipeline, k).strategy for k in ks]
    grids = [frame_for(*one.size, reading)[0] for one in measured]
    macs = np.array([[strategy.stage_macs(grid)[-1] for strategy in strategies] for grid in grids], np.float64)
    return Answered(labels == truth[:, None], macs, np.array(needs_of(pipeline, paths)))


def needs_of(pipeline: Pipeline, paths: Sequence[str]) -> list[float]:
    """Return the share of each picture's cells that hold nine tenths of its map."""

    def need(batch: Batch) -> list[float]:
        maps = pipeline.strategy.select(pipeline.runtime, batch).selection.map
        ordered = np.sort(softmax(maps), axis=1)[:, ::-1]
        shares: list[float] = (ordered.cumsum(axis=1) < HELD).mean(axis=1).tolist()
        return shares

    return list(pipeline.run(paths, lambda batch: batch, need, lambda *_: np.nan))


def choose(need: NDArray[np.float64], factor: float, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return, for each picture, the place of the share that is nearest, in ratio, to `factor` times its need."""
    wanted = np.log(np.clip(factor * need, 1e-6, None))
    return np.abs(wanted[:, None] - np.log(shares)).argmin(axis=1)


def factor_for(answered: Answered, pictures: NDArray[np.bool_], budget: float, shares: NDArray[np.float64]) -> float:
    """Return the largest factor with which these pictures keep to the budget on average."""
    low, high = 0.0, 1e3
    for _ in range(STEPS):
        middle = (low + high) / 2
        places = choose(answered.need[pictures], middle, shares)
        spent = answered.macs[pictures, :][np.arange(pictures.sum()), places].mean()
        low, high = (middle, high) if spent <= budget else (low, middle)
    return low


def by_map(answered: Answered, budget: float, shares: NDArray[np.float64]) -> tuple[float, float]:
    """Return the share of correct answers, and the mean MACs."""
    places, second = np.zeros(len(answered.need), dtype=np.int64), np.arange(len(answered.need)) % 2 == 1
    for half in (second, ~second):
        places[half] = choose(answered.need[half], factor_for(answered, ~half, budget, shares), shares)
    pictures = np.arange(len(places))
    return float(answered.correct[pictures, places].mean()), float(answered.macs[pictures, places].mean())


def rows(answered: Answered, names: Sequence[str], shares: NDArray[np.float64]) -> list[list[str]]:
    """Return a row for each fixed amount; below it rows for amounts by the map at shares of its MACs.

    Budgets below the MACs of the smallest amount are left out.
    """
    lines, means = [], answered.macs.mean(axis=0)
    for place, (name, macs) in enumerate(zip(names, means, strict=True)):
        lines.append([f"{name} for all", percent(answered.correct[:, place].mean()), f"{macs / 1e9:.3f}"])
        for budget in (share * macs for share in BUDGETS if share * macs > means[0]):
            correct, spent = by_map(answered, budget, shares)
            lines.append([f"by the map, {budget / macs:.0%} of that", percent(correct), f"{spent / 1e9:.3f}"])
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--amounts", default="10%,15%,20%,25%,30%,37.5%,50%")
    arguments = parser.parse_args()
    pipeline, ks = load(arguments.model).pipeline, amounts(arguments.amounts, "--amounts")
    labelled = read_examples(arguments.data, classes=arguments.classes)
    labelled, _ = select_split(labelled, None, None, pipeline.info.folder)
    answered = answer_all(pipeline, labelled, ks)
    shares = np.array([k.value for k in ks], dtype=np.float64)
    lines = rows(answered, arguments.amounts.split(","), shares)
    print("\n".join(markdown_table(["cells", "top-1", "GMACs"], lines, text_columns=1)))


if __name__ == "__main__":
    main()
