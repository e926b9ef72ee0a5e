"""timm's Vision Transformers: teachers for distillation, and full models for comparison."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from lookwhere_cli.checkpoints.timm_file import TimmFile, read_timm_file
from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.checkpoints.timm_spec import parse_timm_spec
from lookwhere_cli.checkpoints.timm_weights import cached_weights, check_obtainable
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.config import Config


@dataclass(frozen=True)
class TimmViT:
    """A timm ViT with its pretraining statistics and licence."""

    name: str
    vit: Any
    """timm's VisionTransformer: frozen, in evaluation mode."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_share: float
    license: str | None

    def fingerprint(self) -> str:
        """Return a hash of name, statistics and weights: all that a student's targets depend on."""
        digest = hashlib.sha256(f"{self.name} {self.mean} {self.std}".encode())
        for tensor in self.vit.state_dict().values():
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()


def load_vit(spec: str, size: int | None = None) -> TimmViT:
    """Load a timm ViT by NAME (timm downloads it), from a FILE (safetensors, or a pickle of tensors), or as NAME=FILE.

    A file alone must have beside it the config.json of the Hub, which names the architecture, or say itself how many
    attention heads it has, in its metadata or by normalised queries: the other shapes do not tell. In the latter case,
    mean and deviation of the pixels are timm's default for ViTs (0.5 each). size: resizes the positions to pictures of
    this many pixels squared. Raises ModelError.
    """
    name, file = parse_timm_spec(spec)
    timm = import_timm()
    if file:
        read = read_timm_file(Path(file))
        name = name or (read.architecture if timm.is_model(read.architecture) else "")
        vit = _named(timm, name, read.tensors, size) if name else _inferred(timm, file, read, size)
    else:
        vit = _downloaded(timm, name, size)
    cfg = vit.pretrained_cfg or {}
    return TimmViT(
        name or Path(file).resolve().parent.name,
        vit.eval().requires_grad_(False),
        tuple(cfg.get("mean", (0.5,) * 3)),
        tuple(cfg.get("std", (0.5,) * 3)),
        float(cfg.get("crop_pct", 0.9)),
        cfg.get("license"),
    )


def _downloaded(timm: ModuleType, name: str, size: int | None) -> Any:
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('.')[0]}*", module="vision_transformer")[:3]
        offer = f" Similar ones: {', '.join(near)}." if near else ""
        raise ModelError(f"timm has no model {name!r}, and there is no such file.{offer}")
    arguments = _size_argument(size) | _source_arguments(timm, name)
    try:
        return _check_plain(timm.create_model(name, pretrained=True, **arguments), name)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"The weights of {name!r} can't be downloaded ({error}); give a file: {name}=FILE.") from None


def _source_arguments(timm: ModuleType, name: str) -> dict[str, Any]:
    """Let timm read cached weights without asking the Hub. Raises ModelError if it would have to, and can't."""
    repository = timm.get_pretrained_cfg(name).hf_hub_id
    file = cached_weights(repository) if repository else None
    if file is None:
        check_obtainable(name)
        return {}
    return {"pretrained_cfg_overlay": {"file": file, "custom_load": False}}


def _named(timm: ModuleType, name: str, state: dict[str, Tensor], size: int | None) -> Any:
    if not timm.is_model(name):
        raise ModelError(f"timm has no model {name!r}; write NAME=FILE with a name that timm has, or the file alone.")
    classes = len(state["head.weight"]) if "head.weight" in state else 0
    vit = _check_plain(timm.create_model(name, num_classes=classes, **_size_argument(size)), name)
    return _load_state(timm, vit, state, name)


def _inferred(timm: ModuleType, file: str, read: TimmFile, size: int | None) -> Any:
    state = read.tensors
    try:
        arguments = _arguments(state)
        heads = read.heads or _heads_of(state)
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(f"{file!r} holds no plain ViT with timm's tensor names ({error}).") from None
    if heads is None or arguments["embed_dim"] % heads:
        raise ModelError(
            f"{file!r} does not tell how many attention heads its ViT has; name timm's model as well: NAME={file}."
        )
    vit = timm.models.VisionTransformer(**(arguments | {"num_heads": heads} | _size_argument(size)))
    vit.pretrained_cfg = {}
    return _load_state(timm, vit, state, file)


def _size_argument(size: int | None) -> dict[str, int]:
    return {} if size is None else {"img_size": size}


def _load_state(timm: ModuleType, vit: Any, state: dict[str, Tensor], name: str) -> Any:
    with contextlib.suppress(KeyError):
        state = timm.models.vision_transformer.checkpoint_filter_fn(state, vit)
    try:
        vit.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ModelError(f"The tensors do not fit {name!r}: {str(error).splitlines()[1].strip()}") from None
    return vit


def _check_plain(vit: Any, name: str) -> Any:
    if type(vit).__name__ != "VisionTransformer":
        raise ModelError(f"{name!r} is a {type(vit).__name__}; give a plain Vision Transformer of timm.")
    return vit


def _arguments(state: dict[str, Tensor]) -> dict[str, Any]:
    """Infer the constructor's arguments from the tensors' shapes, all but the number of attention heads."""
    dim, _, patch, _ = state["patch_embed.proj.weight"].shape
    registers = state["reg_token"].shape[1] if "reg_token" in state else 0
    rows = state["pos_embed"].shape[1]
    bare = math.isqrt(rows) ** 2 == rows
    cells = rows if bare else rows - 1 - registers
    if math.isqrt(cells) ** 2 != cells:
        raise ValueError(f"{rows} positions are no square grid")
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    if state["blocks.0.mlp.fc2.weight"].shape[1] != hidden:
        raise ValueError("its feed-forward is gated; write NAME=FILE")
    return {
        "img_size": math.isqrt(cells) * patch,
        "patch_size": patch,
        "embed_dim": dim,
        "depth": 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks.")),
        "qk_norm": "blocks.0.attn.q_norm.weight" in state,
        "mlp_ratio": hidden / dim,
        "init_values": 1e-5 if "blocks.0.ls1.gamma" in state else None,
        "no_embed_class": bare,
        "reg_tokens": registers,
        "num_classes": len(state["head.weight"]) if "head.weight" in state else 0,
    }


def _heads_of(state: Mapping[str, Tensor]) -> int | None:
    """Return the number of attention heads, which only normalised queries show: they have a head's size."""
    norm = state.get("blocks.0.attn.q_norm.weight")
    return None if norm is None else state["patch_embed.proj.weight"].shape[0] // len(norm)


def config_of(timm_vit: TimmViT) -> Config:
    """Return the ViT's shapes as a config, with defaults for all that a plain ViT lacks. Raises ModelError."""
    vit = timm_vit.vit
    first = vit.blocks[0]
    if not isinstance(first.attn.q_norm, nn.Identity):
        raise ModelError(f"{timm_vit.name!r} normalises its queries, which a student can't; choose another teacher.")
    gated = first.mlp.fc1.out_features != first.mlp.fc2.in_features
    return Config(
        patch=vit.patch_embed.patch_size[0],
        dim=vit.embed_dim,
        heads=first.attn.num_heads,
        extractor_depth=len(vit.blocks),
        registers=vit.num_reg_tokens,
        grid=tuple(vit.patch_embed.grid_size),
        feed_forward="swiglu" if gated else "gelu",
        hidden=first.mlp.fc1.out_features,
        layer_scale=not isinstance(first.ls1, nn.Identity),
        eps=vit.norm.eps,
        prefix_positions=not vit.no_embed_class,
        mean=timm_vit.mean,
        std=timm_vit.std,
        crop_share=timm_vit.crop_share,
        license=timm_vit.license,
    )
