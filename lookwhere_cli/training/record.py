"""What a run leaves behind: the averaged weights in half precision, their card, the record, the loss curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.files import whole_file, writing
from lookwhere_cli.models import macs
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.selector import kept
from lookwhere_cli.show.plots import loss_curves

RECORD = "training.json"
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
    return "\n".join([f"# {name}", "", _what(config), "", "## How it was made", "", _made(record), ""])


def _what(config: Config) -> str:
    rows, columns = config.grid
    cells = rows * columns
    k = kept(config.k, cells)
    cost, full = macs.count(config, config.grid, config.thumbnail_grid, k).total, macs.full(config, config.grid)
    task = f"{len(config.labels)} labels" if config.labels else "features, no labels"
    return (
        f"A LookWhere model ({task}): a selector of {config.selector_depth} blocks sees a {config.thumbnail_size} px "
        f"thumbnail and chooses {k} of {rows} x {columns} cells of {config.patch} px; an extractor of "
        f"{config.extractor_depth} blocks reads only those. {cost / 1e9:.2f} GMACs for a square picture at "
        f"{config.size} px, {full / cost:.1f}x fewer than the full ViT of the same shape. "
        f"Licence of the teacher's weights: {config.license or 'not stated'}."
    )


def _made(record: Mapping[str, Any]) -> str:
    teachers = ", ".join(record["teachers"])
    return (
        f"Distilled from {teachers} on {record['photographs']:,} photographs, {record['views']:,} views, in "
        f"{record['seconds'] / 60:.0f} minutes on {record['device']}; the running average of the weights was kept.\n\n"
        f"```\n{record['command']}\n```\n\n"
        f"The whole recipe is in `{RECORD}`, the losses in `{CURVES}`."
    )
