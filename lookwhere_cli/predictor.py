"""The main line: pictures -> thumbnails -> selector -> cells -> patches -> extractor -> rows."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice, tee
from typing import Any, NamedTuple, TypeAlias, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lookwhere_cli.amounts import Amount
from lookwhere_cli.answers import Answer, Explanation, Features, Laps
from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.errors import ModelError, PictureError, UsageError
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.frame import Grid, Reading, grid_for
from lookwhere_cli.images.view import View, open_view, view_of
from lookwhere_cli.macs import passes as macs
from lookwhere_cli.models.chosen import Chosen, Coarse, Selection
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning.cropr import surviving
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.spread import spread
from lookwhere_cli.models.vit import cut
from lookwhere_cli.output.rows import Label, Row

Picture: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any]
"""A path, a PIL image, or an array of (height, width), (height, width, 3) or (height, width, 4)."""
Patches: TypeAlias = Sequence[NDArray[np.uint8]]
"""The pixels of some cells of each picture, (k, patch, patch, 3) in 0..255."""
T = TypeVar("T")

WINDOW = 2  # batches' worth of pictures in which those of one grid find each other
SHARES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # of the cells: what an explanation tries beside k itself


class Glimpse(NamedTuple):
    """A picture's thumbnails, (height, width, 3) in 0..255, the coarse one if wanted; the view that gives the rest."""

    view: View
    thumbnail: NDArray[Any]
    coarse: NDArray[Any] | None
    seconds: float


class Read(NamedTuple):
    """Of a batch of pictures of one grid: where the selector looks, the pixels there, and what is read of the whole."""

    glimpses: Sequence[Glimpse]
    started: float
    grid: Grid
    selection: Selection[Tensor]
    cells: Tensor
    patches: Patches
    coarse: Coarse[Tensor] | None


class Predictor:
    """A model and how it is to be used. `lookwhere_cli.load` makes one.

    k is a count of cells (int) or a share of a picture's grid (float); `top` labels are kept of each answer.
    """

    def __init__(self, loaded: Loaded, reading: Reading, *, k: Amount, top: int, batch_size: int, workers: int) -> None:
        self.loaded, self.reading, self.k, self.top = loaded, reading, k, top
        self.batch_size, self.workers = batch_size, workers
        self.config = loaded.config
        self._scale, self._shift = self._normalisation()

    @property
    def model(self) -> LookWhere:
        """What selects and extracts. Raises ModelError for a model that does not."""
        return self.loaded.lookwhere

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
        self._check_labels()
        return self.in_batches(pictures, self._answer, lambda row: Answer(row, None))

    def features(self, pictures: Iterable[Picture], dense: bool = False) -> Iterator[Features]:
        """The frozen features of each picture, in their order: one token for all of it or, dense, one for each cell."""
        if dense and self.reading.coarse_size and self.config.drops:
            raise UsageError("A model that drops cells for good gives no dense features beside --coarse; leave it out.")
        return self.in_batches(pictures, self._dense_features if dense else self._image_features, Features)

    def explain(self, picture: Picture) -> Explanation:
        """What lies behind the picture's row; without predictions, for a model without labels. Raises PictureError."""
        laps = Laps(self.loaded.device)
        view = self.view(picture)
        laps.end("open")
        thumbnail, second = self.thumbnail(view), self.coarse_thumbnail(view)
        laps.end("thumbnail")
        with torch.inference_mode():
            selection = self.select([thumbnail], view.grid)
            order = choose(selection.map, selection.map.shape[1])
            laps.end("select")
            read = order[0, : self.k.resolve(order.shape[1])].cpu().numpy()
            patches = view.patches(read)
            laps.end("patches")
            coarse = self.coarse([second])
            with surviving(self.model.extractor.cropr) as left:
                labels = self.extract([patches], order[:, : len(read)], view.grid, selection.prefix_tokens, coarse)[0]
            laps.end("extract")
            predictions = self._at_several_k(view, order, selection.prefix_tokens, coarse) | {len(read): labels}
        return Explanation(
            row=self.row(view, read, labels, sum(laps.seconds.values())),
            view=view,
            scores=selection.map[0].reshape(view.grid).cpu().numpy(),
            order=tuple(order[0].tolist()),
            seconds=laps.seconds,
            predictions=dict(sorted(predictions.items())),
            macs={k: self.macs(view.grid, k) for k in sorted(predictions)},
            left=tuple(int(read[place]) for place in left[0][0].tolist() if place < len(read)) if left else None,
        )

    def _at_several_k(
        self, view: View, order: Tensor, prefix_tokens: Tensor, coarse: Coarse[Tensor] | None
    ) -> dict[int, tuple[Label, ...]]:
        patches = view.patches(order[0].cpu().numpy())
        several = {Amount.share(share).resolve(len(patches)) for share in SHARES}
        if not self._labels:
            return dict.fromkeys(several, ())
        return {k: self.extract([patches[:k]], order[:, :k], view.grid, prefix_tokens, coarse)[0] for k in several}

    def in_batches(
        self,
        pictures: Iterable[Picture],
        answer: Callable[[Sequence[Glimpse]], list[T]],
        failed: Callable[[Row], T],
    ) -> Iterator[T]:
        """What `answer` makes of each picture, in their order; `failed`, from a row with `error`, of one it can't read.

        `answer` is given some pictures of one grid at a time. Threads open those that come next meanwhile.
        """
        ahead, behind = tee(pictures)
        with closing(read_ahead(ahead, self.glimpse, self.workers, self.batch_size)) as glimpses:
            opened = zip(behind, glimpses, strict=False)
            while window := list(islice(opened, WINDOW * self.batch_size)):
                yield from self._answer_window(window, answer, failed)

    def _answer_window(
        self,
        window: Sequence[tuple[Picture, Glimpse | PictureError]],
        answer: Callable[[Sequence[Glimpse]], list[T]],
        failed: Callable[[Row], T],
    ) -> Iterator[T]:
        answers: dict[int, T] = {}
        by_grid = defaultdict[Grid, list[tuple[int, Glimpse]]](list)
        for place, (picture, glimpse) in enumerate(window):
            if isinstance(glimpse, PictureError):
                answers[place] = failed(Row(name_of(picture), error=str(glimpse)))
            else:
                by_grid[glimpse.view.grid].append((place, glimpse))
        for alike in by_grid.values():
            for start in range(0, len(alike), self.batch_size):
                places, batch = zip(*alike[start : start + self.batch_size], strict=True)
                answers.update(zip(places, answer(batch), strict=True))
        return (answers[place] for place in range(len(window)))

    def _answer(self, glimpses: Sequence[Glimpse]) -> list[Answer]:
        with torch.inference_mode():
            read = self.read(glimpses)
            labels = self.extract(read.patches, read.cells, read.grid, read.selection.prefix_tokens, read.coarse)
        return [Answer(row, glimpse.view) for row, glimpse in zip(self.rows(read, labels), glimpses, strict=True)]

    def _image_features(self, glimpses: Sequence[Glimpse]) -> list[Features]:
        with torch.inference_mode():
            read = self.read(glimpses)
            cls = self.cls(read.patches, read.cells, read.grid, read.selection.prefix_tokens, read.coarse)
        tokens = cls.float().cpu().numpy()
        return list(map(Features, self.rows(read), tokens, [None] * len(tokens), _maps(read)))

    def _dense_features(self, glimpses: Sequence[Glimpse]) -> list[Features]:
        with torch.inference_mode():
            read = self.read(glimpses)
            patches, prefix_tokens = self._normalised(read.patches), read.selection.prefix_tokens
            chosen = Chosen(patches, read.cells, read.grid, prefix_tokens, read.coarse)
            tokens, cells = self.model.extract_dense(chosen)
            dense = spread(tokens.float(), cells, read.grid).unflatten(1, read.grid).cpu().numpy()
        return list(map(Features, self.rows(read, dense=True), [None] * len(dense), dense, _maps(read)))

    def read(self, glimpses: Sequence[Glimpse]) -> Read:
        """Pictures of one grid, together: where to look, and what lies there."""
        started = time.perf_counter()
        grid = glimpses[0].view.grid
        selection = self.select([glimpse.thumbnail for glimpse in glimpses], grid)
        cells = choose(selection.map, self.k.resolve(grid[0] * grid[1]))
        chosen = cells.cpu().numpy()
        patches = [glimpse.view.patches(one) for glimpse, one in zip(glimpses, chosen, strict=True)]
        coarse = self.coarse([glimpse.coarse for glimpse in glimpses])
        return Read(glimpses, started, grid, selection, cells, patches, coarse)

    def rows(self, read: Read, labels: Sequence[tuple[Label, ...]] | None = None, dense: bool = False) -> list[Row]:
        """A row for each picture, with its share of the time since it was read."""
        share = (time.perf_counter() - read.started) / len(read.glimpses)
        return [
            self.row(glimpse.view, cells, answer, glimpse.seconds + share, dense)
            for glimpse, cells, answer in zip(
                read.glimpses, read.cells.cpu().numpy(), labels or [()] * len(read.glimpses), strict=True
            )
        ]

    def glimpse(self, picture: Picture) -> Glimpse:
        """Open a picture and make its thumbnails. Raises PictureError."""
        started = time.perf_counter()
        view = self.view(picture)
        return Glimpse(view, self.thumbnail(view), self.coarse_thumbnail(view), time.perf_counter() - started)

    def select(self, thumbnails: Sequence[NDArray[Any]], grid: Grid) -> Selection[Tensor]:
        """Where to look on `grid`, from thumbnails (height, width, 3) in 0..255 of one shape."""
        return self.model.select(self._normalised(thumbnails), grid)

    def coarse(self, thumbnails: Sequence[NDArray[Any] | None]) -> Coarse[Tensor] | None:
        """What the extractor reads beside the cells, of such thumbnails of one shape; None where there are none."""
        wanted = [thumbnail for thumbnail in thumbnails if thumbnail is not None]
        if not wanted:
            return None
        (height, width, _), patch = wanted[0].shape, self.config.patch
        return Coarse(cut(self._normalised(wanted), patch), (height // patch, width // patch))

    def extract(
        self, patches: Patches, cells: Tensor, grid: Grid, prefix_tokens: Tensor, coarse: Coarse[Tensor] | None = None
    ) -> list[tuple[Label, ...]]:
        """Each picture's labels, most probable first, from its pixels at `cells` (batch, k).

        None at all for a model that does not classify.
        """
        cls = self.cls(patches, cells, grid, prefix_tokens, coarse)
        if not self._labels:
            return [()] * len(cls)
        return self.named(self.probabilities(cls))

    def named(self, probabilities: Tensor) -> list[tuple[Label, ...]]:
        """Each picture's labels, most probable first, from (batch, labels)."""
        best = probabilities.topk(min(self.top, len(self._labels)))
        return [
            tuple(Label(self._labels[index], index, value) for index, value in zip(*answer, strict=True))
            for answer in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def cls(
        self, patches: Patches, cells: Tensor, grid: Grid, prefix_tokens: Tensor, coarse: Coarse[Tensor] | None = None
    ) -> Tensor:
        """Each picture's CLS token, (batch, dim), from the same."""
        return self.model.extract(Chosen(self._normalised(patches), cells, grid, prefix_tokens, coarse))

    def class_scores(
        self, patches: Patches, cells: Tensor, grid: Grid, prefix_tokens: Tensor, coarse: Coarse[Tensor] | None = None
    ) -> Tensor:
        """The classes' scores all over each picture, (batch, classes, rows, columns) float32, from the same.

        Before softmax, on a grid some times finer than `grid`; for models that segment.
        """
        chosen = Chosen(self._normalised(patches), cells, grid, prefix_tokens, coarse)
        return self.model.segment(chosen).float()

    def probabilities(self, cls: Tensor) -> Tensor:
        """Each label's probability, (batch, labels) float32, from CLS tokens (batch, dim)."""
        logits = self.model.logits(cls).float()
        return logits.sigmoid() if self.config.multi_label else logits.softmax(dim=-1)

    def view(self, picture: Picture) -> View:
        """Open a picture as this predictor reads it. Raises PictureError."""
        return _viewed(picture, self.reading)

    def displayed(self, picture: Picture, height: int, width: int) -> NDArray[np.uint8]:
        """All of a picture at its full resolution, (height, width, 3), as displayed. Raises PictureError."""
        patch = self.config.patch
        finest = -(-max(height, width) // patch) * patch
        reading = replace(self.reading, size=finest, mode="whole", thumbnail_filter="antialias")
        return _viewed(picture, reading).thumbnail(height, width).astype(np.uint8, copy=False)

    def thumbnail(self, view: View) -> NDArray[Any]:
        """What the selector sees: (height, width, 3) in 0..255."""
        rows, columns = self.thumbnail_grid(view.grid)
        return view.thumbnail(rows * self.config.patch, columns * self.config.patch)

    def coarse_thumbnail(self, view: View) -> NDArray[Any] | None:
        """What the extractor sees of the whole beside the cells, likewise; None where it sees nothing of it."""
        grid, patch = self.coarse_grid(view.grid), self.config.patch
        return None if grid is None else view.thumbnail(grid[0] * patch, grid[1] * patch)

    def thumbnail_grid(self, grid: Grid) -> Grid:
        """The thumbnail's (rows, columns) of patches: about as many as the model was made for, shaped like `grid`."""
        return grid_for(*grid, self.config.thumbnail_size, self.config.patch)

    def coarse_grid(self, grid: Grid) -> Grid | None:
        """The (rows, columns) of patches that are read beside the cells of `grid`, shaped like it; None without any."""
        size = self.reading.coarse_size
        return grid_for(*grid, size, self.config.patch) if size else None

    def macs(self, grid: Grid, k: int, dense: bool = False) -> int:
        """Multiply-adds for one picture, with k cells of `grid` read; dense, with a token spread to each cell."""
        arguments = (self.config, grid, self.thumbnail_grid(grid), k)
        coarse = math.prod(self.coarse_grid(grid) or (0,))
        if dense:
            return macs.count_dense(*arguments, self.config.dim, coarse).total
        return (macs.count_segment if self.config.task == "segment" else macs.count)(*arguments, coarse).total

    def row(
        self, view: View, cells: NDArray[np.int64], labels: tuple[Label, ...], seconds: float, dense: bool = False
    ) -> Row:
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
            macs=self.macs(view.grid, len(cells), dense),
            macs_full=macs.full(self.config, view.grid),
            seconds=seconds,
            coarse=self.coarse_grid(view.grid),
            note="; ".join(view.notes) or None,
        )

    @property
    def _labels(self) -> tuple[str, ...]:
        """What a picture as a whole can be; nothing where the labels are of its parts."""
        return () if self.config.task == "segment" else self.config.labels

    def _check_labels(self) -> None:
        if self.config.task == "segment":
            raise ModelError(
                f"The model {self.loaded.name!r} segments pictures and can't classify them; choose another one, "
                "or use lookwhere segment."
            )
        if not self._labels:
            raise ModelError(f"The model {self.loaded.name!r} has no labels, so it can't classify; choose another one.")

    def _normalised(self, pixels: Sequence[NDArray[Any]]) -> Tensor:
        """(..., height, width, 3) in 0..255 of each picture, to (batch, ..., 3, height, width) as the model has it."""
        batch = torch.from_numpy(np.stack(pixels)).to(self.loaded.device).movedim(-1, -3)
        return batch.to(self.loaded.dtype).mul(self._scale).add(self._shift)

    def _normalisation(self) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(value)[:, None, None] for value in (self.config.mean, self.config.std))
        device, dtype = self.loaded.device, self.loaded.dtype
        return (1 / (255 * std)).to(device, dtype), (-mean / std).to(device, dtype)


def _maps(read: Read) -> NDArray[np.float32]:
    """The selector's maps, (batch, rows, columns)."""
    return read.selection.map.unflatten(1, read.grid).cpu().numpy()


def name_of(picture: Picture) -> str:
    """What a picture's row calls it: its path, or the file that a PIL image was opened from, or nothing."""
    if isinstance(picture, str | os.PathLike):
        return os.fsdecode(picture)
    return str(getattr(picture, "filename", ""))


def _viewed(picture: Picture, reading: Reading) -> View:
    if isinstance(picture, str | os.PathLike):
        return open_view(picture, reading)
    return view_of(picture, reading, name_of(picture))
