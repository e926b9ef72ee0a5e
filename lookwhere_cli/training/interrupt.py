"""Ctrl-C that waits for the end of a step, so that complete steps can be saved."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Only remember a first Ctrl-C within the block, and yield a function that returns True if there was one.

    A second Ctrl-C interrupts at once. Outside the main thread, where Python handles no signals, nothing is deferred.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    interrupted = threading.Event()

    def remember(number: int, frame: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    previous = signal.signal(signal.SIGINT, remember)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, previous)
