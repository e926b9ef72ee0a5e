"""Import of timm, which may need a workaround, and its names of ImageNet-1k's classes."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

from lookwhere_cli.checkpoints.environment import check_client
from lookwhere_cli.torchvision_stub import ensure_torchvision_imports


def import_timm() -> ModuleType:
    """Return the timm package, even if torchvision's compiled part does not load. Raises ModelError."""
    check_client()  # timm imports the Hub's client
    ensure_torchvision_imports()
    import timm

    return timm


def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet-1k's 1000 classes: their first synonyms, with the index if two share it (crane)."""
    import_timm()
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    described = [info.index_to_description(index) for index in range(1000)]
    first = [description.split(",")[0] for description in described]
    shared = {name for name, times in Counter(first).items() if times > 1}
    return tuple(f"{short} ({index})" if short in shared else short for index, short in enumerate(first))
