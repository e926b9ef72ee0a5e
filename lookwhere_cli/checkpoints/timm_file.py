"""A timm ViT's tensors in a file, and what is known of its architecture."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lookwhere_cli.checkpoints.numbers import check_finite, without_prefix
from lookwhere_cli.checkpoints.timm_spec import PICKLES
from lookwhere_cli.encodings import decode_text, pointer_sentence, starts_as_pointer
from lookwhere_cli.errors import ModelError

_PARTS = ("state_dict", "model", "model_state_dict", "teacher", "module")
"""Where training scripts put the weights beside the optimiser's state and other things."""
_CONFIG = "config.json"
_HEADS = "num_heads"


class TimmFile(NamedTuple):
    """The tensors of a file.

    architecture: timm's name for it, from the config.json beside the file, as the Hub has it; "" if that is unknown.
    heads: attention heads, from the file's metadata; None if they have none.
    """

    tensors: dict[str, Tensor]
    architecture: str
    heads: int | None


def read_timm_file(file: Path) -> TimmFile:
    """Read a safetensors file, or a pickle of nothing but tensors. Raises ModelError."""
    if not file.is_file():
        raise ModelError(f"{str(file)!r} does not exist; give a timm model's name, a file of weights, or NAME=FILE.")
    if starts_as_pointer(file):
        raise ModelError(pointer_sentence(repr(str(file))))
    tensors, metadata = _from_pickle(file) if file.suffix.lower() in PICKLES else _from_safetensors(file)
    check_finite(tensors, repr(str(file)))
    heads = metadata.get(_HEADS, "")
    return TimmFile(without_prefix(tensors), _architecture(file), int(heads) if heads.isdecimal() else None)


def _from_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(file, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys()}, stored.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{str(file)!r} can't be read as safetensors ({error}); download it again.") from None


def _from_pickle(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"asks for {forbidden[1]}" if forbidden else "holds more than tensors, or is broken"
        raise ModelError(
            f"{str(file)!r} is refused: it is a pickle that {what}, and could run code when read. Save its tensors "
            "alone, or as safetensors."
        ) from None
    except (OSError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ModelError(f"{str(file)!r} is broken, or not a file of weights ({reason}).") from None
    tensors = _tensors_in(content)
    if not tensors:
        raise ModelError(f"{str(file)!r} holds no tensors by name; save the model's state_dict.")
    return tensors, {}


def _tensors_in(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    tensors = {name: one for name, one in content.items() if isinstance(name, str) and isinstance(one, Tensor)}
    part = next((content[name] for name in _PARTS if isinstance(content.get(name), Mapping)), None)
    return tensors or (_tensors_in(part) if part is not None else {})


def _architecture(file: Path) -> str:
    """Return timm's name in the config.json beside the file, if it has one."""
    try:
        config = json.loads(decode_text((file.parent / _CONFIG).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return ""
    name = config.get("architecture") if isinstance(config, dict) else None
    return name if isinstance(name, str) else ""
