"""Does a picture's own amount, told by the selector's map, serve better than the same amount for all?

    python benchmarks/by_map.py lookwhere-tiny-in1k DATA --amounts 10%,15%,20%,25%,30%,37.5%,50%

A picture gets an amount in proportion to the share of its cells that hold nine tenths of the map, as probabilities:
few, where the selector is sure of a few. It costs no second look. The factor is solved so that the mean MACs come to a
share of what a fixed amount takes, on one half of the pictures for the other. DATA is as for `lookwhere evaluate`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lookwhere_cli.adaptive import AdaptivePredictor, adaptive
from numpy.typing import NDArray

from lookwhere_cli.cli.options import amounts
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.eval_set import part_of
from lookwhere_cli.predictor import Glimpse
from lookwhere_cli.show.tables import markdown_table, percent

HELD = 0.9  # of the map's probability
BUDGETS = (0.8, 0.9)  # of a fixed amount's MACs
STEPS = 50  # of bisection


class Asked(NamedTuple):
    """Of all pictures: whether the answer at each amount is right and what it costs (pictures, amounts); their need."""

    right: NDArray[np.bool_]
    macs: NDArray[np.float64]
    need: NDArray[np.float64]


def ask(predictor: AdaptivePredictor, labelled: LabelledSet) -> Asked:
    """Read every picture at every amount."""
    classes = match_classes(labelled.classes, predictor.config.labels)

    @torch.inference_mode()
    def answer(glimpses: Sequence[Glimpse]) -> list[tuple[NDArray[np.int64], list[int], float]]:
        grid = glimpses[0].view.grid
        said = predictor.every_stage(glimpses).argmax(dim=-1).mT.numpy()
        needs = need_of(predictor.select([one.thumbnail for one in glimpses], grid).map.softmax(dim=-1))
        costs = [predictor.macs(grid, k) for k in predictor.ks(grid)]
        return [(one, costs, need) for one, need in zip(said, needs, strict=True)]

    paths = [example.path for example in labelled.examples]
    told = [one for one in predictor.in_batches(paths, answer, lambda row: None) if one is not None]
    if len(told) < len(paths):
        raise SystemExit("There are pictures that can't be read; take them out.")
    said, costs, needs = zip(*told, strict=True)
    truth = classes[[example.classes[0] for example in labelled.examples]]
    return Asked(np.stack(said) == truth[:, None], np.array(costs, dtype=np.float64), np.array(needs))


def need_of(probabilities: torch.Tensor) -> list[float]:
    """The share of each picture's cells that hold nine tenths of its map (pictures, cells)."""
    return (probabilities.sort(descending=True).values.cumsum(dim=-1) < HELD).float().mean(dim=-1).tolist()


def chosen(need: NDArray[np.float64], factor: float, shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each picture the place of the amount that is nearest, in ratio, to so many times its need."""
    wanted = np.log(np.clip(factor * need, 1e-6, None))
    return np.abs(wanted[:, None] - np.log(shares)).argmin(axis=1)


def factor_for(asked: Asked, pictures: NDArray[np.bool_], budget: float, shares: NDArray[np.float64]) -> float:
    """The largest factor with which these pictures take no more than the budget on average."""
    low, high = 0.0, 1e3
    for _ in range(STEPS):
        middle = (low + high) / 2
        places = chosen(asked.need[pictures], middle, shares)
        spent = asked.macs[pictures, :][np.arange(pictures.sum()), places].mean()
        low, high = (middle, high) if spent <= budget else (low, middle)
    return low


def by_map(asked: Asked, budget: float, shares: NDArray[np.float64]) -> tuple[float, float]:
    """The share that is right, and the mean MACs."""
    places, second = np.zeros(len(asked.need), dtype=np.int64), np.arange(len(asked.need)) % 2 == 1
    for mine in (second, ~second):
        places[mine] = chosen(asked.need[mine], factor_for(asked, ~mine, budget, shares), shares)
    each = np.arange(len(places))
    return float(asked.right[each, places].mean()), float(asked.macs[each, places].mean())


def rows(asked: Asked, told: Sequence[str], shares: NDArray[np.float64]) -> list[list[str]]:
    """Each amount for all; below it amounts by the map for shares of its MACs, where those are more than the least."""
    lines, means = [], asked.macs.mean(axis=0)
    for place, (name, cost) in enumerate(zip(told, means, strict=True)):
        lines.append([f"{name} for all", percent(asked.right[:, place].mean()), f"{cost / 1e9:.3f}"])
        for budget in (one * cost for one in BUDGETS if one * cost > means[0]):
            right, spent = by_map(asked, budget, shares)
            lines.append([f"by the map, {budget / cost:.0%} of that", percent(right), f"{spent / 1e9:.3f}"])
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--amounts", default="10%,15%,20%,25%,30%,37.5%,50%")
    told = parser.parse_args()
    predictor = adaptive(load(told.model), amounts(told.amounts, "--amounts"))
    labelled, _ = part_of(read_examples(told.data, classes=told.classes), None, None, predictor.loaded.folder)
    asked = ask(predictor, labelled)
    shares = np.array(predictor.looks, dtype=np.float64)
    print(
        "\n".join(
            markdown_table(["cells", "top-1", "GMACs"], rows(asked, told.amounts.split(","), shares), text_columns=1)
        )
    )


if __name__ == "__main__":
    main()
