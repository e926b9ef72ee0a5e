"""Token Cropr's published layout: a ViT with timm's names, its pruning modules, and their auxiliary heads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lookwhere_cli.amounts import ALL_CELLS, DropRate
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.auxiliary import Auxiliaries
from lookwhere_cli.models.pruning.cropr import Cropr
from lookwhere_cli.models.pruning.schedule import Pruning, count_modules
from lookwhere_cli.models.vit import ViT

PAPER = 'Bergner et al., "Token Cropr: Faster ViTs for Quite a Few Tasks", arXiv 2412.00965.'
RATE = 8  # tokens dropped per block by the published classifiers; the files do not store it
HEAD_DIM = 64  # channels per attention head, of every ViT from tiny to large
_MODULE = re.compile(r"cropr\.(\d+)\.(.+)")
_QUERIES = "cross_attn.queries"


def is_cropr(file: Mapping[str, Any]) -> bool:
    """Return True if the names are those of a ViT with pruning modules."""
    return any(_MODULE.match(name) for name in file)


def infer_config(file: Mapping[str, Any]) -> tuple[Config, Pruning]:
    """Return the model that the tensors' names and shapes describe: a full ViT, its labels placeholders.

    Raises ValueError with a sentence if they describe no such model.
    """
    dim, _, patch, _ = _shape(file, "patch_embed.proj.weight", 4)
    cells = _shape(file, "pos_embed", 3)[1] - 1
    side = round(cells**0.5)
    classes = _shape(file, "head.weight", 2)[0]
    config = Config(
        patch=patch,
        dim=dim,
        heads=max(1, dim // HEAD_DIM),
        extractor_depth=_count(file, r"blocks\.(\d+)\."),
        selector_depth=0,
        prefix="own",
        grid=(side, side),
        hidden=_shape(file, "blocks.0.mlp.fc1.weight", 2)[0],
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        crop_share=0.875,
        labels=tuple(f"class {index}" for index in range(classes)),
        k=ALL_CELLS,
    )
    count = _count(file, _MODULE.pattern)
    fusion = count == count_modules(config, fusion=True)
    if count != count_modules(config, fusion):
        raise ValueError(
            f"it has {count} pruning modules for {config.extractor_depth} blocks; "
            f"there must be {count_modules(config, False)}, or {count_modules(config, True)} with last-layer fusion"
        )
    return config, Pruning(DropRate(RATE), fusion)


def expected_tensors(config: Config, pruning: Pruning) -> dict[str, Tensor]:
    """Return the tensors of such a model's file by their names in the file, on the meta device."""
    with torch.device("meta"):
        vit = ViT(config, config.extractor_depth, config.grid).state_dict()
        head = torch.nn.Linear(config.dim, len(config.labels)).state_dict(prefix="head.")
        auxiliaries = Auxiliaries(Cropr(config, pruning), 1, len(config.labels)).state_dict(prefix="cropr.")
    return {**vit, **head, **auxiliaries}


def rename_tensors(file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by our names: of the pruning modules only the queries, summed; auxiliary heads are dropped."""
    ours: dict[str, Tensor] = {}
    for name, tensor in file.items():
        module = _MODULE.match(name)
        if module is None:
            ours[name if name.startswith("head.") else f"extractor.{name}"] = tensor
        elif module[2] == _QUERIES:
            ours[f"extractor.cropr.{module[1]}.query"] = tensor.sum((0, 1))
    return ours


def _count(file: Mapping[str, Any], numbered: str) -> int:
    return 1 + max((int(match[1]) for name in file if (match := re.match(numbered, name))), default=-1)


def _shape(file: Mapping[str, Any], name: str, axes: int) -> tuple[int, ...]:
    tensor = file.get(name)
    if not isinstance(tensor, Tensor) or tensor.ndim != axes:
        raise ValueError(f"it has no {name} of {axes} axes")
    return tuple(tensor.shape)
