"""Average the weights of several models; positions are resized to the grids of the first one.

    python benchmarks/average.py OUT A=0.5 B=0.4 START=0.1

OUT is a new model folder with the config of A, in half precision. The map head and the handover of a model that was
never trained are random, and are left out of the average.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.models.lookwhere import LookWhere

HANDOVER = "extractor.handover."
INITIALISED = ("selector.head.", HANDOVER)
"""Prefixes of weights that a new student does not get from its teacher."""


def resized_weights(name: str, like: LookWhere) -> dict[str, Tensor]:
    """Return a model's weights, float32, with positions resized to the grids of another model."""
    model = load_model(name, device="cpu").lookwhere
    state = dict(model.state_dict())
    state["extractor.pos_embed"] = model.extractor.positions_for(like.extractor.grid)
    state["selector.backbone.pos_embed"] = model.selector.backbone.positions_for(like.selector.backbone.grid)
    return state


def is_untrained(state: dict[str, Tensor]) -> bool:
    """Return True if the handover still has its initial value, zero."""
    handover = [value for key, value in state.items() if key.startswith(HANDOVER)]
    return bool(handover) and not any(value.any() for value in handover)


def average(models: list[tuple[dict[str, Tensor], float]]) -> dict[str, Tensor]:
    """Return the weighted mean of each tensor over the models in which it was trained."""
    means = {}
    for key in models[0][0]:
        trained = [
            (state[key], share) for state, share in models if not (key.startswith(INITIALISED) and is_untrained(state))
        ]
        total = sum(share for _, share in trained)
        means[key] = torch.stack([value * (share / total) for value, share in trained]).sum(0)
    return means


def main() -> None:
    """Write the average of the models on the command line."""
    if len(sys.argv) < 3 or not all("=" in part for part in sys.argv[2:]):
        raise SystemExit(__doc__)
    shares = [(name, float(share)) for name, _, share in (part.rpartition("=") for part in sys.argv[2:])]
    model = load_model(shares[0][0], device="cpu").lookwhere
    with torch.no_grad():
        model.load_state_dict(average([(resized_weights(name, model), share) for name, share in shares]))
    save_model(Path(sys.argv[1]), model.to(torch.float16))


if __name__ == "__main__":
    main()
