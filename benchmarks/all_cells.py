"""A model without its selector, as a folder: its extractor and head on all cells, nothing trained anew.

    python benchmarks/all_cells.py lookwhere-tiny-streets streets-all-cells

`lookwhere evaluate --full` then shows what choosing costs the same weights, and how much longer all cells take.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.training.finetune.start import start_of


def main() -> None:
    """Convert, and say where."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    loaded = load_model(arguments.model, device="cpu")
    config = replace(loaded.config, selector_depth=0, prefix="own", k=1.0, coarse_size=0)
    save_model(arguments.out, start_of(loaded.lookwhere, config).to(torch.float16))
    print(f"{loaded.name} without its selector is in {arguments.out}.")


if __name__ == "__main__":
    main()
