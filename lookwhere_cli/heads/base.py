"""What a head is: all that differs from task to task, once the extractor has answered."""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

from jaxtyping import Float32, Int
from numpy import ndarray

from lookwhere_cli.errors import ModelError
from lookwhere_cli.images.view import View
from lookwhere_cli.metrics.scores import PairedMetric, Scorer, Truth
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.options import Options
from lookwhere_cli.output.rows import Detection, Label


class Head(Protocol):
    """Turns a picture's output into a result. A new task is one file with such a class, and a line in the registry."""

    @property
    def config(self) -> Config:
        """The model's config."""
        ...

    @property
    def verb(self) -> str:
        """What a model with this head does, for sentences: "segments pictures"."""
        ...

    def decode(self, output: Float32[ndarray, "*output"], view: View) -> Any:
        """Turn the output of one picture into its result."""
        ...

    @property
    def labels_pictures(self) -> bool:
        """True if the model gives labels to a picture as a whole."""
        ...

    def picture_labels(self, output: Float32[ndarray, "*output"]) -> tuple[Label, ...]:
        """Return the labels of a picture as a whole, most probable first; none for any other task."""
        ...

    @property
    def labeller(self) -> Head:
        """The head that labels pictures as a whole; this one, unless the model answers something else, too."""
        ...

    def with_options(self, options: Options, model: str) -> Head:
        """Return the head as a user wants it. Raises UsageError for options that do not fit the model."""
        ...

    def boxes(self, output: Float32[ndarray, "*output"], view: View) -> tuple[Detection, ...] | None:
        """Return the boxes in a picture, best first; None for any other task."""
        ...

    def check(self, command: str, model: str) -> None:
        """Raise ModelError unless a model with this head can do what the command does: "classify", "segment"."""
        ...

    def row_fields(self, result: Any) -> dict[str, Any]:
        """Return the fields of `Row` that tell the result; its "note" and "macs" are added to those of the pass."""
        ...

    def count_macs(self, config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int) -> int:
        """Multiply-adds of a pass with k cells of `grid` and `coarse` coarse patches."""
        ...

    def count_full(self, config: Config, grid: Grid) -> int:
        """Multiply-adds of the full ViT with this head on all cells of `grid`, as timm computes it."""
        ...

    def describe(self) -> str:
        """Say in a few words what the model answers, for its card: "1000 labels"."""
        ...

    @property
    def hub_pipeline(self) -> str:
        """The Hub's name for what the model does: "image-classification"."""
        ...

    def command(self) -> str:
        """Return the arguments of `lookwhere` that use such a model on a folder or photograph."""
        ...


@runtime_checkable
class ScoredHead(Head, Protocol):
    """A head whose results can be compared with the truth about labelled pictures."""

    @property
    def is_dense(self) -> bool:
        """True if the output has a place for every cell, so that cells which pruning drops must come back."""
        ...

    def scored_by(self, kind: str) -> ScoredHead:
        """Return the head that answers labelled data of a kind; this one, unless the model answers several kinds."""
        ...

    def for_scoring(self) -> ScoredHead:
        """Return the head as it answers when it is scored, which may be more than users want to see."""
        ...

    def check_data(self, kind: str, mode: str, model: str) -> None:
        """Raise ModelError for labelled data of a kind that tells nothing about such results.

        kind: "single", "multi", "masks" or "boxes". mode: how pictures are read. Raises UsageError for a mode that
        leaves out pixels which the truth is about.
        """
        ...

    def measure(self, output: Float32[ndarray, "*output"], truth: Truth, view: View) -> Any:
        """Reduce the output of one picture, read through a view, to what the scorer needs. Raises PictureError."""
        ...

    def scorer(self, classes: Int[ndarray, " classes"]) -> Scorer:
        """Make a scorer. classes: the model's label for each of the data's classes."""
        ...

    def paired_metric(self, classes: Int[ndarray, " classes"]) -> PairedMetric:
        """Make the metric by which methods are compared. Raises DataError if there is none."""
        ...


_KINDS = {
    "single": "one label for each picture",
    "multi": "several labels for each picture",
    "masks": "masks",
    "boxes": "boxes",
}


class OneAnswer:
    """What all heads have in common whose models answer one kind of data, without options of their own."""

    @property
    def labeller(self) -> Self:
        """The head that labels pictures as a whole."""
        return self

    def with_options(self, options: Options, model: str) -> Self:
        """Return the head as a user wants it."""
        return self

    def boxes(self, output: Float32[ndarray, "*output"], view: View) -> tuple[Detection, ...] | None:
        """No boxes."""
        return None

    def for_scoring(self) -> Self:
        """Return this head."""
        return self

    def scored_by(self, kind: str) -> Self:
        """Return the head that answers labelled data of a kind."""
        return self


def wrong_data(model: str, verb: str, kind: str, hint: str = "") -> ModelError:
    """Return the error for labelled data of another kind than the model's."""
    return ModelError(f"The model {model!r} {verb}, but the data have {_KINDS[kind]}{hint}; choose another model.")
