"""Measure whether the selector map can set the number of cells for each picture, compared with one amount for all.

    python benchmarks/by_map.py lookwhere-tiny-in1k DATA --amounts 10%,15%,20%,25%,30%,37.5%,50%

A picture's amount is proportional to the share of its cells that contain nine tenths of the map's probability. The
factor is solved so that the mean MACs are a share of those of a fixed amount; each half of the pictures gets the factor
of the other half. DATA is labelled pictures, as for `lookwhere evaluate`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.cli.options import amounts
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.loading import load
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.probabilities import softmax
from lookwhere_cli.scoring.splits import select_split
from lookwhere_cli.scoring.variants import amount_strategy, staged_strategy, with_k, with_looks
from lookwhere_cli.show.tables import markdown_table, percent
from lookwhere_cli.strategies.base import Batch

COVERED = 0.9  # of the map's probability
BUDGETS = (0.8, 0.9)  # shares of a fixed amount's MACs
HALVINGS = 50


class PictureResult(NamedTuple):
    """Of one picture: the predicted class and the MACs at each amount, and the share of its cells that is COVERED."""

    classes: NDArray[np.int64]
    macs: tuple[int, ...]
    share: float


class Results(NamedTuple):
    """Of all pictures: whether the prediction at each amount is correct, its MACs, and the shares of cells."""

    correct: NDArray[np.bool_]
    macs: NDArray[np.float64]
    shares: NDArray[np.float64]


def predict(base: Pipeline, looks: Sequence[Amount], labelled: LabelledSet) -> Results:
    """Classify every picture at every amount, as a look; MACs are those of a single pass with that amount."""
    pipeline = with_looks(base, looks)
    strategy, fixed = staged_strategy(pipeline), [amount_strategy(with_k(base, look)) for look in looks]

    def answer(batch: Batch) -> list[PictureResult]:
        """Answer a batch at every amount."""
        views = [picture.view for picture in batch.pictures]

        def cut(places: Sequence[int], cells: NDArray[np.int64]) -> NDArray[np.uint8]:
            """Cut the patches of the pictures at these places."""
            return np.stack([views[place].patches(one) for place, one in zip(places, cells, strict=True)])

        selected = strategy.select(pipeline.runtime, batch)
        classes = strategy.run_all(pipeline.runtime, selected, cut).argmax(axis=-1).T
        macs = tuple(one.stage_macs(batch.grid)[0] for one in fixed)
        shares = share_of_cells(softmax(selected.selection.map))
        return [PictureResult(one, macs, share) for one, share in zip(classes, shares, strict=True)]

    paths = [example.path for example in labelled.examples]
    with closing(pipeline.run(paths, lambda batch: batch, answer, fail)) as answers:
        classes, macs, shares = zip(*answers, strict=True)
    label_of = match_classes(labelled.classes, pipeline.config.labels)
    truth = label_of[[example.classes[0] for example in labelled.examples]]
    return Results(np.stack(classes) == truth[:, None], np.array(macs, dtype=np.float64), np.array(shares))


def fail(_: object, sentence: str) -> NoReturn:
    """End the program: all pictures must be readable."""
    raise SystemExit(sentence)


def share_of_cells(probabilities: Float[ndarray, "pictures cells"]) -> list[float]:
    """Return the share of each picture's cells, best first, that contain COVERED of its map."""
    summed = np.cumsum(-np.sort(-probabilities, axis=1), axis=1)
    shares: list[float] = (summed < COVERED).mean(axis=1).tolist()
    return shares


def nearest_amounts(shares: NDArray[np.float64], factor: float, amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return, for each picture, the index of the amount with the nearest ratio to factor * share."""
    target = np.log(np.clip(factor * shares, 1e-6, None))
    return np.abs(target[:, None] - np.log(amounts)).argmin(axis=1)


def solve_factor(results: Results, pictures: NDArray[np.bool_], budget: float, amounts: NDArray[np.float64]) -> float:
    """Return the largest factor with which these pictures take at most `budget` MACs on average."""
    low, high = 0.0, 1e3
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        indices = nearest_amounts(results.shares[pictures], middle, amounts)
        spent = results.macs[pictures, :][np.arange(pictures.sum()), indices].mean()
        low, high = (middle, high) if spent <= budget else (low, middle)
    return low


def measure_by_map(results: Results, budget: float, amounts: NDArray[np.float64]) -> tuple[float, float]:
    """Return top-1 and the mean MACs with amounts set by the map."""
    indices, second_half = np.zeros(len(results.shares), dtype=np.int64), np.arange(len(results.shares)) % 2 == 1
    for half in (second_half, ~second_half):
        factor = solve_factor(results, ~half, budget, amounts)
        indices[half] = nearest_amounts(results.shares[half], factor, amounts)
    pictures = np.arange(len(indices))
    return float(results.correct[pictures, indices].mean()), float(results.macs[pictures, indices].mean())


def table_rows(results: Results, names: Sequence[str], amounts: NDArray[np.float64]) -> list[list[str]]:
    """Return a row for each fixed amount, each followed by rows for shares of its MACs by the map.

    Shares below the MACs of the smallest amount are left out.
    """
    rows, means = [], results.macs.mean(axis=0)
    for index, (name, macs) in enumerate(zip(names, means, strict=True)):
        rows.append([f"{name} for all", percent(results.correct[:, index].mean()), f"{macs / 1e9:.3f}"])
        for budget in (share * macs for share in BUDGETS if share * macs > means[0]):
            top1, spent = measure_by_map(results, budget, amounts)
            rows.append([f"by the map, {budget / macs:.0%} of that", percent(top1), f"{spent / 1e9:.3f}"])
    return rows


def shares_of(looks: Sequence[Amount]) -> NDArray[np.float64]:
    """Return the amounts as shares of the cells. Ends the program for counts."""
    if not all(look.is_share for look in looks):
        raise SystemExit("--amounts takes shares of the cells, such as 10%,25%,50%.")
    return np.array([look.value for look in looks], dtype=np.float64)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--amounts", default="10%,15%,20%,25%,30%,37.5%,50%")
    arguments = parser.parse_args()
    looks = amounts(arguments.amounts, "--amounts")
    pipeline = load(arguments.model).pipeline
    labelled, _ = select_split(
        read_examples(arguments.data, classes=arguments.classes), None, None, pipeline.info.folder
    )
    rows = table_rows(predict(pipeline, looks, labelled), arguments.amounts.split(","), shares_of(looks))
    print("\n".join(markdown_table(["cells", "top-1", "GMACs"], rows, text_columns=1)))


if __name__ == "__main__":
    main()
