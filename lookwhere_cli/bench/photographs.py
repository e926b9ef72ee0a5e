"""Photographs to measure with: those of a folder, or ones of a usual size made from a few examples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random

from PIL import Image

from lookwhere_cli.errors import UsageError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHAPES = ((500, 375), (375, 500), (500, 333), (500, 375), (480, 360))  # (width, height), usual on the web
LEAST_SHARE = 0.4  # of an example's side, in a photograph cut from it


def example_photographs() -> list[Path]:
    """Return the photographs in the source tree. Raises UsageError if there are none, as in an installed package."""
    paths = sorted(path for path in EXAMPLES.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise UsageError(f"{str(EXAMPLES)!r} has no photographs to measure with; give some with --photos DIR.")
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


def _piece(picture: Image.Image, shape: tuple[int, int], random: Random) -> Image.Image:
    scale = min(picture.width / shape[0], picture.height / shape[1])
    scale *= random.uniform(LEAST_SHARE, 1)
    width, height = shape[0] * scale, shape[1] * scale
    left, top = random.uniform(0, picture.width - width), random.uniform(0, picture.height - height)
    return picture.resize(shape, Image.Resampling.BICUBIC, (left, top, left + width, top + height))
