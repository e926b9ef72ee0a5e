"""A teacher and photographs that are made in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from lookwhere_cli.checkpoints.timm_package import import_timm

CLASSES = 4
SHAPE = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 1, "num_classes": CLASSES}


def teacher_file(folder: Path, **changes: object) -> Path:
    """A plain timm ViT with random weights that do something, as safetensors."""
    torch.manual_seed(0)
    vit = import_timm().models.VisionTransformer(**(SHAPE | changes))
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    file = folder / "teacher.safetensors"
    save_file(vit.state_dict(), file, metadata={"num_heads": str(vit.blocks[0].attn.num_heads)})
    return file


def photographs(folder: Path, count: int = 6) -> Path:
    """Coloured noise with a bright square somewhere, of several shapes."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        height, width = 40 + 4 * index, 60 - 3 * index
        pixels = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
        row, column = rng.integers(0, 20, 2)
        pixels[row : row + 12, column : column + 12, index % 3] = 255
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder
