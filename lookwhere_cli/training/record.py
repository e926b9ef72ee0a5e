"""What a run leaves behind: the weights in half precision, their card, the record, the curves."""

from __future__ import annotations

import csv
import io
import json
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
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.show.plots import epoch_curves, loss_curves
from lookwhere_cli.training.finetune.finetune import Run

CURVES = "curves.png"
LOG = "epochs.csv"


def finish(folder: Path, model: LookWhere, record: Mapping[str, Any], history: Sequence[Mapping[str, float]]) -> None:
    """Write the model's folder: config.json, model.safetensors (half precision), README.md, training.json, curves.png.

    `record` holds what the card tells: teachers, command, photographs, seconds, recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_record(folder, {**record, "last": history[-1]})
    loss_curves(history, folder / CURVES)
    save_model(folder, model.to(torch.float16), card(folder.resolve().name, model.config, record))


def finish_fine_tuning(run: Run, command: str, start: str) -> None:
    """Complete the folder of a run, which holds its best weights: README.md, training.json, epochs.csv, curves.png.

    start: the name of the model that it began with.
    """
    record = {
        "command": command,
        "start": start,
        "teacher": run.taught_by,
        "pictures": {split: len(run.labelled.of(split)) for split in SPLITS},
        "seconds": round(sum(step["seconds"] for step in run.steps)),
        "device": str(run.accelerator.device),
        "processes": run.accelerator.num_processes,
        "best": run.best,
        "recipe": run.recipe.as_dict(),
    }
    _write_record(run.out, record)
    _write_log(run.out / LOG, run.epochs)
    epoch_curves(run.epochs, run.out / CURVES)
    told = full_card(run.out.resolve().name, run.averaged.config, record, {})
    with whole_file(run.out / CARD) as stream, writing(run.out / CARD):
        stream.write(told.encode())
    write_sums(run.out)


def _write_record(folder: Path, record: Mapping[str, Any]) -> None:
    with whole_file(folder / RECORD) as stream, writing(folder / RECORD):
        stream.write(json.dumps(record, indent=2).encode() + b"\n")


def _write_log(file: Path, epochs: Sequence[Mapping[str, float]]) -> None:
    with whole_file(file) as stream, writing(file):
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, fieldnames=list(epochs[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(epochs)
        text.detach()


def card(name: str, config: Config, record: Mapping[str, Any]) -> str:
    """The model's card, in Markdown: what it is, and how it was made."""
    where = f"The whole recipe is in `{RECORD}`, the losses in `{CURVES}`."
    parts = [f"# {name}", describe(config), "## How it was made", describe_pretraining(record), where]
    return "\n\n".join(parts) + "\n"
