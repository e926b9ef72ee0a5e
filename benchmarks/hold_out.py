"""Divide photographs into a part to train on and a part held out, by their contents, so that twins stay together.

    python benchmarks/hold_out.py FOLDER [FOLDER ...] --out DIR --share 0.0625

DIR/train/FOLDER and DIR/held-out/FOLDER get links to the photographs. A photograph's own bytes alone decide its part:
one that was held out once never becomes one to train on, whatever other photographs come or go.
"""

import argparse
import hashlib
from pathlib import Path

from lookwhere_cli.images.find import find_pictures

DIGITS = 8
"""Of the hexadecimal hash, which is a number evenly drawn from 0 up to 16**DIGITS."""


def is_held_out(content: bytes, share: float) -> bool:
    """Return True for about `share` (0..1) of all contents: those whose hash is small."""
    return int(hashlib.sha256(content).hexdigest()[:DIGITS], 16) < share * 16**DIGITS


def main() -> None:
    """Make the links, and print how many there are of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--share", type=float, default=0.0625, help="of the photographs to hold out")
    arguments = parser.parse_args()
    if not 0 < arguments.share < 1:
        parser.error(f"--share is {arguments.share}; it must be above 0 and below 1")
    if arguments.out.exists():
        parser.error(f"{str(arguments.out)!r} exists; choose a new folder")
    counts = {"train": 0, "held-out": 0}
    for folder in arguments.folders:
        for path in map(Path, find_pictures([str(folder)])):
            part = "held-out" if is_held_out(path.read_bytes(), arguments.share) else "train"
            link = arguments.out / part / folder.name / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
            counts[part] += 1
    print(f"{counts['train']} photographs to train on and {counts['held-out']} held out, in {arguments.out}.")


if __name__ == "__main__":
    main()
