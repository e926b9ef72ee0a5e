"""Print the label of each photograph, and the cell that the model chose first.

python examples/python_api.py examples/*.jpg
"""

import sys

from lookwhere_cli import load


def main(paths: list[str]) -> None:
    """Print one line per photograph."""
    predictor = load(k=0.25, top=1)
    for row in predictor.classify(paths):
        if row.error is not None:
            print(f"{row.path}: {row.error}")
            continue
        best, (line, column) = row.labels[0], row.cells[0]
        print(f"{row.path}: {best.label} ({best.probability:.0%}), looked first at row {line}, column {column}")


if __name__ == "__main__":
    main(sys.argv[1:])
