"""Run as a module: the memory of a process that answers pictures, in MiB, as JSON.

    python -m lookwhere_cli.bench.peak MODEL OPTIONS COUNT PICTURE...

OPTIONS is a JSON object: fields of `Options`. The pictures are repeated in turn until COUNT are answered.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import psutil


def main(arguments: Sequence[str]) -> None:
    """Print {"before": MiB without the model, "rest": MiB with it, "peak": MiB}."""
    from lookwhere_cli.loading import load

    before = current_memory()
    model, options, count, *pictures = arguments
    predictor = load(model, **json.loads(options))
    rest = current_memory()
    for answer in predictor.answers(islice(cycle(pictures), int(count))):
        if answer.row.error:
            sys.exit(answer.row.error)
    print(json.dumps({"before": before, "rest": rest, "peak": peak_memory()}))


def current_memory() -> float:
    """Return the memory that the process holds now, in MiB."""
    return float(psutil.Process().memory_info().rss) / 2**20


def peak_memory() -> float:
    """Return the most memory that the process has held, in MiB.

    psutil knows the peak only on Windows. On Linux `ru_maxrss` begins with that of the parent process, so the peak
    comes from the process's own status.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    main(sys.argv[1:])
