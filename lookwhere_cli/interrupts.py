"""The signals that end a run early: Ctrl-C, SIGTERM (from `kill`, Slurm, Docker) and SIGHUP (a closed terminal).

All are treated alike: KeyboardInterrupt is raised, what is written gets completed, and the exit code tells which one it
was. A signal that was ignored when the process started, as under `nohup`, stays ignored.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
_received = [int(signal.SIGINT)]


@contextmanager
def listening() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt within the block, unless they are ignored or handled already."""
    _received[:] = [int(signal.SIGINT)]
    defaults = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL] if _in_main_thread() else []
    for number in defaults:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in defaults:
            signal.signal(number, signal.SIG_DFL)


def exit_code() -> int:
    """Return the exit code for the signal that came last: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + _received[-1]


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Only remember a first signal within the block, and yield a function that returns True if there was one.

    A second one interrupts at once. Outside the main thread, where Python handles no signals, nothing is deferred.
    """
    came = threading.Event()

    def remember(number: int, frame: Any) -> None:
        """Note the first signal for later. Raises KeyboardInterrupt at the second."""
        _received.append(number)
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

    handled = [number for number in ENDING if callable(signal.getsignal(number))] if _in_main_thread() else []
    before = {number: signal.signal(number, remember) for number in handled}
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def delayed() -> Iterator[None]:
    """Delay a signal until the block ends, so that what it writes is complete.

    Raises KeyboardInterrupt at the end if there was one.
    """
    with deferred() as came:
        yield
    if came():
        raise KeyboardInterrupt


def _interrupt(number: int, frame: Any) -> NoReturn:
    _received.append(number)
    raise KeyboardInterrupt


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
