"""The parts that answer pictures together, and what all that is done with them has in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.errors import ModelError, PictureError
from lookwhere_cli.heads.base import Head
from lookwhere_cli.images.names import picture_name
from lookwhere_cli.images.view import Picture, View
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.coarse import count_coarse
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Row
from lookwhere_cli.reader import OpenedPicture, PictureReader
from lookwhere_cli.runtimes.base import Runtime
from lookwhere_cli.strategies.base import Batch, Outcome, Strategy
from lookwhere_cli.stream import StreamOptions, Work, largest_batch, stream

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class ModelInfo:
    """Where a model came from. revision: the commit that it was pulled at, or the short hash of its weights."""

    name: str
    revision: str
    folder: Path


class Answer(NamedTuple):
    """A picture's row, the view that it was read through, and the head's result.

    view and result are None for a picture that can't be read.
    """

    row: Row
    view: View | None = None
    result: Any = None


@dataclass(frozen=True)
class Pipeline:
    """What computes (runtime), which cells are read (strategy), what the output means (head), how pictures open."""

    runtime: Runtime
    strategy: Strategy
    head: Head
    reader: PictureReader
    info: ModelInfo
    options: StreamOptions

    @property
    def config(self) -> Config:
        """The model's config."""
        return self.runtime.config

    def run(
        self,
        pictures: Iterable[Picture],
        begin: Callable[[Batch], S],
        finish: Callable[[S], Sequence[T]],
        fail: Callable[[Picture, str], T],
    ) -> Generator[T, None, None]:
        """Yield a result for each picture, in order; see `stream.Work` for the functions.

        If the pixels of a picture can't be read, the others of its batch are begun again one by one.
        """

        def finish_all(begun: tuple[Batch, S]) -> Sequence[T]:
            """Finish a batch; where pixels can't be read, each of its pictures alone."""
            batch, state = begun
            try:
                return finish(state)
            except PictureError as error:
                if len(batch.pictures) == 1:
                    return [fail(batch.pictures[0].view.path, str(error))]
                alone = (batch.at([place]) for place in range(len(batch.pictures)))
                return [result for one in alone for result in finish_all((one, begin(one)))]

        work = Work(self.reader.prepare, lambda batch: (batch, begin(batch)), finish_all, fail, self.largest_batch)
        return stream(pictures, work, self.options)

    def refusal(self, what: str) -> ModelError:
        """Return the error for something that the strategy can't do: "features", "an explanation"."""
        return ModelError(f"The model {self.info.name!r} {self.strategy.summary}, so {what} can't be computed.")

    def largest_batch(self, grid: Grid) -> int:
        """Return how many pictures of `grid` a batch may hold."""
        return largest_batch(self.strategy.tokens(grid), self.config.dim, self.options.batch_size)

    def coarse_count(self, grid: Grid, k: int) -> int:
        """Return how many coarse patches are read beside k cells of a picture of `grid`."""
        return count_coarse(self.config, self.reader.coarse_cells(grid), k, math.prod(grid))

    def check_numbers(self, view: View, *computed: NDArray[Any]) -> None:
        """Raise PictureError if the model computed NaN or infinity for a picture: it says nothing about it."""
        if not all(np.isfinite(array).all() for array in computed):
            raise PictureError(
                f"{view.path!r}: the model {self.info.name!r} computed no numbers (NaN or infinity); use --dtype "
                "float32, or other weights."
            )

    def row(self, picture: OpenedPicture, outcome: Outcome, place: int, seconds: float) -> Row:
        """Write the row of the picture at this place of its batch, without the head's fields.

        seconds: the picture's share of the time that its batch took; what opening took is added.
        """
        view, grid, cells = picture.view, outcome.grids[place], outcome.cells[place]
        time, frame = view.moment or (None, None)
        rows, columns = (indices.tolist() for indices in np.unravel_index(cells, grid))
        coarse = self.coarse_count(view.grid, len(cells))
        return Row(
            path=view.path,
            width=view.size[1],
            height=view.size[0],
            model=self.info.name,
            revision=self.info.revision,
            k=len(cells),
            grid=grid,
            cells=tuple(zip(rows, columns, strict=True)),
            macs=outcome.macs[place],
            macs_full=self.head.count_full(self.config, view.grid),
            seconds=picture.seconds + seconds,
            coarse=self.reader.coarse_grid(view.grid) if coarse else None,
            coarse_k=coarse or None,
            exit=outcome.exits[place],
            note="; ".join((*view.notes, *self.strategy.notes(view.grid), *outcome.notes_of(place))) or None,
            time=time,
            frame=frame,
        )


def failed_answer(picture: Picture, sentence: str) -> Answer:
    """Return the answer for a picture that can't be read: a row with `error`."""
    return Answer(Row(picture_name(picture), error=sentence))
