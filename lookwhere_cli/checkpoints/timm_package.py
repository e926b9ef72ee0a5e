"""timm, imported where that takes some care; and what it knows of ImageNet-1k's classes."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import torch

_kept: list[torch.library.Library] = []


def import_timm() -> ModuleType:
    """The timm package, also where torchvision's compiled part does not load.

    PyPI's torchvision for Linux is built against the CUDA torch. Beside a CPU-only torch its binary stays unloaded, and
    the import stops at the first operator that the binary would have defined. timm uses only what is pure Python, so
    declaring the two operators is enough.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)
    import timm

    return timm


def imagenet_names() -> tuple[str, ...]:
    """ImageNet-1k's 1000 classes: the first of each one's synonyms, with the index where two share it (crane)."""
    import_timm()
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    described = [info.index_to_description(index) for index in range(1000)]
    first = [description.split(",")[0] for description in described]
    shared = {name for name, times in Counter(first).items() if times > 1}
    return tuple(f"{short} ({index})" if short in shared else short for index, short in enumerate(first))
