"""What a run leaves behind: the averaged weights in half precision, their card, the record, the loss curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lookwhere_cli.checkpoints.card import made, what
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.names import TRAINING as RECORD
from lookwhere_cli.files import whole_file, writing
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.show.plots import loss_curves

CURVES = "curves.png"


def finish(folder: Path, model: LookWhere, record: Mapping[str, Any], history: Sequence[Mapping[str, float]]) -> None:
    """Write the model's folder: config.json, model.safetensors (half precision), README.md, training.json, curves.png.

    `record` holds what the card tells: teachers, command, photographs, seconds, recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / RECORD) as stream, writing(folder / RECORD):
        stream.write(json.dumps({**record, "last": history[-1]}, indent=2).encode() + b"\n")
    loss_curves(history, folder / CURVES)
    save_model(folder, model.to(torch.float16), card(folder.resolve().name, model.config, record))


def card(name: str, config: Config, record: Mapping[str, Any]) -> str:
    """The model's card, in Markdown: what it is, and how it was made."""
    where = f"The whole recipe is in `{RECORD}`, the losses in `{CURVES}`."
    return "\n".join([f"# {name}", "", what(config), "", "## How it was made", "", made(record), "", where, ""])
