"""A run's checkpoint: written whole or not at all, taken up only by the same run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lookwhere_cli.errors import DataError, OutputError, UsageError

FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Write `state` and the identity of the run that it belongs to. Raises OutputError, for instance on a full disk."""
    temporary = folder / f".{FILE}.tmp"
    try:
        torch.save({**state, "identity": dict(identity)}, temporary)
        temporary.replace(folder / FILE)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"the checkpoint could not be written to {folder}: {error}") from None


def load_checkpoint(folder: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """The folder's checkpoint, on the CPU; None where there is none.

    Raises UsageError if another run made it (naming what differs), DataError if it is damaged.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        made_by = state.pop("identity")
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DataError(f"{file} is damaged ({error}); delete it to start anew.") from None
    different = sorted(name for name in made_by.keys() | identity.keys() if made_by.get(name) != identity.get(name))
    if different:
        raise UsageError(
            f"{file} was made with other settings ({', '.join(different)}); use those to resume, or another --out."
        )
    return state
