"""Decoded blocks of large pictures, kept for a while in a bounded number of bytes that all open pictures share."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

from jaxtyping import UInt8
from numpy import ndarray

CACHE_BYTES = 48 << 20
"""A row of blocks of neighbouring cells fits in; more would be read again too late to matter."""


class PixelBlock(NamedTuple):
    """Pixels of a part of a level.

    colours: RGB, on the background. opacity: 0..255, 0 where there is nothing; None if all of it is opaque.
    """

    colours: UInt8[ndarray, "height width 3"]
    opacity: UInt8[ndarray, "height width"] | None

    @property
    def nbytes(self) -> int:
        """The bytes that it takes."""
        return self.colours.nbytes + (0 if self.opacity is None else self.opacity.nbytes)


class BlockCache:
    """The blocks that were used last, of any pictures. Threads may use it at once."""

    def __init__(self, size: int) -> None:
        """size: bytes of all blocks, at most."""
        self._size, self._held = size, 0
        self._blocks: OrderedDict[Hashable, PixelBlock] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> PixelBlock | None:
        """Return a block, or None if it is not here."""
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
            return self._blocks.get(key)

    def put(self, key: Hashable, block: PixelBlock) -> None:
        """Keep a block, at the cost of those that were not used for longest; one larger than the cache is not kept."""
        with self._lock:
            before = self._blocks.pop(key, None)
            self._held += block.nbytes - (0 if before is None else before.nbytes)
            self._blocks[key] = block
            while self._held > self._size:
                self._held -= self._blocks.popitem(last=False)[1].nbytes

    def drop(self, owner: object) -> None:
        """Forget the blocks whose key begins with `owner`."""
        with self._lock:
            for key in [key for key in self._blocks if isinstance(key, tuple) and key[0] is owner]:
                self._held -= self._blocks.pop(key).nbytes


CACHE = BlockCache(CACHE_BYTES)
"""The cache of all pictures of this process."""
