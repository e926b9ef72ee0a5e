"""DVT's published layout, read into ours: a ViT in timm's names for each exit, with its reuse beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lookwhere_cli.checkpoints.published import flat

EXITS = ("less_less_token", "less_token", "normal_token")
"""What the authors call them, coarse to fine."""
_STATE = "model_state_dict."
_REUSE = {
    "feature_resuse_mlp.0.": "norm.",  # spelled so in their files
    "feature_resuse_mlp.1.": "",
    "relation_reuse_conv.0.": "reuse.relations.conv1.",
    "relation_reuse_conv.2.": "reuse.relations.conv2.",
}


def tensors(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a published file under our names; what else lies in it is left out, no tensor is copied."""
    named = {name.removeprefix(_STATE): value for name, value in flat(published).items()}
    return {_our_name(name): value for name, value in named.items() if name.split(".")[0] in EXITS}


def _our_name(name: str) -> str:
    exit_, _, rest = name.partition(".")
    for theirs, ours in _REUSE.items():
        before, found, after = rest.partition(theirs)
        if found:
            rest = f"{before.replace('blocks.', 'reuse.features.')}{ours}{after}"
    return f"exits.{EXITS.index(exit_)}.{rest}"
