"""LookWhere's published layouts. Inside each backbone, both they and we use timm's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lookwhere_cli.amounts import Amount
from lookwhere_cli.models.config import Config

if TYPE_CHECKING:
    from torch import Tensor

PAPER = (
    'Fuller et al., "LookWhere? Efficient Visual Recognition by Learning Where to Look and What to See from '
    'Self-Supervision", NeurIPS 2025, arXiv 2505.18051.'
)
_SHARED = {
    "patch": 14,
    "dim": 768,
    "heads": 12,
    "extractor_depth": 12,
    "selector_depth": 3,
    "thumbnail_grid": (11, 11),
    "map_scale": 4,
    "layer_scale": True,
    "prefix": "replace",
    "prefix_positions": False,
    "thumbnail_filter": "alias",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "crop_share": 1.0,
}
DINOV2 = Config(
    **_SHARED,  # type: ignore[arg-type]
    registers=4,
    grid=(37, 37),
    feed_forward="gelu",
    hidden=3072,
    task="features",
    k=Amount.share(0.1),
)
FRANCA = Config(
    **_SHARED,  # type: ignore[arg-type]
    registers=0,
    grid=(37, 37),
    feed_forward="swiglu",
    hidden=4096,
    task="features",
    k=Amount.share(0.1),
)
_OUR_PREFIXES = {"selector.model.": "selector.backbone.", "extractor.model.": "extractor."}
"""Our prefix for each prefix of the fine-tuned file's names."""


def imagenet_config(labels: tuple[str, ...]) -> Config:
    """Return the config of the file fine-tuned on ImageNet: 224 px, 128 of 256 cells."""
    return Config(
        **_SHARED,  # type: ignore[arg-type]
        registers=4,
        grid=(16, 16),
        feed_forward="gelu",
        hidden=3072,
        labels=labels,
        k=Amount.cells(128),
    )


LAYOUTS = {
    "imagenet-base": imagenet_config(tuple(f"class {index}" for index in range(1000))),
    "dinov2-base": DINOV2,
    "franca-base": FRANCA,
}
"""The config of each published file, by alias. The labels are placeholders: the names of the classes come from timm."""


def rename_tensors(file: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a published file's tensors, nested (pretrained) or flat (fine-tuned), by our names, without copies."""
    return {_our_name(name): value for name, value in flatten(file).items()}


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Return all values by name, nested names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": deeper for inner, deeper in flatten(value).items()}
        else:
            flat[str(name)] = value
    return flat


def name_in_file(our_name: str, file: Mapping[str, Any]) -> str:
    """Return what the tensor that we call `our_name` is called in a published file, given by its flat names."""
    if not any(name.startswith(tuple(_OUR_PREFIXES)) for name in file):
        return our_name
    renamed = ((theirs, ours) for theirs, ours in _OUR_PREFIXES.items() if our_name.startswith(ours))
    theirs, ours = next(renamed, ("", ""))
    return theirs + our_name.removeprefix(ours)


def _our_name(name: str) -> str:
    theirs = next((prefix for prefix in _OUR_PREFIXES if name.startswith(prefix)), None)
    return _OUR_PREFIXES[theirs] + name.removeprefix(theirs) if theirs else name
