"""How long a command takes from the first key to the last line: help, and one photograph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from lookwhere_cli.bench.process import run
from lookwhere_cli.bench.record import Limit, Record
from lookwhere_cli.bench.settings import Settings
from lookwhere_cli.bench.timing import alternate

TOOL = (sys.executable, "-m", "lookwhere_cli")
IMPORT = (sys.executable, "-c", "import torch")


def start(settings: Settings) -> Iterator[Record]:
    """`--help` by itself, and `classify` of one photograph against the import of torch, each in its own process."""
    seconds = alternate({"help": _process(*TOOL, "--help")}, settings.rounds)["help"]
    yield Record("start", "--help", seconds, "s", limit=Limit("at most", 0.5))
    heavy = float(imported("torch", *TOOL[1:], "--help"))
    yield Record("start", "--help: modules of torch", heavy, "", limit=Limit("at most", 0))

    photograph, model = str(settings.photographs[0]), settings.model
    classify = _process(*TOOL, "classify", photograph, "--model", model, "--device", settings.device)
    laps = alternate({"classify": classify, "import": _process(*IMPORT)}, settings.rounds)
    yield Record("start", 'python -c "import torch"', laps["import"], "s")
    yield Record(
        "start",
        "classify, one photograph",
        laps["classify"],
        "s",
        against='python -c "import torch"',
        ratio=laps["classify"] / laps["import"],
        limit=Limit("at most", 1.5),
    )


def imported(package: str, *arguments: str) -> int:
    """How many modules of a package a run of Python with these arguments imports."""
    told = run((sys.executable, "-X", "importtime", *arguments)).stderr
    names = (line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:"))
    return sum(name == package or name.startswith(f"{package}.") for name in names)


def _process(*command: str) -> Callable[[], object]:
    return lambda: run(command)
