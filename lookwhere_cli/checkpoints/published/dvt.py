"""DVT's published layout, read into ours: a ViT in timm's names for each exit, with its reuse beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lookwhere_cli.amounts import ALL_CELLS
from lookwhere_cli.checkpoints.published.lookwhere import flat
from lookwhere_cli.models.config import Config

EXITS = ("less_less_token", "less_token", "normal_token")
"""What the authors call them, coarse to fine."""
PAPER = (
    'Wang et al., "Not All Images are Worth 16x16 Words: Dynamic Transformers for Efficient Image '
    'Recognition", NeurIPS 2021, arXiv 2105.15075.'
)
HEAD_DIM = 64  # of every published ViT's attention
_STATE = "model_state_dict."
_BLOCK = re.compile(r"^exits\.0\.blocks\.(\d+)\.")
_REUSE = {
    "feature_resuse_mlp.0.": "norm.",  # spelled so in their files
    "feature_resuse_mlp.1.": "",
    "relation_reuse_conv.0.": "reuse.relations.conv1.",
    "relation_reuse_conv.2.": "reuse.relations.conv2.",
}


def is_dvt(file: Mapping[str, Any]) -> bool:
    """Whether these are the tensors of a cascade over grids, by their flat names."""
    return any(_exit_of(name) for name in file)


def described(file: Mapping[str, Any]) -> Config:
    """What the tensors' names and shapes say of a model, whose classes have no names yet; `file` has flat names.

    Every exit sees the last one's pictures. Raises ValueError with a sentence where they say nothing of the kind.
    """
    named = tensors(file)
    dim, _, patch, _ = _shape(named, f"exits.{len(EXITS) - 1}.patch_embed.proj.weight", 4)
    seen = [_seen(named, number) for number in range(len(EXITS))]
    size = seen[-1][0] * patch
    return Config(
        patch=patch,
        dim=dim,
        heads=max(1, dim // HEAD_DIM),
        extractor_depth=1 + max(int(found[1]) for name in named if (found := _BLOCK.search(name))),
        selector_depth=0,
        prefix="own",
        grid=(seen[-1][0], seen[-1][0]),
        hidden=_shape(named, "exits.0.blocks.0.mlp.fc1.weight", 2)[0],
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop_share=0.875,
        labels=tuple(f"class {index}" for index in range(_shape(named, "exits.0.head.weight", 2)[0])),
        k=ALL_CELLS,
        exits=tuple((side, side, kernel, max(0, (side * kernel - size) // 2)) for side, kernel in seen),
    )


def names(file: Mapping[str, Any]) -> dict[str, str]:
    """What each of our tensors is called in a file, given by its flat names."""
    return {_our_name(name.removeprefix(_STATE)): name for name in file if _exit_of(name)}


def tensors(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a published file under our names; what else lies in it is left out, no tensor is copied."""
    state = flat(published)
    return {ours: state[theirs] for ours, theirs in names(state).items()}


def _exit_of(name: str) -> bool:
    return name.removeprefix(_STATE).split(".")[0] in EXITS


def _seen(named: Mapping[str, Any], number: int) -> tuple[int, int]:
    """Cells along an exit's side, and pixels along one's."""
    cells = _shape(named, f"exits.{number}.pos_embed", 3)[1] - 1
    return round(cells**0.5), _shape(named, f"exits.{number}.patch_embed.proj.weight", 4)[-1]


def _shape(named: Mapping[str, Any], name: str, axes: int) -> tuple[int, ...]:
    tensor = named.get(name)
    if not isinstance(tensor, Tensor) or tensor.ndim != axes:
        raise ValueError(f"it has no {name} of {axes} axes")
    return tuple(tensor.shape)


def _our_name(name: str) -> str:
    exit_, _, rest = name.partition(".")
    for theirs, ours in _REUSE.items():
        before, found, after = rest.partition(theirs)
        if found:
            rest = f"{before.replace('blocks.', 'reuse.features.')}{ours}{after}"
    return f"exits.{EXITS.index(exit_)}.{rest}"
