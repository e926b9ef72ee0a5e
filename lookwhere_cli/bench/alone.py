"""Run as a module: the rate at which one predictor answers pictures with one thread, and nothing else.

python -m lookwhere_cli.bench.alone MODEL PICTURE...
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

WARM_UP = 32  # pictures


def main(arguments: Sequence[str]) -> None:
    """Print the pictures per second, without loading the model and the first pictures."""
    import torch

    from lookwhere_cli.loading import load

    torch.set_num_threads(1)
    model, *pictures = arguments
    predictor = load(model, device="cpu", workers=1)
    for _ in predictor.answers(pictures[:WARM_UP]):
        pass
    started = time.perf_counter()
    for answer in predictor.answers(pictures):
        if answer.row.error:
            sys.exit(answer.row.error)
    print(len(pictures) / (time.perf_counter() - started))


if __name__ == "__main__":
    main(sys.argv[1:])
