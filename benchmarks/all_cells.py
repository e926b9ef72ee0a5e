"""Write a copy of a model without its selector: extractor and head on all cells, with unchanged weights.

    python benchmarks/all_cells.py lookwhere-tiny-streets streets-all-cells

`lookwhere evaluate --full` then compares it with the model itself: what choosing cells costs in accuracy, and what it
saves in time.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from lookwhere_cli.amounts import ALL_CELLS
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.training.finetune.start import start_of


def main() -> None:
    """Convert, and print the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    loaded = load_model(arguments.model, device="cpu")
    config = replace(loaded.config, selector_depth=0, prefix="own", k=ALL_CELLS, coarse_size=0)
    save_model(arguments.out, start_of(loaded.lookwhere, config).to(torch.float16))
    print(f"Saved {loaded.name} without its selector to {arguments.out}.")


if __name__ == "__main__":
    main()
