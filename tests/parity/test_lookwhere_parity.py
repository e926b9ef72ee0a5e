"""Our model, given the published layouts' shapes, equals the outputs of the authors' code (float32, CPU)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from lookwhere_cli.checkpoints.published import lookwhere as published
from lookwhere_cli.images.view import alias
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.spread_torch import spread_tensor
from lookwhere_cli.models.vit import cut
from tests.parity.official_checkpoint import checkpoint, pictures

HERE = Path(__file__).parent
CONFIGS = {
    "dinov2": published.DINOV2,
    "franca": published.FRANCA,
    "imagenet": published.imagenet_config(tuple(f"class {index}" for index in range(1000))),
}
LARGER = ["dinov2_518", "franca_518", "dinov2_994"]
CASES = ["imagenet_224", *(pytest.param(case, marks=pytest.mark.slow) for case in LARGER)]


@cache
def model_of(kind: str) -> LookWhere:
    model = LookWhere(CONFIGS[kind])
    missing, unexpected = model.load_state_dict(published.rename_tensors(checkpoint(kind)), strict=True)
    assert not missing and not unexpected
    return model.eval()


def expected(case: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(HERE / f"expected_{case}.safetensors", "pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def close(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max().item() <= tolerance


@pytest.mark.parametrize("case", CASES)
def test_equals_the_authors_code(case: str) -> None:
    check(model_of(case.split("_")[0]), case)


@torch.inference_mode()
def check(model: LookWhere, case: str) -> None:
    """Compare the model's outputs with those of the authors' code."""
    metadata, theirs = expected(case)
    size, k, count = (int(metadata[name]) for name in ("size", "k", "pictures"))
    high = pictures(count, size)
    patches = cut(high, model.config.patch)
    grid = (size // model.config.patch, size // model.config.patch)

    side = model.config.thumbnail_size
    small = torch.stack([torch.from_numpy(alias(one.permute(1, 2, 0).numpy(), side, side)) for one in high])
    selection = model.select(small.permute(0, 3, 1, 2), grid)
    close(selection.map, theirs["selector_map"].flatten(1), 4e-5)
    close(selection.prefix_tokens, theirs["prefix_tokens"], 4e-5)

    for scores, ours, given in zip(selection.map, choose(selection.map, k), theirs["cells"], strict=True):
        different = set(ours.tolist()) ^ set(given.tolist())
        assert len(different) <= 2
        assert all(abs(scores[cell] - scores[ours[-1]]) <= 2e-4 for cell in different)

    cells = theirs["cells"].long()
    read = torch.stack([one[at] for one, at in zip(patches, cells, strict=True)])
    chosen = Chosen(read, cells, grid, selection.prefix_tokens)
    cls = model.extract(chosen)
    close(cls, theirs["cls"].reshape(cls.shape), 4e-5)
    if "logits" in theirs:
        close(model.logits(cls), theirs["logits"], 1e-4)
        close(model.logits(cls).softmax(-1), theirs["probabilities"], 1e-5)
    if "dense_every_16th_channel" in theirs:
        dense = spread_tensor(model.extract_dense(chosen).tokens, cells, grid)
        ours = dense[..., ::16].transpose(1, 2).unflatten(-1, grid)
        sure = theirs["dense_without_tie"].bool().reshape(1, 1, *grid).expand_as(ours)
        close(ours[sure], theirs["dense_every_16th_channel"][sure], 4e-5)


def test_a_tanh_gelu_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = F.gelu
    monkeypatch.setattr(F, "gelu", lambda x: exact(x, approximate="tanh"))
    with pytest.raises(AssertionError):
        test_equals_the_authors_code("imagenet_224")
