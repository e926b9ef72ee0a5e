"""How long a command takes from its start to its end: `--help`, and one photograph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.process import run
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.bench.timing import alternate

TOOL = (sys.executable, "-m", "lookwhere_cli")
IMPORT = (sys.executable, "-c", "import torch")


def start(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure `--help`, and `classify` of one photograph against the import of torch, each in its own process."""
    seconds = alternate({"help": _process(*TOOL, "--help")}, settings.rounds)["help"]
    yield Measurement("start", "--help", seconds, "s", limit=Limit("at most", 0.5))
    torch_modules = float(count_imported("torch", *TOOL[1:], "--help"))
    yield Measurement("start", "--help: modules of torch", torch_modules, "", limit=Limit("at most", 0))

    photograph, model = str(settings.photographs[0]), settings.model
    classify = _process(*TOOL, "classify", photograph, "--model", model, "--device", settings.device)
    medians = alternate({"classify": classify, "import": _process(*IMPORT)}, settings.rounds)
    yield Measurement("start", 'python -c "import torch"', medians["import"], "s")
    yield Measurement(
        "start",
        "classify, one photograph",
        medians["classify"],
        "s",
        against='python -c "import torch"',
        ratio=medians["classify"] / medians["import"],
        limit=Limit("at most", 1.5),
    )


def count_imported(package: str, *arguments: str) -> int:
    """Count the modules of a package that Python imports when it is run with these arguments."""
    times = run((sys.executable, "-X", "importtime", *arguments)).stderr
    names = (line.rpartition("|")[2].strip() for line in times.splitlines() if line.startswith("import time:"))
    return sum(name == package or name.startswith(f"{package}.") for name in names)


def _process(*command: str) -> Callable[[], object]:
    return lambda: run(command)
