"""The authors' published layouts, read into ours. Theirs and ours share timm's names inside each backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lookwhere_cli.amounts import Amount
from lookwhere_cli.models.config import Config

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
        k=Amount.cells(128),
    )


LAYOUTS = {
    "imagenet-base": imagenet(tuple(f"class {index}" for index in range(1000))),
    "dinov2-base": DINOV2,
    "franca-base": FRANCA,
}
"""By alias; the classes' names are not known here."""


def tensors(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """A published state dict, nested (pretrained) or flat (ImageNet), under our names; no tensor is copied."""
    return {_our_name(name): value for name, value in flat(published).items()}


def flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """All values by name; nested names are joined by dots."""
    out: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            out |= {f"{name}.{inner}": deeper for inner, deeper in flat(value).items()}
        else:
            out[str(name)] = value
    return out


def name_in_file(ours: str, file: Mapping[str, Any]) -> str:
    """What one of our tensors is called in a published file, given by its flat names: pretrained or fine-tuned."""
    if not any(name.startswith(tuple(_RENAMED)) for name in file):
        return ours
    theirs, prefix = next(((old, new) for old, new in _RENAMED.items() if ours.startswith(new)), ("", ""))
    return theirs + ours.removeprefix(prefix)


def _our_name(name: str) -> str:
    old = next((prefix for prefix in _RENAMED if name.startswith(prefix)), None)
    return _RENAMED[old] + name.removeprefix(old) if old else name
