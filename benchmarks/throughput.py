"""Measure the throughput of training: LookWhere at some k against the full ViT, with alternating steps.

    python benchmarks/throughput.py DATA --patches 25% --steps 10

DATA is anything that `lookwhere train` accepts without further options. The time to read pictures is not included.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

from lookwhere_cli.amounts import ALL_CELLS
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.cli.train_settings import parse_range
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.data.splits import split_examples
from lookwhere_cli.training.finetune.model_config import config_for
from lookwhere_cli.training.finetune.plan import FineTuningPlan, typical_size
from lookwhere_cli.training.finetune.recipe import FineTuning
from lookwhere_cli.training.finetune.shape import Method, Shape
from lookwhere_cli.training.loop import Run

WARM_UP = 2  # steps that are not measured


def step_seconds(method: Method, labelled: LabelledSet, arguments: argparse.Namespace, out: Path) -> Iterator[float]:
    """Yield the seconds of each step of a run."""
    base = load_model(arguments.model, device="cpu")
    shape = Shape(method, size=arguments.size)
    k = (ALL_CELLS, ALL_CELLS) if method == "full" else parse_range(arguments.patches)
    config = config_for(base.config, shape, labelled.kind, labelled.classes, typical_size(labelled))
    recipe = FineTuning(batch=arguments.batch_size, k=k, shape=shape)
    run = Run(FineTuningPlan(recipe, base, replace(config, k=k[1]), labelled), out, workers=0, device="cpu")
    return (moment.step["seconds"] for moment in run.train())


def main() -> None:
    """Print pictures per second, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default=DEFAULT_CLASSIFIER)
    parser.add_argument("--patches", default="25%")
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    labelled = split_examples(read_examples(arguments.data))
    with tempfile.TemporaryDirectory() as scratch:
        pairs = zip(
            step_seconds("lookwhere", labelled, arguments, Path(scratch)),
            step_seconds("full", labelled, arguments, Path(scratch)),
            strict=False,
        )
        measured = [pair for pair, _ in zip(pairs, range(WARM_UP + arguments.steps), strict=False)][WARM_UP:]
    lookwhere, full = (median(seconds) for seconds in zip(*measured, strict=True))
    print(f"lookwhere {arguments.batch_size / lookwhere:.1f} images/s, full {arguments.batch_size / full:.1f} images/s")
    print(f"ratio {full / lookwhere:.2f}")


if __name__ == "__main__":
    main()
