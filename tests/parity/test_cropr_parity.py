"""Token Cropr in our ViT, on the published layouts, equals the outputs of the authors' code (float32, CPU)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from lookwhere_cli.amounts import DropRate
from lookwhere_cli.checkpoints.published import cropr as published_cropr
from lookwhere_cli.checkpoints.published.convert import check_layout, convert
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning.auxiliary import AttentionVariant, Auxiliaries, Auxiliary
from lookwhere_cli.models.pruning.cropr import PruningModule, restore_order
from lookwhere_cli.models.pruning.schedule import Pruning
from lookwhere_cli.models.vit import ALL, cut
from tests.parity.official_checkpoint import checkpoint, pictures, uniform

HERE = Path(__file__).parent
CASES = ["cropr", "cropr_fusion"]
TOLERANCE = 1e-5  # of the tensor's standard deviation


def passed(model: LookWhere, high: Tensor, returned: slice = ALL) -> tuple[Tensor, Tensor]:
    """Return the tokens after the final norm, in the order of the blocks' output, and the remaining cells' places."""
    vit = model.extractor
    tokens = vit.embed(cut(high, model.config.patch), model.config.grid)
    tokens = torch.cat([vit.prefix().expand(len(tokens), -1, -1), tokens], dim=1)
    cropped = vit.cropr(tokens, vit.blocks, returned)
    return vit.norm(cropped.tokens), cropped.places


@cache
def model_of(case: str) -> tuple[LookWhere, Auxiliaries]:
    """Return the converted model, and the auxiliary heads of the file."""
    state = checkpoint(case)
    config, pruning = published_cropr.infer_config(state)
    check_layout(state, published_cropr.expected_tensors(config, pruning), HERE / case, case)
    model = LookWhere(replace(config, prune=pruning.amount, prune_fusion=pruning.fusion))
    model.load_state_dict(published_cropr.rename_tensors(state), strict=True)
    teachers = Auxiliaries(model.extractor.cropr, 1, len(config.labels))
    theirs = {name.removeprefix("cropr."): tensor for name, tensor in state.items() if name.startswith("cropr.")}
    teachers.load_state_dict(theirs, strict=True)
    return model.eval(), teachers


def expected(case: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(HERE / f"expected_{case}.safetensors", "pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert ((ours - theirs).abs().max() / theirs.std()).item() <= TOLERANCE


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_inference_equals_the_authors_code(case: str) -> None:
    metadata, theirs = expected(case)
    model, _ = model_of(case)
    high = pictures(int(metadata["pictures"]), int(metadata["size"]))
    cropr = model.extractor.cropr
    assert cropr.pruning == Pruning(int(metadata["pruning_rate"]), metadata["last_layer_fusion"] == "True")
    assert list(cropr.counts(197)) == theirs["tokens_kept"].tolist()
    tokens, places = passed(model, high)
    close(tokens[:, 0], theirs["final_cls"])
    close(model.logits(tokens[:, 0]), theirs["logits"])
    if "final_tokens_every_8th_channel" in theirs:
        given = theirs["final_tokens_every_8th_channel"]
        close(tokens[..., ::8], given)
        close(restore_order(tokens[:, 1:, ::8], places), restore_order(given[:, 1:], places))
        assert torch.equal(places.sort(dim=1).values, torch.arange(196).expand(len(high), 196))
    else:
        assert tokens.shape[1] == theirs["tokens_kept"][-1] == places.shape[1] + 1


@pytest.mark.parametrize("case", CASES)
@torch.inference_mode()
def test_a_converted_file_equals_the_authors_code(case: str, tmp_path: Path) -> None:
    metadata, theirs = expected(case)
    torch.save(checkpoint(case), tmp_path / "theirs.pt")
    assert convert(tmp_path / "theirs.pt", tmp_path / "ours") == "cropr"
    loaded = load_model(str(tmp_path / "ours"), "cpu")
    model, config = loaded.model, loaded.config
    assert (config.prune, config.prune_fusion, config.labels[207]) == (
        DropRate(8),
        case == "cropr_fusion",
        "golden retriever",
    )
    assert not any("cross_attn" in name for name in model.state_dict())
    patches = cut(pictures(int(metadata["pictures"]), int(metadata["size"])), config.patch)
    cells, nothing = torch.arange(196).expand(len(patches), -1), torch.zeros(len(patches), 1, config.dim)
    chosen = Chosen(patches, cells, config.grid, nothing)
    cls = model.extract(chosen)
    close(cls, theirs["final_cls"])
    close(model.logits(cls), theirs["logits"])
    if case == "cropr_fusion":
        given = theirs["final_tokens_every_8th_channel"]
        places = passed(model_of(case)[0], pictures(len(patches), int(metadata["size"])))[1]
        close(model.extract_dense(chosen).tokens[..., ::8], restore_order(given[:, 1:], places))


@pytest.mark.parametrize("case", CASES)
def test_training_equals_the_authors_code(case: str) -> None:
    metadata, theirs = expected(case)
    model, teachers = model_of(case)
    model.train()
    with torch.no_grad(), model.extractor.cropr.record_inputs() as seen:
        tokens, _ = passed(model, pictures(int(metadata["pictures"]), int(metadata["size"])), slice(0, 1))
        close(teachers(seen)[:, :, 0], theirs["train_auxiliary_logits"])
    close(model.logits(tokens[:, 0]), theirs["train_logits"])
    model.eval()


@torch.inference_mode()
def test_a_dense_module_equals_the_authors_code() -> None:
    metadata, theirs = expected("cropr_dense_module")
    count, classes, rate = (int(metadata[name]) for name in ("queries", "classes", "pruning_rate"))
    config = published_cropr.infer_config(checkpoint("cropr"))[0]
    teacher = Auxiliary(config, count, classes, AttentionVariant())
    teacher.load_state_dict(checkpoint("cropr_dense"), strict=True)
    module = PruningModule(config, norm=False)
    module.query.copy_(teacher.cross_attn.summed_query())
    tokens = uniform("dense tokens", (2, 197, config.dim), 0, 1.5)

    close(teacher(tokens), theirs["auxiliary_logits"])
    scores = module.scores(tokens)
    close(scores, theirs["scores"])
    order = module(tokens, prefix=1)
    given = torch.cat([theirs["kept_index"], theirs["pruned_index"]], dim=1).long()
    assert order.shape[1] - rate == theirs["kept_index"].shape[1]
    # Where the order differs, the scores are nearly equal.
    close(scores.gather(1, order), theirs["scores"].gather(1, given))
    assert (order != given).float().mean() < 0.02


@pytest.mark.parametrize("wrong", ["eps", "gelu"])
def test_a_wrong_eps_or_a_tanh_gelu_fails(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, norm = F.gelu, F.layer_norm
    if wrong == "gelu":
        monkeypatch.setattr(F, "gelu", lambda x: exact(x, approximate="tanh"))
    else:
        monkeypatch.setattr(F, "layer_norm", lambda x, shape, weight, bias, eps: norm(x, shape, weight, bias, 1e-5))
    with pytest.raises(AssertionError):
        test_inference_equals_the_authors_code("cropr")
