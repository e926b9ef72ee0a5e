"""Measure pruning schedules before any training, with random scores and with the initial queries of `train`.

    python benchmarks/first_queries.py MODEL DATA --prune 50%

MODEL is a full ViT; DATA is labelled pictures with a split, as for `lookwhere train`. Nothing is trained. The share of
the blocks' MACs is met by dropping tokens in the first 1, 2, 3, 5 or 11 modules (11 are all modules of a ViT with 12
blocks): at random, and by the queries that `lookwhere train --method cropr` starts from.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lookwhere_cli.amounts import MacsShare
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning import schedule
from lookwhere_cli.models.pruning.random import random_cropr
from lookwhere_cli.models.pruning.schedule import Pruning
from lookwhere_cli.options import parse_prune
from lookwhere_cli.show.tables import markdown_table, percent
from lookwhere_cli.training.finetune.model_config import config_for
from lookwhere_cli.training.finetune.plan import FineTuningPlan, typical_size
from lookwhere_cli.training.finetune.recipe import FineTuning
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.finetune.validate import validate
from lookwhere_cli.training.loop import Run

MODULES = (1, 2, 3, 5, 11)
"""Numbers of modules that drop tokens."""


def with_initial_queries(name: str, labelled: LabelledSet, share: MacsShare) -> LookWhere:
    """Return the full ViT with pruning modules whose queries are initialised, but not trained."""
    base = load_model(name, device="cpu")
    if labelled.kind == "masks" or base.config.labels != labelled.classes:
        raise SystemExit("DATA must have the model's labels, in the same order; see --classes.")
    shape = Shape(method="cropr", prune=share)
    config = config_for(base.config, shape, labelled.kind, labelled.classes, typical_size(labelled))
    with tempfile.TemporaryDirectory() as out:
        plan = FineTuningPlan(FineTuning(shape=shape, k=(1.0, 1.0)), base, config, labelled)
        run = Run(plan, Path(out), workers=0)
        run.begin(interrupted=lambda: False)
    assert isinstance(run.model, LookWhere)
    return run.model.eval()


def table_rows(model: LookWhere, labelled: LabelledSet, share: MacsShare) -> Iterator[list[str]]:
    """Yield a row for each number of modules: the score with random pruning, and with the initial queries."""
    with_queries, config = model.extractor.cropr, model.config
    schedule.ENOUGH = 0.0  # do not drop faster if few tokens remain
    for steps in MODULES:
        schedule.STEPS = steps
        schedule.remaining_counts.cache_clear()
        scores = []
        for cropr in (random_cropr(config, Pruning(share), seed=0), with_queries):
            model.extractor.cropr = cropr
            scores.append(next(iter(validate(model, labelled).values())))
        yield [str(steps), *map(percent, scores)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--prune", default="50%")
    arguments = parser.parse_args()
    labelled = read_examples(arguments.data, classes=arguments.classes)
    share = parse_prune(arguments.prune, "--prune")
    if not isinstance(share, MacsShare):
        raise SystemExit("--prune takes a share here, such as 50%.")
    lines = list(table_rows(with_initial_queries(arguments.model, labelled, share), labelled, share))
    print("\n".join(markdown_table(["modules that drop", "at random", "by initial queries"], lines, text_columns=1)))


if __name__ == "__main__":
    main()
