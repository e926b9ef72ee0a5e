"""What a process made by fork needs before it computes with torch."""

from __future__ import annotations

import os
from typing import Any

import torch

from lookwhere_cli.errors import ModelError


class ProcessGuard:
    """Knows the process that a model was loaded in, and prepares a process that was forked from it.

    The threads that torch computes with do not survive a fork, and it would wait for them for ever: the new process
    computes with one thread. A GPU can't be used there at all.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._process = device, os.getpid()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Belong to the process that a copy is unpickled in."""
        self.__dict__ = state | {"_process": os.getpid()}

    def check(self) -> None:
        """Prepare a forked process, at its first call. Raises ModelError if the model lies on a GPU."""
        if os.getpid() == self._process:
            return
        if self._device.type != "cpu":
            raise ModelError(
                f"The model lies on {self._device} and was loaded before this process was forked, so it can't be used "
                "here; load it in each process, or start processes with multiprocessing's 'spawn'."
            )
        torch.set_num_threads(1)
        self._process = os.getpid()
