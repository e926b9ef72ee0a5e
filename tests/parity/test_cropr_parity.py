"""Token Cropr in our ViT, on the published layouts, equals what the authors' own code gave (float32, CPU)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from lookwhere_cli.checkpoints import published_cropr
from lookwhere_cli.checkpoints.convert import check
from lookwhere_cli.models.auxiliary import Attending, Auxiliaries, Auxiliary
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.cropr import Cropr, PruningModule, put_back
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.schedule import Pruning
from lookwhere_cli.models.vit import ALL, cut
from tests.parity.official_checkpoint import checkpoint, pictures, uniform

HERE = Path(__file__).parent
CASES = ["cropr", "cropr_fusion"]
TOLERANCE = 1e-5  # of the tensor's standard deviation


class Pruned(LookWhere):
    """A full ViT with pruning modules in its extractor."""

    def __init__(self, config: Config, pruning: Pruning) -> None:
        super().__init__(config)
        self.extractor.cropr = Cropr(config, pruning)

    def forward(self, high: Tensor, returned: slice = ALL) -> tuple[Tensor, Tensor]:
        """Normed tokens, and the places of those that are left."""
        vit = self.extractor
        tokens = vit.embed(cut(high, self.config.patch), self.config.grid)
        tokens = torch.cat([vit.prefix().expand(len(tokens), -1, -1), tokens], dim=1)
        cropped = vit.cropr(tokens, vit.blocks, returned)
        return vit.norm(cropped.tokens), cropped.places


@cache
def model_of(case: str) -> tuple[Pruned, Auxiliaries]:
    """The model as it is converted, and its teachers as the file has them."""
    state = checkpoint(case)
    config, pruning = published_cropr.described(state)
    check(state, published_cropr.layout(config, pruning), HERE / case, case)
    model = Pruned(config, pruning)
    model.load_state_dict(published_cropr.tensors(state), strict=True)
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
    tokens, places = model(high)
    close(tokens[:, 0], theirs["final_cls"])
    close(model.logits(tokens[:, 0]), theirs["logits"])
    if "final_tokens_every_8th_channel" in theirs:
        given = theirs["final_tokens_every_8th_channel"]
        close(tokens[..., ::8], given)
        close(put_back(tokens[:, 1:, ::8], places), put_back(given[:, 1:], places))
        assert torch.equal(places.sort(dim=1).values, torch.arange(196).expand(len(high), 196))
    else:
        assert tokens.shape[1] == theirs["tokens_kept"][-1] == places.shape[1] + 1


@pytest.mark.parametrize("case", CASES)
def test_training_equals_the_authors_code(case: str) -> None:
    metadata, theirs = expected(case)
    model, teachers = model_of(case)
    model.train()
    with torch.no_grad(), model.extractor.cropr.watched() as seen:
        tokens, _ = model(pictures(int(metadata["pictures"]), int(metadata["size"])), slice(0, 1))
        close(teachers(seen)[:, :, 0], theirs["train_auxiliary_logits"])
    close(model.logits(tokens[:, 0]), theirs["train_logits"])
    model.eval()


@torch.inference_mode()
def test_a_dense_module_equals_the_authors_code() -> None:
    metadata, theirs = expected("cropr_dense_module")
    count, classes, rate = (int(metadata[name]) for name in ("queries", "classes", "pruning_rate"))
    config = published_cropr.described(checkpoint("cropr"))[0]
    teacher = Auxiliary(config, count, classes, Attending())
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
    # Where the order differs, the scores are all but equal.
    close(scores.gather(1, order), theirs["scores"].gather(1, given))
    assert (order != given).float().mean() < 0.02


@pytest.mark.parametrize("wrong", ["eps", "gelu"])
def test_a_wrong_eps_or_a_tanh_gelu_would_be_noticed(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, norm = F.gelu, F.layer_norm
    if wrong == "gelu":
        monkeypatch.setattr(F, "gelu", lambda x: exact(x, approximate="tanh"))
    else:
        monkeypatch.setattr(F, "layer_norm", lambda x, shape, weight, bias, eps: norm(x, shape, weight, bias, 1e-5))
    with pytest.raises(AssertionError):
        test_inference_equals_the_authors_code("cropr")
