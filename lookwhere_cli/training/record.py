"""What a run leaves in its folder beside the weights: card, record, curves, figures of each epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lookwhere_cli.card import describe, describe_pretraining, full_card
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.layout import CARD
from lookwhere_cli.checkpoints.layout import TRAINING as RECORD
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.data.examples import SPLITS
from lookwhere_cli.encodings import encode_text
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.output.numbers import finite, to_json
from lookwhere_cli.show.plots import epoch_curves, loss_curves
from lookwhere_cli.text import shared_name
from lookwhere_cli.training.distil.plan import PretrainingPlan
from lookwhere_cli.training.finetune.plan import FineTuningPlan
from lookwhere_cli.training.loop import Run

CURVES = "curves.png"
LOG = "epochs.csv"


def finish_pretraining(run: Run[Any], plan: PretrainingPlan, command: str) -> None:
    """Write the folder of a finished distillation: model, card, record, curves. Raises OutputError.

    command: the command line, for card and record.
    """
    recipe = plan.recipe
    record = {
        "command": command,
        "teachers": [teacher.name for teacher in plan.teachers],
        "photographs": len({path for folder in plan.folders for path in folder}),
        "views": recipe.steps * recipe.batch,
        "seconds": round(sum(step["seconds"] for step in run.steps)),
        "device": str(run.accelerator.device),
        "recipe": recipe.as_dict(),
        "last": run.steps[-1],
    }
    _write_record(run.out, record)
    loss_curves(run.steps, run.out / CURVES, f"{run.out.resolve().name} on {record['photographs']:,} photographs")
    model = run.averaged.to(torch.float16)
    save_model(run.out, model, pretraining_card(run.out.resolve().name, model.config, record))


def finish_fine_tuning(run: Run[Any], plan: FineTuningPlan, command: str) -> None:
    """Complete the folder of a finished fine-tuning, which holds its best weights. Raises OutputError.

    command: the command line, for card and record.
    """
    record = {
        "command": command,
        "start": shared_name(plan.base.name),
        "teacher": plan.teacher and shared_name(plan.teacher.name),
        "pictures": {split: len(plan.labelled.of(split)) for split in SPLITS},
        "seconds": round(sum(step["seconds"] for step in run.steps)),
        "device": str(run.accelerator.device),
        "processes": run.accelerator.num_processes,
        "best": run.best,
        "recipe": plan.recipe.as_dict(),
    }
    _write_record(run.out, record)
    _write_log(run.out / LOG, run.epochs)
    counts = record["pictures"]
    data = f"{plan.labelled.root.resolve().name}, {counts['train']:,} pictures, {counts['val']:,} to validate"
    epoch_curves(run.epochs, run.out / CURVES, f"{run.out.resolve().name} on {data}")
    card = full_card(run.out.resolve().name, plan.config, record, {})
    with whole_file(run.out / CARD) as stream, writing(run.out / CARD):
        stream.write(encode_text(card))
    write_sums(run.out)


def pretraining_card(name: str, config: Config, record: Mapping[str, Any]) -> str:
    """Return the card of a distilled model, in Markdown."""
    where = f"The whole recipe is in `{RECORD}`, the losses in `{CURVES}`."
    parts = [f"# {name}", describe(config), "## How it was made", describe_pretraining(record), where]
    return "\n\n".join(parts) + "\n"


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    with whole_file(folder / RECORD) as stream, writing(folder / RECORD):
        stream.write(encode_text(to_json(record, indent=2)) + b"\n")


def _write_log(file: Path, epochs: Sequence[Mapping[str, float]]) -> None:
    with whole_file(file) as stream, writing(file):
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, fieldnames=list(epochs[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(finite, epochs))
        text.detach()
