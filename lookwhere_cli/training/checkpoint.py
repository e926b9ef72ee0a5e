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
        raise OutputError(f"The checkpoint {str(folder / CHECKPOINT)!r} can't be written: {error}.") from None
    finally:  # also after a second Ctrl-C
        temporary.unlink(missing_ok=True)


def load_checkpoint(
    folder: Path, identity: Mapping[str, Any], extended: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Load the folder's checkpoint to the CPU; None if there is none.

    extended: the identity of a run that this one goes on from; its checkpoint is loaded, too.

    Raises UsageError, which names what differs, for a checkpoint of another identity, DataError for a damaged one.
    """
    state = _read(folder / CHECKPOINT, mapped=False)
    if state is None:
        return None
    stored = state.pop("identity")
    accepted = [one for one in (identity, extended) if one is not None]
    different = min((differing_keys(stored, one) for one in accepted), key=len)
    if different:
        raise UsageError(
            f"{str(folder / CHECKPOINT)!r} belongs to a run with other settings ({', '.join(different)}); use those to "
            "resume it, or choose another --out."
        )
    return state


def stored_identity(folder: Path) -> dict[str, Any] | None:
    """Return the identity of the run that the folder's checkpoint belongs to; None if there is none.

    Raises DataError for a damaged checkpoint.
    """
    state = _read(folder / CHECKPOINT, mapped=True)
    return None if state is None else dict(state["identity"])


def stored_pictures(folder: Path) -> Any:
    """Return the pictures of the run that the folder's checkpoint belongs to, as its plan has them; None if unknown.

    Raises DataError for a damaged checkpoint.
    """
    state = _read(folder / CHECKPOINT, mapped=True)
    return None if state is None else state.get("pictures")


def _read(file: Path, mapped: bool) -> dict[str, Any] | None:
    """Read a checkpoint. Raises DataError if it is damaged.

    mapped: leave the tensors in the file until they are used.
    """
    if not file.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
        state["identity"]
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise DataError(f"{str(file)!r} is damaged ({error}); delete it to start again.") from None
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
