"""DVT's published layout: a ViT with timm's names for each exit, and its reuse modules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lookwhere_cli.amounts import ALL_CELLS
from lookwhere_cli.checkpoints.published.lookwhere import flatten
from lookwhere_cli.models.config import Config

EXITS = ("less_less_token", "less_token", "normal_token")
"""The authors' names of the exits, coarse to fine."""
PAPER = (
    'Wang et al., "Not All Images are Worth 16x16 Words: Dynamic Transformers for Efficient Image '
    'Recognition", NeurIPS 2021, arXiv 2105.15075.'
)
HEAD_DIM = 64  # channels per attention head, of every published ViT
_STATE = "model_state_dict."
_BLOCK = re.compile(r"^exits\.0\.blocks\.(\d+)\.")
_OUR_REUSE_NAMES = {
    "feature_resuse_mlp.0.": "norm.",  # spelled so in their files
    "feature_resuse_mlp.1.": "",
    "relation_reuse_conv.0.": "reuse.relations.conv1.",
    "relation_reuse_conv.2.": "reuse.relations.conv2.",
}


def is_dvt(file: Mapping[str, Any]) -> bool:
    """Return True if the flat names are those of a cascade over grids."""
    return any(_is_of_exit(name) for name in file)


def infer_config(file: Mapping[str, Any]) -> Config:
    """Return the model that the tensors' flat names and shapes describe, its labels placeholders.

    All exits see images of the last one's size. Raises ValueError with a sentence if they describe no such model.
    """
    tensors = rename_tensors(file)
    dim, _, patch, _ = _shape(tensors, f"exits.{len(EXITS) - 1}.patch_embed.proj.weight", 4)
    exits = [_side_and_kernel(tensors, number) for number in range(len(EXITS))]
    size = exits[-1][0] * patch
    return Config(
        patch=patch,
        dim=dim,
        heads=max(1, dim // HEAD_DIM),
        extractor_depth=1 + max(int(match[1]) for name in tensors if (match := _BLOCK.search(name))),
        selector_depth=0,
        prefix="own",
        grid=(exits[-1][0], exits[-1][0]),
        hidden=_shape(tensors, "exits.0.blocks.0.mlp.fc1.weight", 2)[0],
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop_share=0.875,
        labels=tuple(f"class {index}" for index in range(_shape(tensors, "exits.0.head.weight", 2)[0])),
        k=ALL_CELLS,
        exits=tuple((side, side, kernel, max(0, (side * kernel - size) // 2)) for side, kernel in exits),
    )


def names_in_file(file: Mapping[str, Any]) -> dict[str, str]:
    """Return by our names what the exits' tensors are called in a file, given by its flat names."""
    return {_our_name(name.removeprefix(_STATE)): name for name in file if _is_of_exit(name)}


def rename_tensors(file: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the exits' tensors of a file by our names, without copies; the file's other contents are dropped."""
    flat = flatten(file)
    return {ours: flat[theirs] for ours, theirs in names_in_file(flat).items()}


def _is_of_exit(name: str) -> bool:
    return name.removeprefix(_STATE).split(".")[0] in EXITS


def _side_and_kernel(tensors: Mapping[str, Any], number: int) -> tuple[int, int]:
    """Return an exit's cells along a side, and the pixels along the side of one patch."""
    cells = _shape(tensors, f"exits.{number}.pos_embed", 3)[1] - 1
    return round(cells**0.5), _shape(tensors, f"exits.{number}.patch_embed.proj.weight", 4)[-1]


def _shape(tensors: Mapping[str, Any], name: str, axes: int) -> tuple[int, ...]:
    tensor = tensors.get(name)
    if not isinstance(tensor, Tensor) or tensor.ndim != axes:
        raise ValueError(f"it has no {name} of {axes} axes")
    return tuple(tensor.shape)


def _our_name(name: str) -> str:
    exit_, _, rest = name.partition(".")
    for theirs, ours in _OUR_REUSE_NAMES.items():
        before, match, after = rest.partition(theirs)
        if match:
            rest = f"{before.replace('blocks.', 'reuse.features.')}{ours}{after}"
    return f"exits.{EXITS.index(exit_)}.{rest}"
