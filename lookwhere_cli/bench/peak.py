"""Run as a module: what answering pictures adds to a process that has the model loaded, in MiB, as JSON.

    python -m lookwhere_cli.bench.peak MODEL OPTIONS COUNT PICTURE...

OPTIONS is a JSON object: what `load` is told. The pictures are taken in turn until COUNT are done.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

_STATUS = Path("/proc/self/status")


def main(arguments: Sequence[str]) -> None:
    """Print {"before": MiB without the model, "rest": MiB with it, "peak": MiB}."""
    from lookwhere_cli.loading import load
    from lookwhere_cli.segmenter import Segmenter

    before = at_rest()
    model, options, count, *pictures = arguments
    predictor = load(model, **json.loads(options))
    rest = at_rest()
    taken = islice(cycle(pictures), int(count))
    if predictor.config.task == "segment":
        failed = [one.row.error for one in Segmenter(predictor).segment(taken) if one.row.error]
    else:
        failed = [row.error for row in predictor.classify(taken) if row.error]
    if failed:
        sys.exit(failed[0])
    print(json.dumps({"before": before, "rest": rest, "peak": at_peak()}))


def at_rest() -> float:
    """What the process holds now, in MiB; its peak so far where the system tells no more."""
    held = _status("VmRSS")
    return at_peak() if held is None else held


def at_peak() -> float:
    """The most that the process ever held, in MiB.

    Linux lets a process begin with the peak of the one that started it in `ru_maxrss`, so its own account comes first.
    """
    held = _status("VmHWM")
    if held is not None:
        return held
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _status(name: str) -> float | None:
    if not _STATUS.is_file():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
