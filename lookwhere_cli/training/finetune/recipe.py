"""The recipe of a fine-tuning run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lookwhere_cli.amounts import plain_number
from lookwhere_cli.training.augment import Augmentation
from lookwhere_cli.training.finetune.batches import AmountRange
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.finetune.steering import Steering
from lookwhere_cli.training.optim import Rates


@dataclass(frozen=True)
class FineTuning:
    """All settings of a fine-tuning; training.json holds them, and a resumed run must have the same."""

    epochs: int = 30
    batch: int = 32
    """Pictures in a step, over all processes."""
    k: AmountRange = (0.25, 0.5)
    """Cells that are read, drawn evenly for each step."""
    added: AmountRange | None = None
    """Cells that a second look adds, drawn evenly; None for no second look."""
    shape: Shape = field(default_factory=Shape)
    steering: Steering = "frozen"
    augmentation: Augmentation = field(default_factory=Augmentation)
    rates: Rates = field(default_factory=lambda: Rates(peak=3e-4, layer_decay=0.75))
    balance: float = 0.5
    """Weight of rare classes: (median frequency / their own) ^ balance; 0 weighs all alike."""
    average: float = 0.99
    """Decay of the weights' moving average, which is scored and saved."""
    patience: int = 0
    """Epochs without a better score after which the run ends; 0 for never."""
    validate_every: int = 1
    """Every how many epochs the model is scored on the validation pictures; the last epoch is always scored."""
    precision: str = "no"
    """accelerate's mixed precision: no, bf16."""
    seed: int = 0
    extended: tuple[int, ...] = ()
    """Epochs of the earlier runs that this one goes on from, rising; each part of the epochs has its own schedule."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON returns them; `extended` only if there is an earlier run.

        What older versions did not know is left out where it has no effect, so that their runs can be resumed.
        """
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=plain_number))
        if not self.extended:
            del plain["extended"]
        if not self.augmentation.turn:
            del plain["augmentation"]["turn"]
        if not self.augmentation.mosaic:
            del plain["augmentation"]["mosaic"]
        if self.validate_every == 1:
            del plain["validate_every"]
        if self.shape.points == Shape.points:
            del plain["shape"]["points"]
        if not self.shape.masks:
            del plain["shape"]["masks"]
        return plain

    def going_on_from(self, stored: Mapping[str, Any]) -> FineTuning:
        """Return the recipe that goes on from a run, if that has fewer epochs; `stored` is that run's recipe."""
        extended = tuple(stored.get("extended", ()))
        epochs = stored.get("epochs", self.epochs)
        return replace(self, extended=(*extended, epochs) if epochs < self.epochs else extended)

    @property
    def earlier(self) -> FineTuning | None:
        """The recipe of the run that this one goes on from; None for a run of its own."""
        if not self.extended:
            return None
        return replace(self, epochs=self.extended[-1], extended=self.extended[:-1])
