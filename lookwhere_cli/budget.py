"""A budget of bytes that threads share, granted in the order of the pictures that ask."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from lookwhere_cli.machine import available_memory

DEFAULT_MEMORY = 512 << 20  # bytes


class BudgetClosedError(Exception):
    """The work that a picture was to be opened for has ended."""


def default_memory() -> int:
    """Return the bytes for pictures in flight: the smaller of 512 MiB and a quarter of the available memory."""
    return min(DEFAULT_MEMORY, available_memory() // 4)


class Budget:
    """Bytes that pictures in flight may take.

    Pictures are numbered from 0, and each must `settle`. Reservations are granted in that order. A picture that is
    larger than the whole budget is granted its bytes once no other picture is in flight.
    """

    def __init__(self, size: int | None) -> None:
        """size: bytes; None: `default_memory`, looked up when a second picture asks."""
        self._size = size
        self._held: dict[int, int] = {}
        self._first_unknown = 0
        self._known: set[int] = set()
        self._blocked = False
        self._closed = False
        self._changed = threading.Condition()

    def reserve(self, number: int, size: int) -> None:
        """Wait until picture `number` may take `size` bytes. Raises BudgetClosedError."""
        with self._changed:
            while not (number == self._first_unknown and self._fits(size)):
                self._blocked = number == self._first_unknown
                self._changed.notify_all()
                self._changed.wait()
                if self._closed:
                    raise BudgetClosedError
            self._blocked = False
            self._record(number, size)

    def settle(self, number: int, size: int) -> None:
        """Record the bytes that the picture really holds: 0 if it could not be opened."""
        with self._changed:
            self._record(number, size)

    def release(self, number: int) -> None:
        """Give back what the picture holds."""
        with self._changed:
            self._held.pop(number, None)
            self._changed.notify_all()

    def wait(self, future: Future[Any]) -> bool:
        """Wait until the future is done (True), or until a picture waits for bytes that others hold (False)."""
        future.add_done_callback(self._wake)
        with self._changed:
            while not (future.done() or self._blocked):
                self._changed.wait()
            return future.done()

    def close(self) -> None:
        """Let all pictures that wait raise BudgetClosedError."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _record(self, number: int, size: int) -> None:
        self._held[number] = size
        if number >= self._first_unknown:  # else it was known when it reserved
            self._known.add(number)
        while self._first_unknown in self._known:
            self._known.remove(self._first_unknown)
            self._first_unknown += 1
        self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        held = sum(self._held.values())
        if not held:
            return True
        if self._size is None:
            self._size = default_memory()
        return held + size <= self._size

    def _wake(self, _: Future[Any]) -> None:
        with self._changed:
            self._changed.notify_all()
