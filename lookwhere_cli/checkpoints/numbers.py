"""Weights are numbers: NaN and infinity spread to every answer of a model, so they are neither loaded nor saved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lookwhere_cli.errors import ModelError

PREFIXES = ("module.", "_orig_mod.")
"""What torch puts before all names of a model that ran on several GPUs, or was compiled."""


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that hold NaN or infinity, sorted."""
    return sorted(name for name, tensor in tensors.items() if not _is_finite(tensor))


def check_finite(tensors: Mapping[str, Tensor], subject: str) -> None:
    """Raise ModelError for tensors with NaN or infinity. subject: begins the sentence, such as the quoted file."""
    names = not_finite(tensors)
    if names:
        raise ModelError(
            f"{subject} holds NaN or infinity in {len(names)} of {len(tensors)} tensors, {names[0]!r} first: its "
            "training diverged, or it is damaged; use other weights."
        )


def check_cast(stored: Mapping[str, Tensor], cast: Mapping[str, Tensor], file: Path) -> None:
    """Raise ModelError for finite weights that are too large for the type that they were cast to."""
    narrowed = {name: tensor for name, tensor in cast.items() if tensor.dtype == torch.float16 != stored[name].dtype}
    names = not_finite(narrowed)
    if names:
        raise ModelError(
            f"{str(file)!r} holds numbers that float16 can't represent, in {len(names)} of {len(cast)} tensors, "
            f"{names[0]!r} first; use --dtype float32 or bfloat16."
        )


def check_floats(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Raise ModelError for tensors of whole numbers, such as quantised ones without their scales."""
    name = next((name for name, tensor in sorted(tensors.items()) if not tensor.is_floating_point()), None)
    if name is not None:
        kind = str(tensors[name].dtype).removeprefix("torch.")
        raise ModelError(f"{str(file)!r} holds {name!r} as {kind}; weights must be float32, float16 or bfloat16.")


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the prefixes that all names share: module., _orig_mod., in any order."""
    named = dict(tensors)
    while prefix := next((one for one in PREFIXES if named and all(name.startswith(one) for name in named)), None):
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


def _is_finite(tensor: Tensor) -> bool:
    """Return False for NaN or infinity, which both reach the extremes; about 15 times as fast as torch.isfinite."""
    if not tensor.numel() or not tensor.is_floating_point():
        return True
    return all(bool(torch.isfinite(extreme)) for extreme in torch.aminmax(tensor.detach()))
