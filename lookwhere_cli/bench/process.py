"""Separate processes, measured from their start."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lookwhere_cli.errors import LookWhereError


class MemoryUse(NamedTuple):
    """Memory of a process in MiB: without the model, with the model at rest, and at its peak."""

    before: float
    rest: float
    peak: float


def run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without a terminal. Raises LookWhereError if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise LookWhereError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended


def measure_command_memory(*arguments: str) -> float:
    """Return the most memory, in MiB, that `lookwhere` with these arguments holds in a process of its own."""
    return float(run((sys.executable, "-m", "lookwhere_cli.bench.command", *arguments)).stderr.splitlines()[-1])


def measure_memory(model: str, options: Mapping[str, Any], pictures: Sequence[Path | str], count: int) -> MemoryUse:
    """Measure the memory of a new process that answers `count` pictures; see `bench.peak`.

    options: fields of `Options`, ready for JSON. pictures: repeated in turn if there are fewer than `count`.
    """
    module = (sys.executable, "-m", "lookwhere_cli.bench.peak")
    output = run((*module, model, json.dumps(dict(options)), str(count), *map(str, pictures))).stdout
    return MemoryUse(**json.loads(output))
