"""Layers that can be created without initial weights, for models whose weights are read from a file; and GELU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_skips = ContextVar("skips", default=False)


@contextmanager
def uninitialised() -> Iterator[None]:
    """Create layers inside without random weights; linear layers and norms take no memory until weights are loaded."""
    before = _skips.set(True)
    try:
        yield
    finally:
        _skips.reset(before)


class Linear(nn.Linear):
    """nn.Linear with a bias that `uninitialised` applies to."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, device="meta" if _skips.get() else None)

    def reset_parameters(self) -> None:
        """Draw random weights, unless inside of `uninitialised`."""
        if not _skips.get():
            super().reset_parameters()


class Conv2d(nn.Conv2d):
    """nn.Conv2d that `uninitialised` applies to."""

    def reset_parameters(self) -> None:
        """Draw random weights, unless inside of `uninitialised`."""
        if not _skips.get():
            super().reset_parameters()


class LayerNorm(nn.LayerNorm):
    """nn.LayerNorm over one axis that `uninitialised` applies to."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__(dim, eps, device="meta" if _skips.get() else None)

    def reset_parameters(self) -> None:
        """Set weights to 1 and biases to 0, unless inside of `uninitialised`."""
        if not _skips.get():
            super().reset_parameters()


def gelu(x: Float[Tensor, "first *others last"]) -> Float[Tensor, "first *others last"]:
    """Compute the exact (erf) GELU of each element, by torch's own kernel.

    On a CPU, torch hands contiguous tensors to oneDNN, which compiles code for every shape and caches it: over many
    pictures of several shapes, in batches of several sizes, a hundred MiB. Transposed tensors stay with torch.
    A traced pass has no such cache.
    """
    if torch.compiler.is_compiling():
        return F.gelu(x)
    return F.gelu(x.transpose(0, -1)).transpose(0, -1)
