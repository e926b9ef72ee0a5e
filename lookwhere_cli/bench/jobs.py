"""Jobs: how near processes and actors come to what the cores allow, what a shard costs, memory, and resuming."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from PIL import Image

from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.process import run
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.jobs.engine import Engine
from lookwhere_cli.jobs.folder import LocalFolder
from lookwhere_cli.jobs.job import Job
from lookwhere_cli.jobs.local import LocalEngine
from lookwhere_cli.jobs.on_ray import RayEngine
from lookwhere_cli.jobs.reports import read_reports
from lookwhere_cli.jobs.run import run_job
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.options import Options

PHOTOGRAPHS, SHARD = 1000, 100  # for rates
TINY_SHARD = 5
FEW, MANY, MEMORY_SHARD = 1000, 20_000, 500  # small pictures, for memory
SMALL, SMALL_SIZE = 32, 64  # pixels; --size
SAMPLED = 0.1  # seconds between two looks at a process's memory
TWICE = 2  # processes, actors


class _Rate(NamedTuple):
    """Of one run of a job. rate: pictures/s once models are loaded. start: seconds of everything else."""

    rate: float
    start: float


class _Peaks(NamedTuple):
    """Most memory in MiB, of the command and of its largest worker; and seconds of the same command once more."""

    driver: float
    worker: float
    again: float


def jobs(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure rates on photographs with one thread for each process, and memory on many small pictures; on the CPU."""
    with TemporaryDirectory() as place:
        photographs = _linked(settings.photographs, PHOTOGRAPHS, Path(place) / "photographs")
        yield from rates(settings, photographs, Path(place))
    yield from memory_and_resuming(settings)


def rates(settings: BenchSettings, photographs: Sequence[Path], place: Path) -> Iterator[Measurement]:
    """Measure one predictor alone, jobs of one and two processes and of two actors, and what a shard costs."""
    engines: dict[str, Callable[[], Engine]] = {
        "1 process": lambda: LocalEngine(1, "cpu", threads=1),
        "2 processes": lambda: LocalEngine(TWICE, "cpu", threads=1),
    }
    if find_spec("ray") is not None:
        engines["2 Ray actors"] = lambda: RayEngine(TWICE)
    alone: list[float] = []
    found: dict[str, list[_Rate]] = {name: [] for name in (*engines, "tiny shards")}
    for number in range(settings.rounds):
        alone.append(_alone(settings.model, photographs))
        for name, engine in engines.items():
            found[name].append(_run(settings.model, photographs, engine(), place / f"{name} {number}", SHARD))
        tiny = place / f"tiny {number}"
        found["tiny shards"].append(
            _run(settings.model, photographs, LocalEngine(1, "cpu", threads=1), tiny, TINY_SHARD)
        )
    yield Measurement("jobs", "one predictor alone, 1 thread", median(alone), "pictures/s")
    yield from _compared(found, median(alone))


def _compared(found: dict[str, list[_Rate]], alone: float) -> Iterator[Measurement]:
    rate = {name: median(one.rate for one in runs) for name, runs in found.items() if runs}
    cores = min(TWICE, usable_cpus())
    allowed = f"what {cores} cores allow: {cores * alone:.1f} pictures/s"
    one, two = rate["1 process"], rate["2 processes"]
    yield Measurement("jobs", "1 process", one, "pictures/s", "one predictor alone", one / alone)
    limit = Limit("at least", 1.8) if cores == TWICE else None
    yield Measurement("jobs", "2 processes", two, "pictures/s", "1 process", two / one, limit=limit)
    yield Measurement(
        "jobs", "2 processes", two, "pictures/s", allowed, two / (cores * alone), limit=Limit("at least", 0.9)
    )
    if "2 Ray actors" in rate:
        ratio = rate["2 Ray actors"] / (cores * alone)
        yield Measurement(
            "jobs", "2 Ray actors", rate["2 Ray actors"], "pictures/s", allowed, ratio, limit=Limit("at least", 0.85)
        )
    for name in found.keys() - {"tiny shards"}:
        yield Measurement("jobs", f"start-up, {name}", median(one.start for one in found[name]), "s")
    more = PHOTOGRAPHS / TINY_SHARD - PHOTOGRAPHS / SHARD
    seconds = (PHOTOGRAPHS / rate["tiny shards"] - PHOTOGRAPHS / one) / more
    yield Measurement("jobs", "overhead of a shard", 1000 * seconds, "ms")


def memory_and_resuming(settings: BenchSettings, few: int = FEW, many: int = MANY) -> Iterator[Measurement]:
    """Measure the peak memory of the command and its workers with few and with many small pictures."""
    peaks: dict[int, _Peaks] = {}
    with TemporaryDirectory() as place:
        folder = Path(place)
        for count in (few, many):
            _draw(folder / f"{count}", count)
            peaks[count] = _peaks(settings.model, folder / f"{count}", folder / f"rows {count}")
    for name, small, large in (
        ("driver", peaks[few].driver, peaks[many].driver),
        ("worker", peaks[few].worker, peaks[many].worker),
    ):
        yield Measurement(
            "jobs",
            f"{name}, {many:,} pictures",
            large,
            "MiB at peak",
            f"{few:,} pictures: {small:.0f} MiB",
            large / small,
            limit=Limit("at most", 1.1),
        )
    yield Measurement("jobs", f"the same command again, {many:,} pictures done", peaks[many].again, "s")


def _alone(model: str, pictures: Sequence[Path]) -> float:
    module = (sys.executable, "-m", "lookwhere_cli.bench.alone")
    return float(run((*module, model, *map(str, pictures))).stdout)


def _run(model: str, pictures: Sequence[Path], engine: Engine, out: Path, shard_size: int) -> _Rate:
    started = time.perf_counter()
    job = Job("classify", model, Options(device="cpu"), str(out), (str(pictures[0].parent),), shard_size=shard_size)
    status = run_job(job, engine).status
    seconds = time.perf_counter() - started
    if status.failed or not status.is_complete:
        raise LookWhereError(f"The job in {str(out)!r} did not end as it should: {status.failed} pictures failed.")
    reports = read_reports(LocalFolder(str(out))).values()
    return _Rate(sum(report.rate for report in reports), seconds - max(report.seconds for report in reports))


def _peaks(model: str, pictures: Path, out: Path) -> _Peaks:
    options = ("--model", model, "--device", "cpu", "--size", str(SMALL_SIZE), "--processes", str(TWICE))
    lookwhere = (sys.executable, "-m", "lookwhere_cli", "classify", str(pictures), *options)
    command = (*lookwhere, "--out", f"{out}/", "--shard-size", str(MEMORY_SHARD), "--quiet")
    driver = _watched(command)
    started = time.perf_counter()
    run(command)
    again = time.perf_counter() - started
    workers = [report.memory for report in read_reports(LocalFolder(str(out))).values()]
    return _Peaks(driver, max(workers) / 2**20, again)


def _watched(command: tuple[str, ...]) -> float:
    """Run a command; return the most memory in MiB that it held itself. Raises LookWhereError if it fails."""
    peak = 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(SAMPLED)
    if process.returncode:
        error = process.stderr.read() if process.stderr else ""
        raise LookWhereError(f"{' '.join(command)} ended with {process.returncode}: {error.strip()}")
    return peak


def _resident(pid: int) -> float:
    """Return the memory that a process has held at most or, where that is not known, holds; 0 once it is gone."""
    import psutil

    try:
        status = Path(f"/proc/{pid}/status")
        lines = status.read_text().splitlines() if status.is_file() else []
        high = next((line for line in lines if line.startswith("VmHWM:")), None)
        return int(high.split()[1]) / 1024 if high else float(psutil.Process(pid).memory_info().rss) / 2**20
    except (OSError, psutil.NoSuchProcess):
        return 0.0


def _linked(photographs: Sequence[Path], count: int, folder: Path) -> list[Path]:
    """Give photographs further names in a folder, so that they count as `count` pictures."""
    folder.mkdir()
    links = [folder / f"{number}{photo.suffix}" for number, photo in enumerate(islice(cycle(photographs), count))]
    for link, photo in zip(links, cycle(photographs), strict=False):
        try:
            os.link(photo, link)
        except OSError:  # photographs on another disk
            link.write_bytes(photo.read_bytes())
    return links


def _draw(folder: Path, count: int) -> None:
    """Make small pictures, each of another colour."""
    folder.mkdir()
    for number in range(count):
        colour = (number % 256, number // 256 % 256, 90)
        Image.new("RGB", (SMALL, SMALL), colour).save(folder / f"{number}.png", compress_level=1)
