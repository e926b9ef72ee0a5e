"""Reading ahead: threads prepare what comes next while the caller works."""

import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Full, Queue
from typing import NoReturn, TypeVar

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


def in_background(items: Callable[[Callable[[], bool]], Iterator[T]], depth: int) -> Generator[T, None, None]:
    """Yield items that a thread of their own makes, one after the other, up to `depth` ahead.

    items: called in that thread, with a function that returns True once nobody wants more; it is to be asked often.
    What it raises is raised here. The thread ends with the iterator, and with the process, which waits for no item.
    """
    ready: Queue[Callable[[], T]] = Queue(depth)
    closed = threading.Event()
    thread = threading.Thread(target=_make, args=(items, ready, closed), name="read-ahead", daemon=True)

    def end() -> None:
        """Stop making items, and wait for the one being made."""
        closed.set()
        thread.join()

    thread.start()
    atexit.register(end)  # it is no thread that the process waits for, but libraries must not vanish under it
    try:
        with suppress(_EndOfItems):
            while True:
                yield ready.get()()
    finally:
        end()
        atexit.unregister(end)


class _EndOfItems(Exception):  # noqa: N818 - it is no error
    """There are no more items."""


def _make(
    items: Callable[[Callable[[], bool]], Iterator[T]], ready: Queue[Callable[[], T]], closed: threading.Event
) -> None:
    _give_way()
    try:
        for item in items(closed.is_set):
            _put(ready, partial(_same, item), closed)
        _put(ready, partial(_raise, _EndOfItems()), closed)
    except BaseException as error:
        _put(ready, partial(_raise, error), closed)


def _put(ready: Queue[Callable[[], T]], item: Callable[[], T], closed: threading.Event) -> None:
    """Wait for room in the queue, as long as anybody reads from it."""
    while not closed.is_set():
        with suppress(Full):
            ready.put(item, timeout=0.1)
            return


def _same(item: T) -> T:
    return item


def _raise(error: BaseException) -> NoReturn:
    raise error


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
