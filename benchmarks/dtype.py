"""Compare a model in a smaller dtype with float32: top-1, share of equal labels, share of common cells.

    python benchmarks/dtype.py weights/lookwhere-tiny-in1k DATA bfloat16

DATA is a folder of labelled sets, as for benchmarks/accuracy.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from accuracy import read_labels

from lookwhere_cli import load


def main() -> None:
    """Print the comparison."""
    model, data, dtype = sys.argv[1:]
    pairs = [pair for file in sorted(Path(data).glob("*/labels.csv")) for pair in read_labels(file.parent)]
    paths = [path for path, label in pairs if label >= 0]
    reference, reduced = (list(load(model, dtype=name).classify(paths)) for name in ("float32", dtype))
    for name, rows in (("float32", reference), (dtype, reduced)):
        correct = sum(row.labels[0].index == label for row, (_, label) in zip(rows, pairs, strict=True))
        print(f"{name}: top-1 {correct / len(pairs):.1%} of {len(pairs)}")
    equal = sum(one.labels[0].index == other.labels[0].index for one, other in zip(reference, reduced, strict=True))
    common = sum(len({*one.cells} & {*other.cells}) / one.k for one, other in zip(reference, reduced, strict=True))
    print(f"equal labels {equal / len(pairs):.1%}, common cells {common / len(pairs):.1%}")


if __name__ == "__main__":
    main()
