"""Compare models with their teachers on photographs without labels: what recipes are chosen by.

    python benchmarks/agreement.py MODEL [MODEL ...] --teacher NAME=FILE --photos DIR [-k 94|auto] [--coarse 128]
        [--mode stretch]

For each model: the mean KL divergence of its probabilities from the teachers' mean, the share of photographs with the
same most probable class, and of some 200 of them the share with two corners of the grid among the best four cells. The
teachers see whole photographs, squeezed to their size.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accuracy import exit_if_unreadable
from numpy.typing import NDArray

from lookwhere_cli.cli.options import amount
from lookwhere_cli.evaluation.timm_classifier import TimmClassifier
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.loading import load
from lookwhere_cli.options import AUTO
from lookwhere_cli.output.rows import Row
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.probabilities import softmax
from lookwhere_cli.scoring.costs import costs_of, mean_over
from lookwhere_cli.scoring.passes import CellPolicy, StagePass, run_policies
from lookwhere_cli.training.timm_models import load_vit

LEAST = 1e-12  # probability, so that its logarithm is finite
MAPS = 200  # photographs whose best cells are looked at, at least, if there are as many


def teachers_probabilities(specs: Sequence[str], paths: Sequence[str]) -> NDArray[np.float32]:
    """Return the mean of the teachers' probabilities, (pictures, classes)."""
    each = []
    for spec in specs:
        teacher = TimmClassifier(load_vit(spec), mode="stretch")
        with torch.inference_mode():
            results = list(teacher.logits(paths))
        exit_if_unreadable(results)
        each.append(softmax(np.stack([one[1] for one in results if not isinstance(one, str)])))
    mean: NDArray[np.float32] = np.mean(each, axis=0)
    return mean


def probabilities_of(pipeline: Pipeline, k: str | None, paths: Sequence[str]) -> tuple[NDArray[np.float32], float]:
    """Return the probabilities, (pictures, classes), and the mean multiply-adds of a picture.

    k: as for classify; None for the model's own; "auto" for its looks.
    """
    if k == AUTO:
        looks = StagePass(pipeline)
        results = list(looks.measure(lambda logits, _: softmax(logits), paths))
        macs = mean_over(looks.exits, lambda one: looks.strategy.stage_macs(one[0])[one[1]])
    else:
        policy = CellPolicy("selector", amount(k) if k else pipeline.config.k)
        results = list(run_policies(pipeline, [policy], lambda logits, _: softmax(logits), paths))
        macs = costs_of(pipeline, [one.size for one in results if not isinstance(one, str)]).macs
    exit_if_unreadable(results)
    return np.stack([one.outcomes[-1] for one in results if not isinstance(one, str)]), macs


def agreement(model: str, options: dict[str, Any], paths: Sequence[str], target: NDArray[np.float32]) -> str:
    """Return a line of Markdown's table."""
    predictor = load(model, top=1, **options)
    ours, macs = probabilities_of(predictor.pipeline, options["k"], paths)
    if ours.shape != target.shape:
        raise SystemExit(f"{model} has {ours.shape[1]} classes, and the teachers have {target.shape[1]}.")
    divergence = (target * (np.log(target + LEAST) - np.log(ours + LEAST))).sum(1)
    same = ours.argmax(1) == target.argmax(1)
    error = divergence.std() / np.sqrt(len(ours))
    rows = [answer.row for answer in predictor.answers(paths[:: max(1, len(paths) // MAPS)])]
    corners = np.mean([corners_among_best(row) >= 2 for row in rows])
    return f"| {model} | {macs / 1e9:.3f} | {divergence.mean():.4f} ± {error:.4f} | {same.mean():.1%} | {corners:.1%} |"


def corners_among_best(row: Row) -> int:
    """Count the corners of the grid among the best four cells."""
    bottom, right = row.grid[0] - 1, row.grid[1] - 1
    return sum(cell in {(0, 0), (0, right), (bottom, 0), (bottom, right)} for cell in map(tuple, row.cells[:4]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--teacher", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--photos", required=True, metavar="DIR")
    parser.add_argument("-k", default=None, help="cells to read, as for classify, or auto; by default the model's own")
    parser.add_argument("--size", type=int, default=None, help="pixels; by default the model's own")
    parser.add_argument("--coarse", type=int, default=None, help="pixels, as for classify; by default the model's own")
    parser.add_argument("--mode", default="whole", choices=("whole", "crop", "stretch"), help="how the models read")
    arguments = parser.parse_args()
    paths = [str(path) for path in find_pictures([arguments.photos])]
    target = teachers_probabilities(arguments.teacher, paths)
    print("| model | GMACs | KL from the teachers | same class | two corners among four |\n|---|---:|---:|---:|---:|")
    for model in arguments.models:
        options = {"k": arguments.k, "size": arguments.size, "coarse": arguments.coarse, "mode": arguments.mode}
        print(agreement(model, options, paths, target), flush=True)


if __name__ == "__main__":
    main()
