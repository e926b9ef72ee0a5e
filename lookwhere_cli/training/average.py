"""How the average of a run's weights, which is saved, follows the weights.

torch's AveragedModel computes it, and stores the number of updates with it. timm's ModelEmaV3 has an equal warm-up, but
does not store that number, which a resumed run needs; so the rule of `growing_decay` is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

Tensors: TypeAlias = "tuple[Tensor, ...] | list[Tensor]"
AverageRule: TypeAlias = Callable[[Tensors, Tensors, "Tensor | int"], None]
"""Updates averaged tensors from current ones; the last argument is the number of updates so far."""


def growing_decay(decay: float) -> AverageRule:
    """Return an exponential moving average whose decay grows to `decay`, 0..1, as (1 + steps) / (10 + steps).

    So it always reaches back over a share of the steps done, and follows runs of few steps as well.
    """

    def update(averaged: Tensors, current: Tensors, steps: Tensor | int) -> None:
        """Move the averages towards the current weights, in place. steps: done before this one."""
        done = int(steps)
        get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(averaged, current, steps)

    return update
