"""Divide photographs into a part to train on and a part held out, by their contents, so that twins stay together.

    python benchmarks/hold_out.py FOLDER [FOLDER ...] --out DIR --count 1000

DIR/train/FOLDER and DIR/held-out/FOLDER get links to the photographs. The same choice every time.
"""

import argparse
import hashlib
from pathlib import Path

from lookwhere_cli.images.find import find_pictures


def main() -> None:
    """Make the links, and print how many there are of each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=1000, help="photographs to hold out")
    arguments = parser.parse_args()
    photographs = [(folder, Path(path)) for folder in arguments.folders for path in find_pictures([str(folder)])]
    hashes = {path: hashlib.sha256(path.read_bytes()).hexdigest() for _, path in photographs}
    held_out = set(sorted(set(hashes.values()))[: arguments.count])
    for folder, path in photographs:
        part = "held-out" if hashes[path] in held_out else "train"
        link = arguments.out / part / folder.name / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
    print(f"{len(photographs)} photographs in {arguments.out}: {len(held_out)} different ones are held out.")


if __name__ == "__main__":
    main()
