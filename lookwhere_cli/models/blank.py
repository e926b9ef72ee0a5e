"""Layers that can be made without weights, for models whose weights come from a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import nn

_blank = ContextVar("blank", default=False)


@contextmanager
def blank() -> Iterator[None]:
    """Layers made within draw no random weights, and the large ones hold no memory, until they are given some."""
    before = _blank.set(True)
    try:
        yield
    finally:
        _blank.reset(before)


class Linear(nn.Linear):
    """nn.Linear, blank where that is asked for."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, device="meta" if _blank.get() else None)

    def reset_parameters(self) -> None:
        """As nn.Linear does, or nothing."""
        if not _blank.get():
            super().reset_parameters()


class Conv2d(nn.Conv2d):
    """nn.Conv2d, blank where that is asked for."""

    def reset_parameters(self) -> None:
        """As nn.Conv2d does, or nothing."""
        if not _blank.get():
            super().reset_parameters()


class LayerNorm(nn.LayerNorm):
    """nn.LayerNorm over one axis, blank where that is asked for."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__(dim, eps, device="meta" if _blank.get() else None)

    def reset_parameters(self) -> None:
        """As nn.LayerNorm does, or nothing."""
        if not _blank.get():
            super().reset_parameters()
