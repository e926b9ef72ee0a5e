"""Small models and labelled sets, made in a moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookwhere_cli.amounts import Amount
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.metrics.scores import TrueBoxes
from lookwhere_cli.models.config import Config
from tests.models.small import DETECTING, LABELLED, small

SEVERAL = replace(LABELLED, multi_label=True)
FULL = replace(LABELLED, selector_depth=0, prefix="own", k=1.0)
SEGMENTS = replace(LABELLED, task="segment", decoder_scale=2)
SEGMENTS_FULL = replace(FULL, task="segment", decoder_scale=2)
DETECTS = DETECTING
DETECTS_FULL = replace(DETECTING, selector_depth=0, prefix="own", k=1.0)


def no_progress(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items


def amounts(*values: int | float) -> list[Amount]:
    return [Amount.parse(value) for value in values]


def save(folder: Path, config: Config, seed: int = 0) -> str:
    """Save a model with random weights; return its name."""
    save_model(folder, small(config, seed))
    return str(folder)


def pictures(root: Path, count: int = 9) -> list[str]:
    """Pictures of noise, of two shapes."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        height, width = ((40, 60), (50, 50))[index % 2]
        paths.append(str(root / f"{index}.png"))
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(paths[-1])
    return paths


def single_labels(root: Path, classes: tuple[str, ...] = ("bird", "cat", "dog")) -> LabelledSet:
    examples = (Example(path, (place % len(classes),)) for place, path in enumerate(pictures(root)))
    return LabelledSet("single", classes, tuple(examples), root)


def several_labels(root: Path) -> LabelledSet:
    examples = (Example(path, ((), (0,), (0, 1))[place % 3]) for place, path in enumerate(pictures(root)))
    return LabelledSet("multi", ("dog", "cat"), tuple(examples), root)


def masks(root: Path) -> LabelledSet:
    """Masks of two classes, some pixels ignored."""
    examples = []
    (root / "masks").mkdir(parents=True)
    for place, path in enumerate(pictures(root / "images")):
        height, width = np.asarray(Image.open(path)).shape[:2]
        mask = np.random.default_rng(place).choice([0, 1, 255], (height, width)).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{place}.png")
        examples.append(Example(path, mask=str(root / "masks" / f"{place}.png")))
    return LabelledSet("masks", ("dog", "cat"), tuple(examples), root)


def boxes(root: Path) -> LabelledSet:
    """One or two boxes in each picture, none in every third."""
    examples = []
    for place, path in enumerate(pictures(root)):
        rng = np.random.default_rng(place)
        corners, sides = rng.uniform(0, 20, (place % 3, 2)), rng.uniform(8, 20, (place % 3, 2))
        objects = TrueBoxes(
            np.concatenate([corners, corners + sides], axis=1).astype(np.float32),
            rng.integers(0, 2, place % 3),
            np.zeros(place % 3, bool),
        )
        examples.append(Example(path, tuple(sorted({int(one) for one in objects.classes})), objects=objects))
    return LabelledSet("boxes", ("dog", "cat"), tuple(examples), root)
