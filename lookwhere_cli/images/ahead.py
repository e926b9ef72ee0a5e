"""Reading ahead: threads prepare what comes next while the caller works."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from lookwhere_cli.errors import PictureError

T = TypeVar("T")
R = TypeVar("R")
NICENESS = 15


def read_ahead(
    items: Iterable[T], read: Callable[[T], R], workers: int, depth: int
) -> Generator[R | PictureError, None, None]:
    """Yield read(item) of each item, in order, while `workers` threads read up to `depth` items ahead.

    A PictureError is yielded as a value in its item's place; any other exception is raised there. Closing the iterator,
    or an exception such as KeyboardInterrupt in it, drops what has not begun and waits for what has: one item per
    worker. `items` is drawn from in the caller's thread.
    """
    pending: deque[Future[R | PictureError]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead", initializer=_give_way)
    try:
        for item in items:
            pending.append(pool.submit(_value, read, item))
            if len(pending) > depth:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _value(read: Callable[[T], R], item: T) -> R | PictureError:
    try:
        return read(item)
    except PictureError as error:
        return error


def _give_way() -> None:
    """Let the model's threads go first: one that waits for another, which reading holds up, does nothing meanwhile."""
    if sys.platform == "linux":  # where a priority may belong to a single thread
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
