"""Our cascade, given the published layout's shapes, equals the outputs of the authors' code (float32, CPU)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lookwhere_cli.checkpoints.published import dvt as published_dvt
from lookwhere_cli.models.cascade.dvt import DVT, ExitState
from lookwhere_cli.models.cascade.shapes import PUBLISHED_SHAPES
from lookwhere_cli.models.config import Config
from tests.parity.official_checkpoint import checkpoint, pictures
from tests.parity.test_lookwhere_parity import expected

TINY = Config(labels=tuple(f"class {index}" for index in range(1000)))
LOGITS = ("logits_7x7", "logits_10x10", "logits_14x14")


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max().item() <= 1e-5 * theirs.std().item()


@torch.inference_mode()
def test_equals_the_authors_code() -> None:
    model = DVT(TINY, PUBLISHED_SHAPES).eval()
    model.load_state_dict(published_dvt.rename_tensors(checkpoint("dvt")), strict=True)
    metadata, theirs = expected("dvt")
    shown = pictures(int(metadata["pictures"]), int(metadata["size"]))
    for ours, name in zip(model(shown), LOGITS, strict=True):
        close(ours, theirs[name])

    model.exits[-1].last = False  # keep what a next exit would reuse
    state = ExitState(shown, model.grids)
    for exit_ in model.exits:
        _, state = exit_(state)
    close(state.previous.features[..., ::8], theirs["features_14x14_every_8th_channel"])
    close(state.previous.relations[0][:, 0, :50, :50], theirs["relation_first_block_14x14_head_0"])


def test_a_tanh_gelu_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = F.gelu
    monkeypatch.setattr(F, "gelu", lambda x: exact(x, approximate="tanh"))
    with pytest.raises(AssertionError):
        test_equals_the_authors_code()
