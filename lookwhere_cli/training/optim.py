"""The optimiser, each weight's share of the learning rate, and the schedule."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn

from lookwhere_cli.models.build import Model


@dataclass(frozen=True)
class Rates:
    """Settings of AdamW.

    A weight's learning rate is peak x schedule x layer_decay ^ (blocks above it), or peak x schedule x fresh for a
    weight that was not in the model that training starts from.
    """

    peak: float = 1e-4
    layer_decay: float = 0.85
    fresh: float = 10.0
    weight_decay: float = 0.05
    warmup: float = 0.1
    """Share of the steps in which the rate rises."""
    floor: float = 0.01
    """Rate at the end, as a share of the peak."""
    clip: float = 1.0
    """Largest norm of the gradients."""


FRESH = ("selector.head.", "extractor.handover.")
"""Beginnings of the names of weights that distillation starts anew."""
AUXILIARY = "beside."
"""Put before the names of weights that are trained beside the model; all of them are fresh."""
UNDECAYED = ("token", "pos_embed", "queries")
"""Parts of the names of weights without weight decay, beside vectors."""
_LAST = ("norm.", "head.", "decoder.", "detector.", "handover.")
"""Beginnings of the names of weights after the last block."""
_EXIT = re.compile(r"^exits\.\d+\.")


def optimizer_of(
    model: Model, rates: Rates, fresh: tuple[str, ...] = FRESH, auxiliaries: nn.Module | None = None
) -> torch.optim.AdamW:
    """Return AdamW (0.9, 0.999) whose groups each have a `factor` of the peak rate; only matrices have weight decay.

    fresh: beginnings of the names of fresh weights. auxiliaries: modules that are trained with the model, all fresh.

    The groups are ours: timm's param_groups_layer_decay knows one stack of blocks per model, none with a rate above the
    peak, and orders the weights in another way than older checkpoints do.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    others = () if auxiliaries is None else auxiliaries.named_parameters(prefix=AUXILIARY[:-1])
    for name, parameter in chain(model.named_parameters(), others):
        if parameter.requires_grad:
            is_matrix = parameter.ndim > 1 and not any(part in name for part in UNDECAYED)
            weight_decay = rates.weight_decay if is_matrix else 0.0
            groups.setdefault((_factor(name, model, rates, fresh), weight_decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": rates.peak * factor, "weight_decay": weight_decay, "factor": factor}
            for (factor, weight_decay), parameters in groups.items()
        ],
        betas=(0.9, 0.999),
    )


def _factor(name: str, model: Model, rates: Rates, fresh: tuple[str, ...]) -> float:
    """Return a weight's share of the peak rate, from its name."""
    name = _EXIT.sub("", name)  # each exit of a cascade is a whole ViT
    if name.startswith((*fresh, AUXILIARY)):
        return rates.fresh
    if name.startswith("selector."):
        depth, name = model.config.selector_depth, name.removeprefix("selector.backbone.")
    else:
        depth, name = model.config.extractor_depth, name.removeprefix("extractor.")
    if name.startswith("blocks."):
        return rates.layer_decay ** (depth - 1 - int(name.split(".")[1]))
    return 1.0 if name.startswith(_LAST) else rates.layer_decay**depth


def set_rates(optimizer: Any, rates: Rates, step: int, steps: int) -> float:
    """Set the learning rates of a step: a linear rise, then a cosine to the floor. Return the share of the peak."""
    warmup = max(1, round(rates.warmup * steps))
    if step < warmup:
        share = (step + 1) / warmup
    else:
        progress = (step - warmup) / max(1, steps - warmup)
        share = rates.floor + (1 - rates.floor) * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = rates.peak * group["factor"] * share
    return share
