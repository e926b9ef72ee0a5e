"""What a head is: all that differs from task to task, once the extractor has answered."""

from __future__ import annotations

from typing import Any, Protocol

from jaxtyping import Float32
from numpy import ndarray

from lookwhere_cli.images.view import View
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Label


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

    def check(self, command: str, model: str) -> None:
        """Raise ModelError unless a model with this head can do what the command does: "classify", "segment"."""
        ...

    def row_fields(self, result: Any) -> dict[str, Any]:
        """Return the fields of `Row` that tell the result."""
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
