"""Large pictures: tiles that are read, time and memory, windows against what cores allow, and what windows find."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from lookwhere_cli.amounts import ALL_CELLS, Amount
from lookwhere_cli.bench.finding import Finder, Mosaic, WindowFound, finder, make_finding
from lookwhere_cli.bench.large_pictures import make_mosaic, make_pyramid
from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.process import run
from lookwhere_cli.bench.settings import BenchSettings, LargeInputs
from lookwhere_cli.images.decode import unlimited
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.base import LargeSource
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.images.source import Source
from lookwhere_cli.loading import load
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.windows.grid import WindowGrid
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.source import WindowSource

RASTER_LIMITS = {256: 2.0, 4096: 6.0}
"""--size, and the seconds that a raster may take."""
RASTER_K = (None, "5%")
"""-k: the model's own share of the cells, and one that keeps the number of tokens small at the largest size."""
PYRAMID_SIDE, PYRAMID_SIZES, PYRAMID_SECONDS, PYRAMID_K = 100_000, (256, 1024), 10.0, "10%"
RASTER_MEMORY, PYRAMID_MEMORY = 300.0, 500.0  # MiB above rest
WINDOW, SHAPE = 224, (375, 500)  # pixels; (height, width) of photographs in the mosaics that are only timed
TIMED = (10, 8)  # columns and rows of photographs
LEAST, FEW, MANY = (4, 4), (13, 12), (42, 39)
"""Columns and rows of photographs: each time about ten times as many windows. The least do not fill the caches."""
NEAR, OVERLAP = 528, 0.2
BEST = "40%"
MOSAIC_COLUMNS = 30
TILED = 300  # photographs of the mosaic that are also read in tiles


def large(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure large pictures. Without a raster or boxes of photographs, what needs them is left out."""
    inputs = settings.large or LargeInputs()
    with TemporaryDirectory() as place:
        folder = Path(place)
        if inputs.raster is not None:
            yield from raster(settings, inputs.raster)
        yield from pyramid(settings, make_pyramid(folder / "pyramid.tif", PYRAMID_SIDE))
        yield from throughput(settings, _mosaic(settings, folder / "timed.tif", TIMED))
        yield from memory(settings, folder)
        if inputs.boxes is not None:
            yield from finding(settings, inputs, folder / "mosaic.tif")


class _Once(NamedTuple):
    """What `bench.large_once` measures."""

    seconds: float
    rest: float
    peak: float
    read: int = 0
    needed: int = 0
    spare: int = 0
    tiles: int = 0
    windows: int = 0


def raster(settings: BenchSettings, file: str) -> Iterator[Measurement]:
    """Measure the tiles that are read of a raster, time and memory, at two sizes and two shares of the cells."""
    for command, (size, seconds), k in product(("classify", "explain"), RASTER_LIMITS.items(), RASTER_K):
        options: dict[str, Any] = {"size": size, **({"k": k} if k else {})}
        found = [_once(settings, command, file, **options) for _ in range(settings.rounds)]
        what = " ".join((f"{command} {Path(file).name}, --size {size}", *(("-k", k) if k else ())))
        yield from _of_one(what, found, (seconds, RASTER_MEMORY))


def pyramid(settings: BenchSettings, file: Path) -> Iterator[Measurement]:
    """Measure a BigTIFF of 100,000 x 100,000 pixels."""
    for size in PYRAMID_SIZES:
        found = [_once(settings, "classify", file, size=size, k=PYRAMID_K) for _ in range(settings.rounds)]
        what = f"classify {PYRAMID_SIDE:,} x {PYRAMID_SIDE:,} px, --size {size} -k {PYRAMID_K}"
        yield from _of_one(what, found, (PYRAMID_SECONDS, PYRAMID_MEMORY))


def _of_one(what: str, found: Sequence[_Once], limits: tuple[float, float]) -> Iterator[Measurement]:
    """limits: seconds, and MiB above rest."""
    first = found[0]
    yield Measurement("large", what, median(one.seconds for one in found), "s", limit=Limit("at most", limits[0]))
    peak = max(one.peak - one.rest for one in found)
    yield Measurement("large", what, peak, "MiB above rest", limit=Limit("at most", limits[1]))
    needed = f"{first.needed:,} that the thumbnail and the cells touch; {first.tiles:,} in all"
    yield Measurement("large", what, first.read, "tiles read", needed)
    yield Measurement("large", f"{what}: not needed", first.spare, "tiles read", limit=Limit("at most", 0))


def throughput(settings: BenchSettings, file: Path) -> Iterator[Measurement]:
    """Compare windows with what reading and the model allow on the cores that they share."""
    predictor = load(settings.model, device=settings.device)
    cores = usable_cpus()
    reading, model, together = [], [], []
    for _ in range(settings.rounds + 1):
        sources, seconds = _read_all(predictor, file)
        reading.append(seconds)
        model.append(_timed(partial(_answer_all, predictor, sources)))
        together.append(_timed(lambda: list(predictor.windows(str(file), window=WINDOW))))
    seconds, answering, both = (median(one[1:]) for one in (reading, model, together))  # the first warms up
    allowed = answering + seconds / cores
    count = len(sources)
    yield Measurement("large", f"reading of {count:,} windows alone, 1 thread", count / seconds, "windows/s")
    yield Measurement("large", f"the model alone, {count:,} windows in memory", count / answering, "windows/s")
    limit = Limit("at least", 0.85)
    against = f"what {cores} cores allow: {count / allowed:.1f} windows/s"
    yield Measurement(
        "large", f"windows of {WINDOW} px", count / both, "windows/s", against, allowed / both, limit=limit
    )


def _read_all(predictor: Predictor, file: Path) -> tuple[list[Source], float]:
    """Read all windows in this thread; return them, and the seconds."""
    started = time.perf_counter()
    with closing(_opened(file)) as source:
        grid = WindowGrid(source.size, (WINDOW, WINDOW))
        windows = [WindowSource(source, grid.box(number)) for number in range(len(grid))]
        sources = [one.load(predictor.pipeline.reader.reading, unlimited) for one in windows]
    return sources, time.perf_counter() - started


def _answer_all(predictor: Predictor, sources: Sequence[Source]) -> None:
    for answer in predictor.answers(sources):
        assert not answer.row.error


def memory(settings: BenchSettings, folder: Path) -> Iterator[Measurement]:
    """Compare the peak of many windows with that of few, in which the caches of pixels have reached their limits.

    Peaks are medians of the rounds: threads that read ahead hold more pixels in one run than in another.
    """
    peaks = []
    for place, shape in enumerate((LEAST, FEW, MANY)):
        file = _mosaic(settings, folder / f"{place}.tif", shape)
        found = [_once(settings, "windows", file, WINDOW) for _ in range(settings.rounds)]
        peaks.append((found[0].windows, median(one.peak for one in found)))
    limits = (None, Limit("at most", 1.1))
    for ((few, before), (many, peak)), limit in zip(pairwise(peaks), limits, strict=True):
        what, against = f"{many:,} windows of {WINDOW} px", f"{few:,} windows: {before:.0f} MiB"
        yield Measurement("large", what, peak, "MiB at peak", against, peak / before, limit=limit)


def finding(settings: BenchSettings, inputs: LargeInputs, file: Path) -> Iterator[Measurement]:
    """Compare what windows of a mosaic of photographs find with the photographs one by one, and with all tiles."""
    labelled = inputs.read_boxes()
    mosaic = make_finding(labelled, inputs.mosaic, min(MOSAIC_COLUMNS, inputs.mosaic), file)
    one = finder(load(inputs.detector, device=settings.device), mosaic, labelled.classes)
    yield from _against_photographs(one, inputs.mosaic)
    yield from _best_windows(one, inputs.mosaic)
    count = min(TILED, inputs.mosaic)
    part = make_finding(labelled, count, min(MOSAIC_COLUMNS, count), file.with_stem("tiled"))
    yield from _against_tiles(settings, inputs, part, labelled.classes)


def _against_tiles(
    settings: BenchSettings, inputs: LargeInputs, mosaic: Mosaic, classes: Sequence[str]
) -> Iterator[Measurement]:
    """Compare windows of the model's size with all cells of all tiles, on fewer photographs: those take long."""
    count = len(mosaic.truths)
    chosen, every = (
        finder(load(inputs.detector, device=settings.device, k=k), mosaic, classes) for k in (None, ALL_CELLS)
    )
    windows, tiles = chosen.in_windows(WindowOptions(overlap=OVERLAP)), every.in_windows(WindowOptions(NEAR, OVERLAP))
    ways = (
        (f"{count:,} of the photographs, windows of the model's size ({windows.windows:,})", windows),
        (f"{count:,} of them, all cells of all tiles of {NEAR} px ({tiles.windows:,}), as SAHI reads", tiles),
    )
    for what, way in ways:
        yield from _ap50(what, way.ap50, count / way.seconds)


def _against_photographs(one: Finder, count: int) -> Iterator[Measurement]:
    photographs, windows = one.one_by_one(), one.in_windows(WindowOptions(overlap=OVERLAP))
    yield from _ap50(f"{count:,} photographs one by one", photographs.ap50, count / photographs.seconds)
    yield from _ap50(f"windows of the model's size ({windows.windows:,})", windows.ap50, count / windows.seconds)
    yield Measurement(
        "large",
        "windows of the model's size",
        100 * (windows.ap50 - photographs.ap50),
        "points of AP50",
        "photographs one by one",
        limit=Limit("at least", -1),
    )


def _best_windows(one: Finder, count: int) -> Iterator[Measurement]:
    everything: list[WindowFound] = []
    windows = one.in_windows(WindowOptions(NEAR, OVERLAP), everything)
    best = one.in_windows(WindowOptions(NEAR, OVERLAP, best=Amount.parse(BEST)))
    yield from _ap50(f"windows of {NEAR} px ({windows.windows:,})", windows.ap50, count / windows.seconds)
    yield from _ap50(f"the best {BEST} of them", best.ap50, count / best.seconds)
    found, all_found = int((best.found & windows.found).sum()), int(windows.found.sum())
    what, against = f"the best {BEST} of windows of {NEAR} px", f"all of them: {all_found:,} boxes found"
    share = found / max(1, all_found)
    yield Measurement("large", what, found, "boxes found", against, share, limit=Limit("at least", 0.9))
    ratio = best.macs / windows.macs
    yield Measurement("large", what, best.macs / 1e9, "GMACs", "all of them", ratio, limit=Limit("at most", 0.45))
    possible = one.best_choice(everything, best.windows)
    yield Measurement(
        "large", f"the best possible {BEST}, if they are known", possible * all_found, "boxes found", against, possible
    )


def _ap50(what: str, ap50: float, rate: float) -> Iterator[Measurement]:
    yield Measurement("large", what, 100 * ap50, "% AP50")
    yield Measurement("large", what, rate, "photographs/s")


def _timed(function: Any) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _once(settings: BenchSettings, command: str, file: str | Path, *window: int, **options: Any) -> _Once:
    """Measure a picture in a process of its own. options: fields of `Options`."""
    module = (sys.executable, "-m", "lookwhere_cli.bench.large_once", command, settings.model)
    described = json.dumps({"device": settings.device, **options})
    return _Once(**json.loads(run((*module, described, str(file), *map(str, window))).stdout))


def _mosaic(settings: BenchSettings, file: Path, shape: tuple[int, int]) -> Path:
    """Make a mosaic of photographs. shape: columns and rows."""
    columns, rows = shape
    return make_mosaic(file, _photographs(settings.photographs, columns * rows), SHAPE, columns, rows)


def _photographs(files: Sequence[Path], count: int) -> Iterator[Any]:
    for number in range(count):
        with Image.open(files[number % len(files)]) as picture:
            yield np.asarray(picture.convert("RGB").resize(SHAPE[::-1]))


def _opened(file: Path) -> LargeSource:
    source = open_large(str(file), Reading(patch=1, size=1))
    assert source is not None  # a mosaic is georeferenced
    return source
