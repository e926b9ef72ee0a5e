"""Labels for whole pictures: one, or several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from lookwhere_cli.errors import DataError, ModelError
from lookwhere_cli.heads.base import OneAnswer, wrong_data
from lookwhere_cli.heads.pooling import LabelPool
from lookwhere_cli.images.view import View
from lookwhere_cli.macs import passes
from lookwhere_cli.metrics.scores import PairedMetric, Scorer, Truth
from lookwhere_cli.metrics.several_labels import SeveralLabelsScorer
from lookwhere_cli.metrics.single_label import PairedAccuracy, SingleLabelScorer
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.options import Options
from lookwhere_cli.output.rows import Label, Row
from lookwhere_cli.probabilities import sigmoid, softmax

Activation = Callable[[Float32[ndarray, "*batch labels"]], Float32[ndarray, "*batch labels"]]


class PictureLabels(tuple[Label, ...]):
    """The most probable labels of a picture, best first.

    probabilities: (labels,) float32, of all labels.
    """

    probabilities: Float32[ndarray, " labels"]

    def __new__(cls, labels: Iterable[Label], probabilities: Float32[ndarray, " labels"]) -> PictureLabels:
        """Make the tuple of `labels`, with all probabilities beside them."""
        made = super().__new__(cls, labels)
        made.probabilities = probabilities
        return made


@dataclass(frozen=True)
class ClassifyHead(OneAnswer):
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

    def with_options(self, options: Options, model: str) -> ClassifyHead:
        """Return the head with the number of labels that a user wants."""
        return replace(self, top=options.top)

    def check(self, command: str, model: str) -> None:
        """Raise ModelError for any command but classify."""
        if command != "classify":
            raise ModelError(
                f"The model {model!r} can't {command} pictures: it classifies them; choose another one, or train one "
                "with lookwhere train."
            )

    def decode(self, output: Float32[ndarray, "*output"], view: View) -> PictureLabels:
        """Return the most probable labels, best first."""
        probabilities = self.probabilities(output)
        return PictureLabels(self.name(probabilities[None])[0], probabilities)

    def picture_labels(self, output: Float32[ndarray, "*output"]) -> tuple[Label, ...]:
        """Return the most probable labels, best first."""
        return self.name(self.probabilities(output)[None])[0]

    def probabilities(self, output: Float32[ndarray, "*output"]) -> Float32[ndarray, " labels"]:
        """Return the probability of every label."""
        return self.activation(output)

    def moved(self, result: PictureLabels, right: int, down: int) -> PictureLabels:
        """Return the same labels: they have no place."""
        return result

    def result_of(self, row: Row) -> None:
        """None: a row has only the most probable labels."""

    def pool(self) -> LabelPool:
        """Collect the labels of windows."""
        return LabelPool(self.name, self.config.multi_label)

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

    @property
    def is_dense(self) -> bool:
        """The output is of the picture as a whole."""
        return False

    def check_data(self, kind: str, mode: str, model: str) -> None:
        """Raise ModelError unless pictures have one label or, for a model that gives several, several."""
        if kind != ("multi" if self.config.multi_label else "single"):
            hint = " (for several, read them with --multi-label)" if kind == "single" else ""
            raise wrong_data(model, self.verb, kind, hint)

    def measure(self, output: Float32[ndarray, "*output"], truth: Truth, view: View) -> Float32[ndarray, " labels"]:
        """Return the probabilities."""
        return self.probabilities(output)

    def scorer(self, classes: Int[ndarray, " classes"]) -> Scorer:
        """Score labels."""
        if self.config.multi_label:
            return SeveralLabelsScorer(classes)
        return SingleLabelScorer(classes, len(self.labels))

    def paired_metric(self, classes: Int[ndarray, " classes"]) -> PairedMetric:
        """Compare top-1 accuracies. Raises DataError for several labels."""
        if self.config.multi_label:
            raise DataError(
                "Several labels for each picture can't be compared, since a cascade gives one; read the data as "
                "single labels."
            )
        return PairedAccuracy()
