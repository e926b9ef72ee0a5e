"""How fast should a ViT drop its tokens, and what are queries worth that were set, not learnt?

    python benchmarks/first_queries.py MODEL DATA --prune 50%

MODEL is a full ViT, DATA labelled pictures as for `lookwhere train`, with a split. Nothing is trained. For the share
of the blocks' MACs tokens are dropped in so many of the first modules (11: in all that a ViT of 12 blocks has), by
chance and by the queries with which `lookwhere train --method cropr` starts.
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

FALLS = (1, 2, 3, 5, 11)


def started(name: str, labelled: LabelledSet, share: MacsShare) -> LookWhere:
    """The full ViT with pruning modules that were set and not trained."""
    base = load_model(name, device="cpu")
    if labelled.kind == "masks" or base.config.labels != labelled.classes:
        raise SystemExit("The pictures must have labels, and those of the model, in its order; see --classes.")
    shape = Shape(method="cropr", prune=share)
    config = config_for(base.config, shape, labelled.kind, labelled.classes, typical_size(labelled))
    with tempfile.TemporaryDirectory() as out:
        plan = FineTuningPlan(FineTuning(shape=shape, k=(1.0, 1.0)), base, config, labelled)
        run = Run(plan, Path(out), workers=0)
        run.begin(interrupted=lambda: False)
    assert isinstance(run.model, LookWhere)
    return run.model.eval()


def rows(model: LookWhere, labelled: LabelledSet, share: MacsShare) -> Iterator[list[str]]:
    """For each way to fall: the score by chance, and by the queries."""
    own, config = model.extractor.cropr, model.config
    schedule.ENOUGH = 0.0  # however little that leaves
    for steps in FALLS:
        schedule.STEPS = steps
        schedule.remaining_counts.cache_clear()
        scores = []
        for cropr in (random_cropr(config, Pruning(share), seed=0), own):
            model.extractor.cropr = cropr
            scores.append(next(iter(validate(model, labelled).values())))
        yield [str(steps), *map(percent, scores)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", type=Path)
    parser.add_argument("--prune", default="50%")
    told = parser.parse_args()
    labelled = read_examples(told.data, classes=told.classes)
    share = parse_prune(told.prune, "--prune")
    if not isinstance(share, MacsShare):
        raise SystemExit("--prune takes a share here, such as 50%.")
    lines = list(rows(started(told.model, labelled, share), labelled, share))
    print("\n".join(markdown_table(["modules", "by chance", "by first queries"], lines, text_columns=1)))


if __name__ == "__main__":
    main()
