"""Peak memory of separate processes: giant JPEGs, large PNGs, and many pictures against few."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.process import measure_memory
from lookwhere_cli.bench.settings import BenchSettings

SIDE = 10_000  # pixels: 100 megapixels in all
GIANTS: Mapping[str, dict[str, Any]] = {"JPEG": {}, "progressive JPEG": {"progressive": True, "subsampling": 0}}
LARGE_SIDE, LARGE_COUNT, LARGE_SIZE = 4090, 100, 1024  # pixels; pictures; --size
HUGE_SIDE, HUGE_COUNT, HUGE_WORKERS = 15_500, 4, 4
FEW, MANY = 200, 2000


def memory(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure the peak above rest for large pictures, and the peak of many pictures against that of few."""
    with TemporaryDirectory() as place:
        yield from giant_jpegs(settings, Path(place))
        yield from large_pngs(settings, Path(place))
    yield many_against_few(settings, FEW, MANY)


def giant_jpegs(settings: BenchSettings, place: Path) -> Iterator[Measurement]:
    """Measure JPEGs of 100 megapixels, which the decoder may reduce, and progressive ones, which it may not."""
    for name, options in GIANTS.items():
        file = place / "giant.jpg"
        with Image.open(settings.photographs[0]) as picture:
            picture.convert("RGB").resize((SIDE, SIDE)).save(file, "JPEG", quality=90, **options)
        what = f"one {name} of {SIDE * SIDE // 1_000_000} megapixels"
        yield _above_rest(settings, what, [file], 1, Limit("at most", 1024))


def large_pngs(settings: BenchSettings, place: Path) -> Iterator[Measurement]:
    """Measure many PNGs of moderate size for a large grid, and a few huge ones with several workers."""
    large = _named_files(_write_png(place / "large.png", LARGE_SIDE), LARGE_COUNT)
    what = f"{LARGE_COUNT} PNGs of {LARGE_SIDE} x {LARGE_SIDE}, --size {LARGE_SIZE}"
    yield _above_rest(settings, what, large, LARGE_COUNT, Limit("at most", 1.2 * 1024), size=LARGE_SIZE)
    huge = _named_files(_write_png(place / "huge.png", HUGE_SIDE), HUGE_COUNT)
    what = f"{HUGE_COUNT} PNGs of {HUGE_SIDE} x {HUGE_SIDE}, {HUGE_WORKERS} workers"
    yield _above_rest(settings, what, huge, HUGE_COUNT, Limit("at most", 1.5 * 1024), workers=HUGE_WORKERS)


def many_against_few(settings: BenchSettings, few: int, many: int) -> Measurement:
    """Compare the peak of `many` photographs with that of `few`; they are repeated if there are fewer."""
    peaks = {
        count: measure_memory(settings.model, {"device": settings.device}, settings.photographs, count).peak
        for count in (few, many)
    }
    return Measurement(
        "memory",
        f"{many} pictures",
        peaks[many],
        "MiB at peak",
        against=f"{few} pictures: {peaks[few]:.0f} MiB",
        ratio=peaks[many] / peaks[few],
        limit=Limit("at most", 1.15),
    )


def _above_rest(
    settings: BenchSettings, what: str, pictures: Sequence[Path], count: int, limit: Limit, **options: Any
) -> Measurement:
    measured = measure_memory(settings.model, {"device": settings.device, **options}, pictures, count)
    return Measurement("memory", what, measured.peak - measured.rest, "MiB above rest", limit=limit)


def _write_png(file: Path, side: int) -> Path:
    """Write a PNG of side x side pixels that compresses fast: a gradient."""
    line = np.linspace(0, 255, side).astype(np.uint8)
    pixels = np.broadcast_to(line[:, None], (side, side, 3))
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, compress_level=1)
    return file


def _named_files(file: Path, count: int) -> list[Path]:
    """Give a file further names, so that it counts as `count` different pictures."""
    links = [file.with_name(f"{file.stem}-{number}{file.suffix}") for number in range(count)]
    for link in links:
        os.link(file, link)
    return links
