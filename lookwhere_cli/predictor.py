"""The main line: pictures -> thumbnails -> selector -> cells -> patches -> extractor -> rows."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice, tee
from typing import Any, NamedTuple, TypeAlias, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lookwhere_cli.checkpoints.folder import Loaded, load_model
from lookwhere_cli.checkpoints.names import DEFAULT_CLASSIFIER
from lookwhere_cli.errors import ModelError, PictureError, UsageError
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.frame import Grid, Mode, Reading, grid_for
from lookwhere_cli.images.view import View, open_view, view_of
from lookwhere_cli.models import macs
from lookwhere_cli.models.selector import Selection, choose, kept
from lookwhere_cli.rows import Label, Row

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any]
"""A path, a PIL image, or an array of (height, width), (height, width, 3) or (height, width, 4)."""

WINDOW = 4  # batches' worth of pictures in which those of one grid find each other


def load(
    model: str = DEFAULT_CLASSIFIER,
    *,
    k: int | float | None = None,
    size: int | None = None,
    mode: Mode = "whole",
    top: int = 5,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int = 16,
    workers: int | None = None,
    max_pixels: int = Reading.max_pixels,
    background: tuple[int, int, int] = Reading.background,
) -> Predictor:
    """Load a model, ready to classify.

    Args:
        model: a bundled model's name, or a folder that holds one.
        k: cells to read: a count (int: 1 is one cell) or a share of the picture's grid (float: 1.0 is all of it);
            by default the model's own.
        size: the grid holds about size x size pixels; a multiple of the model's patch, by default the model's own.
        mode: "whole" reads all of the picture at its own shape, "crop" the centre square, "stretch" all, squashed.
        top: labels to keep of each answer.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", ...
        dtype: "float32", "bfloat16" or "float16".
        batch_size: pictures that go through the model together.
        workers: threads that decode, by default one per core.
        max_pixels: a picture with more is refused.
        background: (red, green, blue), 0..255, behind what is transparent.

    Raises UsageError for a value that can't be, ModelError for a model that can't be used.
    """
    loaded = load_model(model, device, dtype)
    config = loaded.config
    size = _whole_patches(size or config.size, config.patch)
    return Predictor(
        loaded,
        Reading(config.patch, size, mode, config.crop_share, config.thumbnail_filter, max_pixels, background),
        k=config.k if k is None else _possible(k, size, config.patch),
        top=_at_least_one("top", top),
        batch_size=_at_least_one("batch size", batch_size),
        workers=_at_least_one("number of workers", os.cpu_count() or 1 if workers is None else workers),
    )


class Answer(NamedTuple):
    """A picture's row, and the view that it was read through; none for a picture that can't be read."""

    row: Row
    view: View | None


class Glimpse(NamedTuple):
    """A picture's thumbnail, (height, width, 3) in 0..255, and the view that gives the rest."""

    view: View
    thumbnail: NDArray[Any]
    seconds: float


class Predictor:
    """A model and how it is to be used. `lookwhere_cli.load` makes one.

    k is a count of cells (int) or a share of a picture's grid (float); `top` labels are kept of each answer.
    """

    def __init__(
        self, loaded: Loaded, reading: Reading, *, k: int | float, top: int, batch_size: int, workers: int
    ) -> None:
        self.loaded, self.reading, self.k, self.top = loaded, reading, k, top
        self.batch_size, self.workers = batch_size, workers
        self.model, self.config = loaded.model, loaded.config
        self._scale, self._shift = self._normalisation()

    @overload
    def classify(self, pictures: Picture) -> Row: ...  # type: ignore[overload-overlap] # a str is a path first
    @overload
    def classify(self, pictures: Iterable[Picture]) -> Iterator[Row]: ...
    def classify(self, pictures: Picture | Iterable[Picture]) -> Row | Iterator[Row]:
        """A row for one picture; for many, an iterator of rows in their order.

        A picture that can't be read gives a row with `error`. Raises ModelError for a model without labels.
        """
        if isinstance(pictures, str | os.PathLike | Image.Image | np.ndarray):
            return next(self.answers([pictures])).row
        return (answer.row for answer in self.answers(pictures))

    def answers(self, pictures: Iterable[Picture]) -> Iterator[Answer]:
        """The rows that `classify` gives, each with its view. Raises ModelError for a model without labels."""
        if not self.config.labels:
            raise ModelError(f"The model {self.loaded.name!r} has no labels, so it can't classify; choose another one.")
        return self._answers(pictures)

    def _answers(self, pictures: Iterable[Picture]) -> Iterator[Answer]:
        """Threads open the pictures that come next while the model answers a window of them."""
        ahead, behind = tee(pictures)
        with closing(read_ahead(ahead, self.glimpse, self.workers, self.batch_size)) as glimpses:
            opened = zip(behind, glimpses, strict=False)
            while window := list(islice(opened, WINDOW * self.batch_size)):
                yield from self._answer_window(window)

    def _answer_window(self, window: Sequence[tuple[Picture, Glimpse | PictureError]]) -> Iterator[Answer]:
        answers, by_grid = {}, defaultdict[Grid, list[tuple[int, Glimpse]]](list)
        for place, (picture, glimpse) in enumerate(window):
            if isinstance(glimpse, PictureError):
                answers[place] = Answer(Row(name_of(picture), error=str(glimpse)), None)
            else:
                by_grid[glimpse.view.grid].append((place, glimpse))
        for alike in by_grid.values():
            for start in range(0, len(alike), self.batch_size):
                places, batch = zip(*alike[start : start + self.batch_size], strict=True)
                answers.update(zip(places, self._answer(batch), strict=True))
        return (answers[place] for place in range(len(window)))

    def _answer(self, glimpses: Sequence[Glimpse]) -> list[Answer]:
        """Pictures of one grid, together: where to look, what lies there, what that is."""
        started = time.perf_counter()
        views = [glimpse.view for glimpse in glimpses]
        grid = views[0].grid
        with torch.inference_mode():
            selection = self.select([glimpse.thumbnail for glimpse in glimpses], grid)
            cells = choose(selection.map, kept(self.k, grid[0] * grid[1]))
            read = cells.cpu().numpy()
            patches = [view.patches(chosen) for view, chosen in zip(views, read, strict=True)]
            labels = self.extract(patches, cells, grid, selection.prefix_tokens)
        share = (time.perf_counter() - started) / len(views)
        rows = map(self.row, views, read, labels, [glimpse.seconds + share for glimpse in glimpses])
        return [Answer(row, view) for row, view in zip(rows, views, strict=True)]

    def glimpse(self, picture: Picture) -> Glimpse:
        """Open a picture and make its thumbnail. Raises PictureError."""
        started = time.perf_counter()
        view = self.view(picture)
        rows, columns = self.thumbnail_grid(view.grid)
        thumbnail = view.thumbnail(rows * self.config.patch, columns * self.config.patch)
        return Glimpse(view, thumbnail, time.perf_counter() - started)

    def select(self, thumbnails: Sequence[NDArray[Any]], grid: Grid) -> Selection:
        """Where to look on `grid`, from thumbnails (height, width, 3) in 0..255 of one shape."""
        return self.model.select(self._normalised(thumbnails), grid)

    def extract(
        self, patches: Sequence[NDArray[np.uint8]], cells: Tensor, grid: Grid, prefix_tokens: Tensor
    ) -> list[tuple[Label, ...]]:
        """Each picture's labels, most probable first, from its (k, patch, patch, 3) pixels at `cells` (batch, k)."""
        cls = self.model.extract(self._normalised(patches), cells, grid, prefix_tokens)
        logits = self.model.logits(cls).float()
        probabilities = logits.sigmoid() if self.config.multi_label else logits.softmax(dim=-1)
        best = probabilities.topk(min(self.top, len(self.config.labels)))
        return [
            tuple(Label(self.config.labels[index], index, value) for index, value in zip(*answer, strict=True))
            for answer in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def view(self, picture: Picture) -> View:
        """Open a picture as this predictor reads it. Raises PictureError."""
        if isinstance(picture, str | os.PathLike):
            return open_view(picture, self.reading)
        return view_of(picture, self.reading, name_of(picture))

    def thumbnail_grid(self, grid: Grid) -> Grid:
        """The thumbnail's (rows, columns) of patches: about as many as the model was made for, shaped like `grid`."""
        return grid_for(*grid, self.config.thumbnail_size, self.config.patch)

    def macs(self, grid: Grid, k: int) -> int:
        """Multiply-adds for one picture, with k cells of `grid` read."""
        return macs.count(self.config, grid, self.thumbnail_grid(grid), k).total

    def row(self, view: View, cells: NDArray[np.int64], labels: tuple[Label, ...], seconds: float) -> Row:
        """The record of a picture that was read at `cells` (k,), best first."""
        rows, columns = (indices.tolist() for indices in np.unravel_index(cells, view.grid))
        return Row(
            path=view.path,
            width=view.size[1],
            height=view.size[0],
            model=self.loaded.name,
            revision=self.loaded.revision,
            k=len(cells),
            grid=view.grid,
            cells=tuple(zip(rows, columns, strict=True)),
            labels=labels,
            macs=self.macs(view.grid, len(cells)),
            macs_full=macs.full(self.config, view.grid),
            seconds=seconds,
            note="; ".join(view.notes) or None,
        )

    def _normalised(self, pixels: Sequence[NDArray[Any]]) -> Tensor:
        """(..., height, width, 3) in 0..255 of each picture, to (batch, ..., 3, height, width) as the model has it."""
        batch = torch.from_numpy(np.stack(pixels)).to(self.loaded.device).movedim(-1, -3)
        return batch.to(self.loaded.dtype).mul(self._scale).add(self._shift)

    def _normalisation(self) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(value)[:, None, None] for value in (self.config.mean, self.config.std))
        device, dtype = self.loaded.device, self.loaded.dtype
        return (1 / (255 * std)).to(device, dtype), (-mean / std).to(device, dtype)


def name_of(picture: Picture) -> str:
    """What a picture's row calls it: its path, or the file that a PIL image was opened from, or nothing."""
    if isinstance(picture, str | os.PathLike):
        return os.fsdecode(picture)
    return str(getattr(picture, "filename", ""))


def _possible(k: int | float, size: int, patch: int) -> int | float:
    """The k as given. Raises UsageError for one that no picture of this size can be read with."""
    cells = (size // patch) ** 2
    try:
        kept(k, cells)
    except ValueError as failure:
        raise UsageError(f"{failure}.") from failure
    if k > cells:
        raise UsageError(f"k = {k} is more than the {cells} cells of {size} x {size} pixels; give at most {cells}.")
    return k


def _whole_patches(size: int, patch: int) -> int:
    below = size // patch * patch
    if size < patch or size != below:
        near = f"{below} or {below + patch}" if below else f"{patch}"
        raise UsageError(f"The size {size} is no multiple of the model's patch, {patch} pixels; take {near}.")
    return size


def _at_least_one(what: str, value: int) -> int:
    if value < 1:
        raise UsageError(f"The {what} is {value}; it must be at least 1.")
    return value
