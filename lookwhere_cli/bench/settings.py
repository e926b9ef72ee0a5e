"""What all subjects are measured with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lookwhere_cli.checkpoints.layout import DEFAULT_DETECTOR

if TYPE_CHECKING:
    from lookwhere_cli.data.examples import LabelledSet


@dataclass(frozen=True)
class LargeInputs:
    """What the subject `large` is measured on, besides what it makes.

    raster: path or address of a raster; None to leave it out. boxes: a set of boxes, from whose photographs a mosaic is
    made; None to leave it out. label_column, label_map: as in `read_examples`. detector: the model that finds them.
    mosaic: photographs in the mosaic.
    """

    raster: str | None = None
    boxes: Path | None = None
    label_column: str | None = None
    label_map: Path | None = None
    detector: str = DEFAULT_DETECTOR
    mosaic: int = 900

    def read_boxes(self) -> LabelledSet:
        """Read the set of boxes. Raises UsageError, DataError as `read_examples` does."""
        from lookwhere_cli.data.read import read_examples

        assert self.boxes is not None
        return read_examples(self.boxes, label_column=self.label_column, label_map=self.label_map)


@dataclass(frozen=True)
class BenchSettings:
    """The model, the photographs, the device, and how often everything is measured.

    photographs: about 500 x 375 pixels each; `start` reads the first of them. large: for the subject of that name.
    """

    model: str
    photographs: tuple[Path, ...]
    device: str = "auto"
    rounds: int = 5
    large: LargeInputs | None = None
