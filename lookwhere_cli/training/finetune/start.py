"""The weights that fine-tuning starts with: those of another model, in the shapes of the new one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere

_HEADS = ("head.", "decoder.", "detector.")
_HEAD_FIELDS = ("labels", "task", "multi_label", "pool", "detect_points", "detect_channels")


def start_of(base: LookWhere, config: Config) -> LookWhere:
    """Return a model with this config and the weights of `base`: float32, trainable.

    Positions and the map's pieces are resized. Blocks that the selector gains are copies of the extractor's, whose
    first blocks it started with. Heads and the decoder have fresh weights unless labels, pooling and task are the same.
    """
    model = LookWhere(config)
    state = {name: tensor.float().clone() for name, tensor in base.state_dict().items()}
    state["extractor.pos_embed"] = base.extractor.float().positions_for(config.grid)
    if config.has_selector:
        state |= _selector_changes(base, config, state)
    own = model.state_dict()
    same_head = has_same_head(base.config, config)
    usable = {
        name: tensor
        for name, tensor in state.items()
        if name in own and own[name].shape == tensor.shape and (same_head or not name.startswith(_HEADS))
    }
    model.load_state_dict(usable, strict=False)
    _freeze_replaced_tokens(model)
    return model


def has_same_head(one: Config, other: Config) -> bool:
    """Return True if the head of one model fits the other, with the same meaning."""
    return all(getattr(one, name) == getattr(other, name) for name in _HEAD_FIELDS)


def _selector_changes(base: LookWhere, config: Config, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the selector's tensors that differ from those of `base`."""
    changes = {"selector.backbone.pos_embed": base.selector.backbone.float().positions_for(config.thumbnail_grid)}
    for name, tensor in state.items():
        block = name.removeprefix("extractor.blocks.")
        if block != name and base.config.selector_depth <= int(block.split(".")[0]) < config.selector_depth:
            changes[f"selector.backbone.blocks.{block}"] = tensor.clone()
    scales = base.config.map_scale, config.map_scale
    if scales[0] != scales[1]:
        for name in ("selector.head.w2.weight", "selector.head.w2.bias"):
            changes[name] = _resize_pieces(state[name], *scales)
    return changes


def _resize_pieces(rows: Tensor, old: int, new: int) -> Tensor:
    """Resize the first axis, which holds old x old pieces of the map, to new x new."""
    square = rows.reshape(old, old, -1).permute(2, 0, 1)[None]
    resized = F.interpolate(square, size=(new, new), mode="bilinear", align_corners=False)[0]
    return resized.flatten(1).T.reshape(new * new, *rows.shape[1:])


def _freeze_replaced_tokens(model: LookWhere) -> None:
    """Exclude the extractor's own prefix tokens from training if the selector's replace them: they get no gradient."""
    if model.config.prefix == "replace":
        with torch.no_grad():
            model.extractor.cls_token.requires_grad_(False)
            if model.extractor.reg_token is not None:
                model.extractor.reg_token.requires_grad_(False)
