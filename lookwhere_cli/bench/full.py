"""The reference of benchmarks: timm's ViT of the extractor's shape, with random weights."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config


def full_vit(config: Config, grid: Grid) -> Any:
    """Make timm's VisionTransformer for pictures of `grid` (rows, columns) patches, frozen, in evaluation mode.

    All tokens go through all blocks. Its forward takes (batch, 3, rows * patch, columns * patch) and returns logits.
    """
    timm = import_timm()
    shape: dict[str, Any] = {
        "img_size": (grid[0] * config.patch, grid[1] * config.patch),
        "patch_size": config.patch,
        "embed_dim": config.dim,
        "depth": config.extractor_depth,
        "num_heads": config.heads,
        "mlp_ratio": config.hidden / config.dim,
        "init_values": 1e-5 if config.layer_scale else None,
        "reg_tokens": config.registers,
        "no_embed_class": not config.prefix_positions,
        "num_classes": len(config.labels),
        "norm_layer": partial(nn.LayerNorm, eps=config.eps),
    }
    if config.feed_forward == "swiglu":
        shape |= {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": nn.SiLU}
    return timm.models.VisionTransformer(**shape).eval().requires_grad_(False)
