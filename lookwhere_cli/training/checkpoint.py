"""A run's checkpoint: written completely or not at all, and resumed only by the same run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lookwhere_cli.checkpoints.layout import CHECKPOINT
from lookwhere_cli.errors import DataError, OutputError, UsageError
from lookwhere_cli.models.config import Config


def save_checkpoint(folder: Path, state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Write `state`, with the identity of the run that it belongs to. Raises OutputError, as for a full disk."""
    temporary = folder / f".{CHECKPOINT}.tmp"
    try:
        torch.save({**state, "identity": dict(identity)}, temporary)
        temporary.replace(folder / CHECKPOINT)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"The checkpoint {str(folder / CHECKPOINT)!r} can't be written: {error}.") from None


def load_checkpoint(folder: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Load the folder's checkpoint to the CPU; None if there is none.

    Raises UsageError, which names what differs, for a checkpoint of another identity, DataError for a damaged one.
    """
    file = folder / CHECKPOINT
    if not file.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        stored = state.pop("identity")
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DataError(f"{str(file)!r} is damaged ({error}); delete it to start again.") from None
    different = differing_keys(stored, identity)
    if different:
        raise UsageError(
            f"{str(file)!r} belongs to a run with other settings ({', '.join(different)}); use those to resume it, or "
            "choose another --out."
        )
    return state


def differing_keys(stored: Mapping[str, Any], identity: Mapping[str, Any]) -> list[str]:
    """Return the names of all that differs between two identities, sorted.

    Configs are compared by what they mean: in older checkpoints `k`, `looks` and `prune` have no unit, and later keys
    are missing.
    """
    one, other = _with_config(stored), _with_config(identity)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _with_config(identity: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {**identity, "config": Config.from_dict(identity["config"])}
    except (KeyError, ValueError):
        return dict(identity)
