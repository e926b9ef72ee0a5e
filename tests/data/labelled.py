"""LabelledSet sets that are made in a moment, and a tiny model to start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.splits import split_examples
from lookwhere_cli.models.lookwhere import LookWhere
from tests.models.small import LABELLED

COLOURS = ((220, 40, 40), (40, 200, 40), (40, 60, 230))
NAMES = ("red", "green", "blue")


def start(**changes: Any) -> Loaded:
    """A model that has learnt nothing: 24 channels, 6 x 6 cells of 4 px, positions drawn at random."""
    torch.manual_seed(0)
    model = LookWhere(replace(LABELLED, **changes))
    with torch.no_grad():
        for name, table in model.named_parameters():
            if name.endswith("pos_embed"):
                table.normal_(std=0.3)
    return Loaded(model, model.config, "tiny", "0", Path(), torch.device("cpu"), torch.float32)


def coloured(folder: Path, count: int = 24) -> LabelledSet:
    """One label: noise, tinted in the class's colour."""
    rng, examples = np.random.default_rng(0), []
    folder.mkdir()
    for index in range(count):
        label = index % 3
        pixels = rng.integers(0, 100, (28, 32, 3)) + np.array(COLOURS[label]) // 2
        examples.append(Example(saved(pixels, folder / f"{index}.png"), (label,)))
    return split_examples(LabelledSet("single", NAMES, tuple(examples), folder), val_share=0.25)


def spotted(folder: Path, count: int = 96, side: int = 48) -> LabelledSet:
    """Several labels: dim noise in which one small square of a colour lies, or none; boxes.csv says where."""
    rng, examples, lines = np.random.default_rng(0), [], ["file,left,top,right,bottom"]
    folder.mkdir()
    for index in range(count):
        pixels, labels = rng.integers(0, 60, (side, side, 3)), (index % 4,) if index % 4 < 3 else ()
        for label in labels:
            left, top = rng.integers(0, side - 6, 2)
            pixels[top : top + 6, left : left + 6] = COLOURS[label]
            lines.append(f"{index}.png,{left},{top},{left + 6},{top + 6}")
        examples.append(Example(saved(pixels, folder / f"{index}.png"), labels))
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    return split_examples(LabelledSet("multi", NAMES, tuple(examples), folder), val_share=0.25)


def fields(folder: Path, count: int = 16, edge: int | None = None) -> LabelledSet:
    """Masks: left of the edge (by default drawn at random) the picture is red, right of it green; 255 between."""
    rng, examples = np.random.default_rng(0), []
    folder.mkdir()
    for index in range(count):
        column = int(rng.integers(8, 24)) if edge is None else edge
        pixels, mask = rng.integers(0, 60, (28, 32, 3)), np.zeros((28, 32), dtype=np.uint8)
        mask[:, column:] = 1
        pixels += np.where(mask[..., None], *np.array(COLOURS)[1::-1, None, None]) // 2
        mask[:, column] = 255
        path = saved(pixels, folder / f"{index}.png")
        examples.append(Example(path, mask=saved(mask, folder / f"{index}_mask.png")))
    return split_examples(LabelledSet("masks", NAMES[:2], tuple(examples), folder), val_share=0.25)


def saved(pixels: np.ndarray, file: Path) -> str:
    Image.fromarray(pixels.astype(np.uint8)).save(file)
    return str(file)
