"""Batches on their way from the processes that prepare them: through shared memory, or packed where that is short."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

B = TypeVar("B")
SHARED_MEMORY = "/dev/shm"


@dataclass(frozen=True)
class PackedBatch:
    """A batch as bytes, which go through a pipe; its tensors would go through shared memory."""

    content: bytes


class TransferableBatches(Dataset[Any], Generic[B]):
    """Some steps' batches; in a loader's process, each is packed if it might not fit into shared memory.

    A process that fills the shared memory is killed, and torch may then wait for it for ever. Docker gives 64 MB.
    """

    def __init__(self, batches: Dataset[B], steps: Sequence[int]) -> None:
        self._batches, self._steps = batches, steps

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, place: int) -> B | PackedBatch:
        """Make a step's batch, packed if need be."""
        batch = self._batches[self._steps[place]]
        worker = get_worker_info()
        # The other processes may be about to place theirs.
        if worker is None or fits_in_shared_memory((worker.num_workers + 1) * tensor_bytes(batch)):
            return batch
        return PackedBatch(pickle.dumps(batch, pickle.HIGHEST_PROTOCOL))


def unpacked(batch: B | PackedBatch) -> B:
    """Return the batch itself."""
    return pickle.loads(batch.content) if isinstance(batch, PackedBatch) else batch


def fits_in_shared_memory(size: int) -> bool:
    """Return True if this many bytes of shared memory are free, or if the system has another kind of it."""
    try:
        disk = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):
        return True
    return size <= disk.f_bavail * disk.f_frsize


def tensor_bytes(value: Any) -> int:
    """Return the bytes that the tensors in tuples, lists and dictionaries take."""
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(tensor_bytes, value.values()))
    return sum(map(tensor_bytes, value)) if isinstance(value, tuple | list) else 0
