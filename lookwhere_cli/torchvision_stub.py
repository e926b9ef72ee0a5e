"""Makes torchvision importable beside a torch that its compiled part was not built for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.library import Library

_libraries: list[Library] = []
"""torch forgets operators whose library is no longer referenced."""


def ensure_torchvision_imports() -> None:
    """Import torchvision; if its compiled part does not load, declare the operators whose lack stops the import.

    PyPI's torchvision for Linux is built against the CUDA torch, and its binary does not load beside a CPU-only torch.
    timm and torchmetrics import torchvision, but use only what is pure Python, so declaring two operators is enough.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)
