"""Optimizer, learning rates per part, schedule."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn

from lookwhere_cli.checkpoints.folder import Model


@dataclass(frozen=True)
class Rates:
    """AdamW's settings. A weight's rate is peak x schedule x decay^(blocks above it); peak x fresh where it is new."""

    peak: float = 1e-4
    layer_decay: float = 0.85
    fresh: float = 10.0
    weight_decay: float = 0.05
    warmup: float = 0.1
    """Share of the steps."""
    floor: float = 0.01
    """The cosine's end, as a share of the peak."""
    clip: float = 1.0


FRESH = ("selector.head.", "extractor.handover.")
"""What distillation starts anew."""


BESIDE = "beside."
UNDECAYED = ("token", "pos_embed", "queries")
_EXIT = re.compile(r"^exits\.\d+\.")
"""Before the names of a cascade's weights: each exit is a whole ViT."""


def optimizer_of(
    model: Model, rates: Rates, fresh: tuple[str, ...] = FRESH, beside: nn.Module | None = None
) -> torch.optim.AdamW:
    """AdamW (0.9, 0.999) with weight decay on matrices only; each group remembers its factor of the peak rate.

    fresh: beginnings of the names of weights that start anew. beside: what is trained with the model, all of it new.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    more = () if beside is None else beside.named_parameters(prefix=BESIDE[:-1])
    for name, parameter in chain(model.named_parameters(), more):
        if parameter.requires_grad:
            matrix = parameter.ndim > 1 and not any(part in name for part in UNDECAYED)
            decay = rates.weight_decay if matrix else 0.0
            factor = _factor(name, model, rates, fresh)
            groups.setdefault((factor, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rates.peak * factor, "weight_decay": decay, "factor": factor}
            for (factor, decay), parameters in groups.items()
        ],
        betas=(0.9, 0.999),
    )


def _factor(name: str, model: Model, rates: Rates, fresh: tuple[str, ...]) -> float:
    name = _EXIT.sub("", name)
    if name.startswith((*fresh, BESIDE)):
        return rates.fresh
    if name.startswith("selector."):
        depth, name = model.config.selector_depth, name.removeprefix("selector.backbone.")
    else:
        depth, name = model.config.extractor_depth, name.removeprefix("extractor.")
    if name.startswith("blocks."):
        return rates.layer_decay ** (depth - 1 - int(name.split(".")[1]))
    return 1.0 if name.startswith(("norm.", "head.", "decoder.", "handover.")) else rates.layer_decay**depth


def set_rates(optimizer: Any, rates: Rates, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to the floor; returns the share of the peak that holds at `step`."""
    warm = max(1, round(rates.warmup * steps))
    if step < warm:
        share = (step + 1) / warm
    else:
        share = rates.floor + (1 - rates.floor) * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    for group in optimizer.param_groups:
        group["lr"] = rates.peak * group["factor"] * share
    return share
