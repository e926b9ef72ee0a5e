"""Many pictures through a model: opened and cut in threads under a budget of bytes, computed in batches, in order.

Threads open the pictures that come next; those of one grid are gathered into batches. While the model computes a batch,
threads cut the patches of the next one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.budget import Budget
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.decode import Reserve
from lookwhere_cli.images.view import Picture, View, held_bytes
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.reader import OpenedPicture
from lookwhere_cli.runtimes.base import stack
from lookwhere_cli.strategies.base import Batch

S = TypeVar("S")
T = TypeVar("T")
Numbers: TypeAlias = Sequence[int]
"""Places of pictures in the stream, from 0."""
NICENESS = 15
WINDOW = 2  # batches' worth of pictures among which those of one grid are gathered
ACTIVATIONS = 128 << 20  # bytes that the activations of a batch may take
DRAWN = 128 << 20  # bytes that pictures which come with their pixels, as frames do, may take before they are opened
_PARTS = 2  # for each thread, of a batch that is cut: a picture takes less time than handing it over and back
WIDTH = 14  # numbers per token and channel that a block holds at once: its input, q, k, v, the feed-forward layer


@dataclass(frozen=True)
class StreamOptions:
    """How many pictures are worked on at once.

    batch_size: pictures in a batch, at most. workers: threads that open pictures, and as many that cut them.
    memory: bytes that opened pictures may take; None: see `budget.default_memory`.
    """

    batch_size: int = 32
    workers: int = 1
    memory: int | None = None


class Work(NamedTuple, Generic[S, T]):
    """What is done with pictures.

    open: opens one picture; it calls what it is given with the bytes that decoding will take, before it decodes. May
    raise PictureError.
    begin: starts on a batch and returns what `finish` needs; the batch before it is finished in between.
    finish: returns a result for each picture of a batch.
    fail: returns the result of a picture that can't be read, from the picture and the sentence that says why.
    largest: pictures of a grid that a batch may hold at most.
    """

    open: Callable[[Picture, Reserve], OpenedPicture]
    begin: Callable[[Batch], S]
    finish: Callable[[S], Sequence[T]]
    fail: Callable[[Picture, str], T]
    largest: Callable[[Grid], int]


class _Item(NamedTuple):
    """A picture that was opened, or could not be."""

    number: int
    picture: Picture
    opened: OpenedPicture | PictureError


def stream(pictures: Iterable[Picture], work: Work[S, T], options: StreamOptions) -> Generator[T, None, None]:
    """Yield the result of each picture, in order. `pictures` is drawn from in the caller's thread, as needed."""
    budget = Budget(options.memory)
    results: dict[int, T] = {}
    emitted = 0
    with _Ahead(pictures, work.open, budget, options) as ahead:
        for numbers, batch_results in _pipelined(_batches(ahead, work, options, results), work):
            results.update(zip(numbers, batch_results, strict=True))
            while emitted in results:
                yield results.pop(emitted)
                budget.release(emitted)
                emitted += 1


def largest_batch(tokens: int, dim: int, batch_size: int) -> int:
    """Return the number of pictures, 1 to `batch_size`, whose activations fit their budget. tokens: per picture."""
    return max(1, min(batch_size, ACTIVATIONS // (4 * WIDTH * dim * tokens)))


class _Ahead:
    """Opens pictures in threads, ahead of the caller."""

    def __init__(
        self,
        pictures: Iterable[Picture],
        open_picture: Callable[[Picture, Reserve], OpenedPicture],
        budget: Budget,
        options: StreamOptions,
    ) -> None:
        self._pictures = enumerate(pictures)
        self._process = os.getpid()
        self._open, self._budget, self._depth = open_picture, budget, options.batch_size
        self._pending: deque[tuple[int, Picture, Future[OpenedPicture | PictureError]]] = deque()
        self._pool = worker_pool(options.workers, "open")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.close()
        self._pool.shutdown(cancel_futures=True)

    def next(self, patient: bool) -> _Item | None:
        """Return the next picture once it is open. Raises StopIteration at the end.

        Unless `patient`, None is returned as soon as a picture waits for memory that earlier ones hold. Raises
        UsageError in a forked process, which does not have the threads.
        """
        if os.getpid() != self._process:
            raise UsageError("Rows that were begun before this process was forked can't be continued; begin them here.")
        while self._has_room() and (item := next(self._pictures, None)) is not None:
            self._pending.append((*item, self._pool.submit(self._prepare, *item)))
        if not self._pending:
            raise StopIteration
        number, picture, future = self._pending[0]
        if not (patient or self._budget.wait(future)):
            return None
        self._pending.popleft()
        return _Item(number, picture, future.result())

    def _has_room(self) -> bool:
        """Return True if another picture may be drawn; those that come with their pixels hold memory from then on."""
        drawn = sum(held_bytes(picture) for _, picture, _ in self._pending)
        return not self._pending or (len(self._pending) <= self._depth and drawn < DRAWN)

    def _prepare(self, number: int, picture: Picture) -> OpenedPicture | PictureError:
        has_reserved = False

        def reserve(size: int) -> None:
            """Reserve bytes for the picture's pixels, and wait until the budget has them."""
            nonlocal has_reserved
            has_reserved = True
            self._budget.reserve(number, size)

        try:
            opened = self._open(picture, reserve)
        except PictureError as error:
            self._budget.settle(number, 0)
            return error
        if not has_reserved:  # what is not decoded waits for its turn, too: bytes held before that would never be free
            reserve(opened.nbytes)
        self._budget.settle(number, opened.nbytes)
        return opened


def _windows(ahead: _Ahead, size: int) -> Iterator[Sequence[_Item]]:
    """Yield runs of pictures: `size` of them, or those that hold the memory that the next one waits for.

    An empty run asks for all that was begun to be finished, which is the last way to release memory.
    """
    window: list[_Item] = []
    patient = False
    with suppress(StopIteration):
        while True:
            item = ahead.next(patient)
            if item is not None:
                window.append(item)
            if item is None or len(window) == size:
                yield window
                patient = not window
                window = []
            else:
                patient = False
    yield window


def _batches(
    ahead: _Ahead, work: Work[S, T], options: StreamOptions, results: dict[int, T]
) -> Iterator[tuple[Numbers, Batch] | None]:
    """Yield batches of pictures of one grid; None asks to finish what was begun. Failures go to `results`."""
    for window in _windows(ahead, WINDOW * options.batch_size):
        by_grid: dict[Grid, list[tuple[int, OpenedPicture]]] = {}
        for number, picture, opened in window:
            if isinstance(opened, PictureError):
                results[number] = work.fail(picture, str(opened))
            else:
                by_grid.setdefault(opened.view.grid, []).append((number, opened))
        for grid, members in by_grid.items():
            step = min(options.batch_size, work.largest(grid))
            for start in range(0, len(members), step):
                numbers, pictures = zip(*members[start : start + step], strict=True)
                yield numbers, Batch(pictures, grid)
        if not by_grid:
            yield None


def _pipelined(
    batches: Iterator[tuple[Numbers, Batch] | None], work: Work[S, T]
) -> Iterator[tuple[Numbers, Sequence[T]]]:
    """Begin each batch before the one before it is finished."""
    begun: list[tuple[Numbers, S]] = []
    for item in batches:
        if item is not None:
            begun.append((item[0], work.begin(item[1])))
        while len(begun) > (item is not None):
            numbers, state = begun.pop(0)
            yield numbers, work.finish(state)
        if item is None:
            yield (), ()
    for numbers, state in begun:
        yield numbers, work.finish(state)


class Cutter:
    """Cuts patches out of pictures in threads."""

    Pending: TypeAlias = Callable[[], NDArray[np.uint8]]
    """Waits for patches that are being cut, and returns them."""

    def __init__(self, workers: int) -> None:
        self._pool, self._workers = worker_pool(workers, "cut") if workers > 1 else None, workers

    def start(self, views: Sequence[View], cells: Int64[ndarray, "batch k"]) -> Pending:
        """Begin to cut the patches at each picture's cells; the function returned waits for them.

        It returns (batch, k, patch, patch, 3), or raises PictureError.
        """
        if self._pool is None:
            return lambda: stack(_cut(views, cells))
        step = -(-len(views) // (_PARTS * self._workers))
        parts = [slice(start, start + step) for start in range(0, len(views), step)]
        futures = [self._pool.submit(_cut, views[part], cells[part]) for part in parts]
        return lambda: stack([patches for future in futures for patches in future.result()])

    def cut(self, views: Sequence[View], cells: Int64[ndarray, "batch k"]) -> UInt8[ndarray, "batch k patch patch 3"]:
        """Cut the patches at each picture's cells."""
        return self.start(views, cells)()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def _cut(views: Sequence[View], cells: Int64[ndarray, "batch k"]) -> list[UInt8[ndarray, "k patch patch 3"]]:
    return [view.patches(one) for view, one in zip(views, cells, strict=True)]


def worker_pool(workers: int, name: str) -> ThreadPoolExecutor:
    """Make threads that give way to the model's, which do nothing while one of them is held up."""
    return ThreadPoolExecutor(workers, thread_name_prefix=name, initializer=_give_way)


def _give_way() -> None:
    if sys.platform == "linux":  # where a priority may belong to a single thread
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
