"""A model without labels: what it computes is features, to train heads on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.errors import ModelError
from lookwhere_cli.heads.base import OneAnswer
from lookwhere_cli.images.view import View
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Label, Row


class Features(NamedTuple):
    """A picture's row, without labels, and its features, float32; None for a picture that can't be read.

    cls: (dim,), the token of the whole picture. dense: (rows, columns, dim), a token for each cell, if asked for.
    scores: (rows, columns), the selector map.
    """

    row: Row
    cls: NDArray[np.float32] | None = None
    dense: NDArray[np.float32] | None = None
    scores: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class FeaturesHead(OneAnswer):
    """Says nothing about a picture: rows have no labels."""

    config: Config

    @property
    def verb(self) -> str:
        """What a model with this head does."""
        return "computes features"

    @property
    def labels_pictures(self) -> bool:
        """Pictures have no labels."""
        return False

    def check(self, command: str, model: str) -> None:
        """Raise ModelError: there are no labels."""
        raise ModelError(f"The model {model!r} has no labels, so it can't {command}; choose another one.")

    def picture_labels(self, output: Float32[ndarray, "*output"]) -> tuple[Label, ...]:
        """No labels."""
        return ()

    def decode(self, output: Float32[ndarray, " dim"], view: View) -> None:
        """There is nothing to decode."""
        return

    def row_fields(self, result: None) -> dict[str, Any]:
        """No fields."""
        return {}

    def count_macs(self, config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int) -> int:
        """Multiply-adds of a pass to the pooled token."""
        return passes.count_image(config, grid, thumbnail_grid, k, coarse).total

    def count_full(self, config: Config, grid: Grid) -> int:
        """Multiply-adds of the full ViT without a head."""
        return passes.count_full(config, grid)

    def describe(self) -> str:
        """Features only."""
        return "features, no labels"

    @property
    def hub_pipeline(self) -> str:
        """The Hub's name for features."""
        return "image-feature-extraction"

    def command(self) -> str:
        """Show where the model looks."""
        return "features photos/ --out features.safetensors"
