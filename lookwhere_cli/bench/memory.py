"""Peak memory: a giant JPEG, and many pictures against few; each in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from lookwhere_cli.bench.process import run
from lookwhere_cli.bench.record import Limit, Record
from lookwhere_cli.bench.settings import Settings

SIDE = 10_000  # pixels: 100 megapixels in all
GIANTS = {"JPEG": {}, "progressive JPEG": {"progressive": True, "subsampling": 0}}
FEW, MANY = 200, 2000


def memory(settings: Settings) -> Iterator[Record]:
    """Peak above rest for 100-megapixel JPEGs, and the whole peak of many pictures against that of few."""
    with TemporaryDirectory() as place:
        for kind, options in GIANTS.items():
            giant = giant_jpeg(Path(place) / "giant.jpg", settings.photographs[0], SIDE, options)
            rest, peak = measured(settings, [giant], 1)
            what = f"one {kind} of {SIDE * SIDE // 1_000_000} megapixels"
            yield Record("memory", what, peak - rest, "MiB above rest", limit=Limit("at most", 1024))
    yield many_against_few(settings, FEW, MANY)


def many_against_few(settings: Settings, few: int, many: int) -> Record:
    """The peak of `many` pictures, and its ratio to that of `few`; photographs come again where they are fewer."""
    peaks = {count: measured(settings, settings.photographs, count)[1] for count in (few, many)}
    return Record(
        "memory",
        f"{many} pictures",
        peaks[many],
        "MiB at peak",
        against=f"{few} pictures: {peaks[few]:.0f} MiB",
        ratio=peaks[many] / peaks[few],
        limit=Limit("at most", 1.1),
    )


def giant_jpeg(path: Path, photograph: Path, side: int, options: dict[str, bool | int]) -> Path:
    """Write the photograph as a JPEG of side x side pixels."""
    with Image.open(photograph) as picture:
        picture.convert("RGB").resize((side, side)).save(path, "JPEG", quality=90, **options)
    return path


def measured(settings: Settings, pictures: Sequence[Path], count: int) -> tuple[float, float]:
    """Memory at rest and at the peak, in MiB, of a new process that classifies `count` pictures."""
    return peak_of(settings.model, {"device": settings.device}, pictures, count)


def peak_of(model: str, options: Mapping[str, Any], pictures: Sequence[Path | str], count: int) -> tuple[float, float]:
    """The same, of a process that loads the model with these options of `load`."""
    module = (sys.executable, "-m", "lookwhere_cli.bench.peak")
    told = run((*module, model, json.dumps(dict(options)), str(count), *map(str, pictures))).stdout
    memory = json.loads(told)
    return memory["rest"], memory["peak"]
