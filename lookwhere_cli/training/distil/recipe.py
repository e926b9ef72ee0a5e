"""The recipe of a distillation, and the config of the student that it trains."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from lookwhere_cli.amounts import Amount, AmountLike
from lookwhere_cli.models.config import Config, Prefix
from lookwhere_cli.sizes import check_multiple_of_patch
from lookwhere_cli.training.distil.losses import PatchLoss, Weights
from lookwhere_cli.training.distil.teacher import MapRecipe
from lookwhere_cli.training.distil.views import ViewRecipe
from lookwhere_cli.training.optim import Rates
from lookwhere_cli.training.timm_models import TimmViT, config_of


@dataclass(frozen=True)
class Pretraining:
    """All settings of a distillation; training.json holds them, and a resumed run must have the same."""

    steps: int
    batch: int = 64
    """Views in a step, over all processes."""
    views: ViewRecipe = field(default_factory=ViewRecipe)
    thumbnail_size: int = 112
    """Side of the selector's thumbnail in pixels."""
    selector_depth: int = 3
    registers: int = 0
    """Learnt tokens that the student has beside those of the first teacher."""
    prefix: Prefix = "add"
    map_recipe: MapRecipe = field(default_factory=MapRecipe)
    map_spacing: float = 0.0
    """See `Config.map_spacing`."""
    weights: Weights = field(default_factory=Weights)
    patch_loss: PatchLoss = "spread"
    rates: Rates = field(default_factory=Rates)
    average: float = 0.999
    """Decay of the weights' moving average, which is saved."""
    precision: str = "no"
    """accelerate's mixed precision: no, bf16."""
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON returns them.

        What older versions did not know is left out where it has no effect, so that their runs can be resumed.
        """
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if not self.registers:
            del plain["registers"]
        if not self.map_spacing:
            del plain["map_spacing"]
        if self.map_recipe.sinks:
            del plain["map_recipe"]["sinks"]
        if not self.views.colour:
            del plain["views"]["colour"]
        return plain


def student_config(teacher: TimmViT, recipe: Pretraining, labels: tuple[str, ...], k: AmountLike) -> Config:
    """Return the teacher's config at the recipe's first size, with a selector for its thumbnail.

    labels: of the head; none for a model of features. Raises UsageError for a size that is no multiple of the patch.
    """
    config = config_of(teacher)
    patch = config.patch
    check_multiple_of_patch("thumbnail size", recipe.thumbnail_size, patch)
    for size in recipe.views.sizes:
        check_multiple_of_patch("size", size, patch)
    side, thumbnail = recipe.views.sizes[0] // patch, recipe.thumbnail_size // patch
    return replace(
        config,
        registers=config.registers + recipe.registers,
        grid=(side, side),
        thumbnail_grid=(thumbnail, thumbnail),
        map_scale=-(-max(recipe.views.sizes) // recipe.thumbnail_size),
        map_spacing=recipe.map_spacing,
        coarse_patches="unread",
        selector_depth=recipe.selector_depth,
        prefix=recipe.prefix,
        labels=labels,
        task="classify" if labels else "features",
        k=Amount.parse(k),
    )
