"""Labels for whole pictures: one, or several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from lookwhere_cli.errors import ModelError
from lookwhere_cli.images.view import View
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Label
from lookwhere_cli.probabilities import sigmoid, softmax

Activation = Callable[[Float32[ndarray, "*batch labels"]], Float32[ndarray, "*batch labels"]]


@dataclass(frozen=True)
class ClassifyHead:
    """Names the most probable labels of a picture. top: how many of them are kept."""

    config: Config
    top: int = 5

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits."""
        return self.config.labels

    @property
    def verb(self) -> str:
        """What a model with this head does."""
        return "gives several labels" if self.config.multi_label else "gives one label"

    @property
    def activation(self) -> Activation:
        """From logits to probabilities: softmax, or sigmoid for several labels."""
        return sigmoid if self.config.multi_label else softmax

    @property
    def labels_pictures(self) -> bool:
        """Pictures have labels."""
        return True

    def check(self, command: str, model: str) -> None:
        """Raise ModelError for any command but classify."""
        if command != "classify":
            raise ModelError(
                f"The model {model!r} can't {command} pictures: it classifies them; choose another one, or train one "
                "with lookwhere train."
            )

    def decode(self, output: Float32[ndarray, " labels"], view: View) -> tuple[Label, ...]:
        """Return the most probable labels, best first."""
        return self.picture_labels(output)

    def picture_labels(self, output: Float32[ndarray, " labels"]) -> tuple[Label, ...]:
        """Return the most probable labels, best first."""
        return self.name(self.activation(output[None]))[0]

    def name(self, probabilities: Float32[ndarray, "batch labels"]) -> list[tuple[Label, ...]]:
        """Return the `top` most probable labels of each picture, best first."""
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self.top]
        values = np.take_along_axis(probabilities, best, axis=1)
        return [
            tuple(Label(self.labels[index], index, value) for index, value in zip(*picture, strict=True))
            for picture in zip(best.tolist(), values.tolist(), strict=True)
        ]

    def row_fields(self, result: Sequence[Label]) -> dict[str, Any]:
        """The labels."""
        return {"labels": tuple(result)}

    def count_macs(self, config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int) -> int:
        """Multiply-adds of a pass to the logits."""
        return passes.count_image(config, grid, thumbnail_grid, k, coarse).total

    def count_full(self, config: Config, grid: Grid) -> int:
        """Multiply-adds of the full ViT with its linear head."""
        return passes.count_full(config, grid)

    def describe(self) -> str:
        """The number of labels."""
        several = ", several to a picture" if self.config.multi_label else ""
        return f"{len(self.labels)} labels{several}"

    @property
    def hub_pipeline(self) -> str:
        """The Hub's name for classification."""
        return "image-classification"

    def command(self) -> str:
        """Classify one photograph."""
        return "classify photo.jpg"
