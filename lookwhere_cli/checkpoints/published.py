"""The authors' published layouts, read into ours. Theirs and ours share timm's names inside each backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lookwhere_cli.models.config import Config

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
    k=0.1,
)
FRANCA = Config(
    **_SHARED,  # type: ignore[arg-type]
    registers=0,
    grid=(37, 37),
    feed_forward="swiglu",
    hidden=4096,
    task="features",
    k=0.1,
)
_RENAMED = {"selector.model.": "selector.backbone.", "extractor.model.": "extractor."}


def imagenet(labels: tuple[str, ...]) -> Config:
    """The fine-tuned ImageNet file's config: 224 px, 128 of 256 cells."""
    return Config(
        **_SHARED,  # type: ignore[arg-type]
        registers=4,
        grid=(16, 16),
        feed_forward="gelu",
        hidden=3072,
        labels=labels,
        k=128,
    )


def tensors(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """A published state dict, nested (pretrained) or flat (ImageNet), under our names; no tensor is copied."""
    found: dict[str, Tensor] = {}
    for name, value in _flat(published).items():
        old = next((prefix for prefix in _RENAMED if name.startswith(prefix)), None)
        found[_RENAMED[old] + name.removeprefix(old) if old else name] = value
    return found


def _flat(nested: Mapping[str, Any], at: str = "") -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    for name, value in nested.items():
        out |= _flat(value, f"{at}{name}.") if isinstance(value, Mapping) else {at + name: value}
    return out
