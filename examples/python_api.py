"""Say what is in each photograph, and where the model looked first.

python examples/python_api.py examples/*.jpg
"""

import sys

from lookwhere_cli import load


def main(paths: list[str]) -> None:
    """Print a line per photograph."""
    predictor = load(k=0.25, top=1)
    for row in predictor.classify(paths):
        if row.error is not None:
            print(f"{row.path}: {row.error}")
            continue
        answer, (line, column) = row.labels[0], row.cells[0]
        print(f"{row.path}: {answer.label} ({answer.probability:.0%}), looked first at row {line}, column {column}")


if __name__ == "__main__":
    main(sys.argv[1:])
