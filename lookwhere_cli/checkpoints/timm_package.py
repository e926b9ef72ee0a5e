"""Import of timm, which may need a workaround, and its names of ImageNet-1k's classes."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import torch

_libraries: list[torch.library.Library] = []
"""Torch drops the definitions of a library that is garbage-collected."""


def import_timm() -> ModuleType:
    """Return the timm package, even if torchvision's compiled part does not load.

    PyPI's torchvision for Linux is built against the CUDA torch. With a CPU-only torch its binary does not load, and
    the import fails at the first operator that the binary would have defined. timm uses only the pure Python part, so
    it is enough to declare the two operators.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)
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
