"""Average models' weights: positions resized to the first one's grids, the result in half precision.

    python benchmarks/average.py OUT A=0.5 B=0.4 START=0.1

OUT becomes a model folder like A's. A start that was never trained counts everywhere but in what is fresh in it:
the map's head and the handover.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.models.lookwhere import LookWhere

FRESH = ("selector.head.", "extractor.handover.")


def fitted(name: str, like: LookWhere) -> dict[str, Tensor]:
    """A model's weights, float32, at the grids of another."""
    model = load_model(name, device="cpu").model
    state = dict(model.state_dict())
    state["extractor.pos_embed"] = model.extractor.positions_for(like.extractor.grid)
    state["selector.backbone.pos_embed"] = model.selector.backbone.positions_for(like.selector.backbone.grid)
    return state


def untrained(state: dict[str, Tensor]) -> bool:
    """Whether the handover still is what it starts as: zero."""
    handed = [value for key, value in state.items() if key.startswith(FRESH[1])]
    return bool(handed) and all(not value.any() for value in handed)


def averaged(parts: list[tuple[dict[str, Tensor], float]]) -> dict[str, Tensor]:
    """The weighted mean of each tensor, over the models in which it was trained."""
    out = {}
    for key in parts[0][0]:
        counted = [(state[key], share) for state, share in parts if not (key.startswith(FRESH) and untrained(state))]
        whole = sum(share for _, share in counted)
        out[key] = torch.stack([value * (share / whole) for value, share in counted]).sum(0)
    return out


def main() -> None:
    """Average and write."""
    if len(sys.argv) < 3 or not all("=" in part for part in sys.argv[2:]):
        raise SystemExit(__doc__)
    named = [(name, float(share)) for name, _, share in (part.rpartition("=") for part in sys.argv[2:])]
    model = load_model(named[0][0], device="cpu").model
    with torch.no_grad():
        model.load_state_dict(averaged([(fitted(name, model), share) for name, share in named]))
    save_model(Path(sys.argv[1]), model.to(torch.float16))


if __name__ == "__main__":
    main()
