"""What a smaller dtype costs a model: top-1, and how often its label and its cells are those of float32.

    python benchmarks/dtype.py weights/lookwhere-tiny-in1k DATA bfloat16

DATA is as benchmarks/accuracy.py has it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from accuracy import labelled

from lookwhere_cli import load


def main() -> None:
    """Measure and print."""
    model, data, dtype = sys.argv[1:]
    pairs = [pair for file in sorted(Path(data).glob("*/labels.csv")) for pair in labelled(file.parent)]
    paths = [path for path, label in pairs if label >= 0]
    full, small = (list(load(model, dtype=name).classify(paths)) for name in ("float32", dtype))
    for name, rows in (("float32", full), (dtype, small)):
        right = sum(row.labels[0].index == label for row, (_, label) in zip(rows, pairs, strict=True))
        print(f"{name}: top-1 {right / len(pairs):.1%} of {len(pairs)}")
    same = sum(one.labels[0].index == other.labels[0].index for one, other in zip(full, small, strict=True))
    shared = sum(len({*one.cells} & {*other.cells}) / one.k for one, other in zip(full, small, strict=True))
    print(f"same label {same / len(pairs):.1%}, cells in common {shared / len(pairs):.1%}")


if __name__ == "__main__":
    main()
