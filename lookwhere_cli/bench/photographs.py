"""Pictures to measure with: of a usual size, made from a few example photographs or from drawn pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDERS = (Path("examples"), Path(__file__).resolve().parents[2] / "examples")
"""Of examples: in the current folder, for an installed package in its clone, and in the source tree."""
SHAPES = ((500, 375), (375, 500), (500, 333), (500, 375), (480, 360))  # (width, height), usual on the web
DRAWN, DRAWN_SHAPE = 5, (800, 600)
SCALES = ((5, 0.5), (25, 0.3), (100, 0.15), (400, 0.05))
"""Of the noise in drawn pictures: cells along a side, and weight; coarse outweighs fine, as in photographs."""
LEAST_SHARE = 0.4  # of an example's side, in a photograph cut from it


def example_photographs() -> list[Path]:
    """Return the example photographs in the current folder or the source tree; none elsewhere."""
    for folder in FOLDERS:
        paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        if paths:
            return paths
    return []


def draw_pictures(folder: Path, seed: int = 0) -> list[Path]:
    """Draw a few pictures into the folder: noise of several scales, which costs as much to decode as photographs."""
    rng, paths = np.random.default_rng(seed), []
    for number in range(DRAWN):
        layers = [_noise(rng, cells).astype(np.float32) * weight for cells, weight in SCALES]
        paths.append(folder / f"drawn-{number}.png")
        Image.fromarray(np.sum(layers, axis=0).astype(np.uint8)).save(paths[-1])
    return paths


def make_photographs(sources: Sequence[Path], count: int, folder: Path, seed: int = 0) -> list[Path]:
    """Write `count` JPEGs of about 500 x 375 pixels into the folder, random pieces of the sources."""
    random, paths = Random(seed), []
    for number, source in enumerate(islice(cycle(sources), count)):
        with Image.open(source) as picture:
            piece = _piece(picture.convert("RGB"), SHAPES[number % len(SHAPES)], random)
        paths.append(folder / f"{number:04}.jpg")
        piece.save(paths[-1], "JPEG", quality=90)
    return paths


def _noise(rng: np.random.Generator, cells: int) -> NDArray[np.uint8]:
    noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
    return np.asarray(noise.resize(DRAWN_SHAPE, Image.Resampling.BICUBIC))


def _piece(picture: Image.Image, shape: tuple[int, int], random: Random) -> Image.Image:
    scale = min(picture.width / shape[0], picture.height / shape[1])
    scale *= random.uniform(LEAST_SHARE, 1)
    width, height = shape[0] * scale, shape[1] * scale
    left, top = random.uniform(0, picture.width - width), random.uniform(0, picture.height - height)
    return picture.resize(shape, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
