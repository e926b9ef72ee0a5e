"""DVT's published layout: its conversion, and the errors for files that nearly have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lookwhere_cli.checkpoints.published import convert as converting
from lookwhere_cli.checkpoints.published import dvt as published_dvt
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.cascade.shapes import PUBLISHED_SHAPES
from tests.models.small import CASCADE, noise, small_cascade

CONFIG = replace(
    CASCADE,
    heads=1,
    thumbnail_grid=(7, 7),
    exits=((3, 3, 8, 0), (4, 4, 7, 2), (6, 6, 4, 0)),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    crop_share=0.875,
    labels=("class 0", "class 1", "class 2"),
)
THEIRS = {
    "reuse.relations.conv1.": "relation_reuse_conv.0.",
    "reuse.relations.conv2.": "relation_reuse_conv.2.",
    ".norm.": ".feature_resuse_mlp.0.",
    ".fc": ".feature_resuse_mlp.1.fc",
}


def their_name(ours: str) -> str:
    """Return the published name: the inverse of the conversion, written independently."""
    _, number, rest = ours.split(".", 2)
    if rest.startswith("reuse."):
        for mine, theirs in THEIRS.items():
            rest = rest.replace(mine, theirs)
        rest = rest.replace("reuse.features.", "blocks.")
    return f"{published_dvt.EXITS[int(number)]}.{rest}"


def published() -> dict[str, Any]:
    """A small cascade's tensors, in the layout of the authors' file, with its other contents."""
    state = {their_name(name): tensor for name, tensor in small_cascade(CONFIG).state_dict().items()}
    return {"model_state_dict": state, "flops": [0.3, 1.0, 2.7], "dynamic_threshold": torch.zeros(59, 3)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save(published(), tmp_path / "dvt.pt")
    return tmp_path / "dvt.pt"


def test_a_converted_model_gives_the_same_logits(lookwhere: Any, file: Path, tmp_path: Path) -> None:
    ran = lookwhere("models", "convert", file, tmp_path / "out")
    assert (ran.code, ran.out) == (0, f"{tmp_path / 'out'}\tdvt\n")
    loaded = load_model(str(tmp_path / "out"))
    assert loaded.config == CONFIG
    pictures = noise(2, 3, 24, 24)
    torch.testing.assert_close(loaded.model(pictures), small_cascade(CONFIG)(pictures))
    assert "NeurIPS 2021" in (tmp_path / "out" / "README.md").read_text()


def test_a_thousand_classes_have_imagenets_names(monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path) -> None:
    monkeypatch.setattr(converting, "IMAGENET", 3)
    monkeypatch.setattr(converting, "imagenet_names", lambda: ("tench", "shark", "ray"))
    converting.convert(file, tmp_path / "out", half=True)
    loaded = load_model(str(tmp_path / "out"), dtype="float16")
    assert loaded.config.labels == ("tench", "shark", "ray") and next(loaded.model.parameters()).dtype == torch.float16


def test_the_config_follows_from_names_and_shapes() -> None:
    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta")

    file: dict[str, Tensor] = {"less_less_token.head.weight": empty(5, 192)}
    for name, (tokens, kernel) in zip(published_dvt.EXITS, ((50, 32), (101, 23), (197, 16)), strict=True):
        file[f"{name}.pos_embed"] = empty(1, tokens, 192)
        file[f"{name}.patch_embed.proj.weight"] = empty(192, 3, kernel, kernel)
        file[f"{name}.blocks.11.mlp.fc1.weight"] = file[f"{name}.blocks.0.mlp.fc1.weight"] = empty(768, 192)
    config = published_dvt.infer_config(file)
    assert config.exits == tuple((*shape.grid, shape.patch, shape.padding) for shape in PUBLISHED_SHAPES)
    assert (config.dim, config.heads, config.extractor_depth, config.hidden, config.size) == (192, 3, 12, 768, 224)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("less_token.blocks.1.feature_resuse_mlp.1.fc1.weight"), "lacks 1: exits.1.reuse"),
        (lambda state: state.update({"less_token.extra": torch.zeros(1)}), "has in excess 1: .*less_token.extra"),
        (
            lambda state: state.update({"normal_token.norm.bias": torch.zeros(7)}),
            "norm.bias is 7 instead",
        ),
        (lambda state: state.pop("normal_token.pos_embed"), "it has no exits.2.pos_embed of 3 axes"),
        (lambda state: state.update({"less_token.pos_embed": torch.zeros(1, 5, 24)}), "must grow"),
    ],
)
def test_the_error_names_what_differs_from_the_layout(change: Any, words: str, tmp_path: Path) -> None:
    whole = published()
    change(whole["model_state_dict"])
    torch.save(whole, tmp_path / "dvt.pt")
    with pytest.raises(ModelError, match=f"does not have the layout of dvt: .*{words}"):
        converting.convert(tmp_path / "dvt.pt", tmp_path / "out")
