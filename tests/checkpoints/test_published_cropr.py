"""Token Cropr's published layout: its conversion, and the errors for files that nearly have it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lookwhere_cli.amounts import DropRate
from lookwhere_cli.card import describe
from lookwhere_cli.checkpoints.published import cropr as published_cropr
from lookwhere_cli.checkpoints.published.convert import convert
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning.auxiliary import Auxiliaries
from lookwhere_cli.models.pruning.cropr import Cropr
from lookwhere_cli.models.pruning.schedule import Pruning
from tests.models.small import LABELLED, small

CONFIG = replace(
    LABELLED,
    heads=1,
    extractor_depth=5,
    selector_depth=0,
    prefix="own",
    grid=(8, 8),
    k=1.0,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    crop_share=0.875,
)
PRUNING = Pruning(8, fusion=True)


@pytest.fixture
def published() -> dict[str, torch.Tensor]:
    """A small model's tensors, in the layout of the authors' file."""
    torch.manual_seed(0)
    state = {name.removeprefix("extractor."): tensor for name, tensor in small(CONFIG).state_dict().items()}
    return state | Auxiliaries(Cropr(CONFIG, PRUNING), 1, 3).state_dict(prefix="cropr.")


def test_the_config_follows_from_names_and_shapes(published) -> None:
    config, pruning = published_cropr.infer_config(published)
    assert replace(config, labels=CONFIG.labels, thumbnail_grid=CONFIG.thumbnail_grid) == CONFIG
    assert pruning == PRUNING and len(config.labels) == 3
    layout = published_cropr.expected_tensors(config, pruning)
    assert {name: tensor.shape for name, tensor in layout.items()} == {
        name: tensor.shape for name, tensor in published.items()
    }
    assert published_cropr.is_cropr(published)
    assert not published_cropr.is_cropr(small(CONFIG).state_dict())


def test_a_converted_model_prunes_as_the_published_one(published, tmp_path) -> None:
    torch.save(published, tmp_path / "theirs.pth")
    assert convert(tmp_path / "theirs.pth", tmp_path / "ours", half=True, card=describe) == "cropr"
    loaded = load_model(str(tmp_path / "ours"), "cpu")
    assert (loaded.config.prune, loaded.config.prune_fusion) == (DropRate(8), True)
    assert loaded.config.labels == ("class 0", "class 1", "class 2")
    assert loaded.model.extractor.cropr.pruning == PRUNING
    card = (tmp_path / "ours" / "README.md").read_text()
    assert "Token Cropr" in card and "from 65 tokens to 40, and come back" in card


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cropr.0.cross_attn.queries": torch.ones(1, 1, 7)}, r"has other shapes 1: cropr\.0\.cross_attn\.queries"),
        ({"cropr.1.cross_attn.odd": torch.ones(1)}, r"has in excess 1: cropr\.1\.cross_attn\.odd"),
        ({"pos_embed": torch.ones(1, 10, 24)}, "a rate of 8 drops 25 of 10 tokens"),
        ({"cropr.4.head.head.bias": torch.ones(3)}, "5 pruning modules for 5 blocks"),
    ],
)
def test_the_error_names_what_differs_from_the_layout(published, tmp_path, changed, words) -> None:
    torch.save(published | changed, tmp_path / "theirs.pth")
    with pytest.raises(ModelError, match=rf"does not have the layout of Token Cropr: .*{words}"):
        convert(tmp_path / "theirs.pth", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


def test_of_the_pruning_modules_only_the_summed_queries_are_converted(published) -> None:
    many = published | {"cropr.0.cross_attn.queries": torch.ones(1, 7, CONFIG.dim)}
    ours = published_cropr.rename_tensors(many)
    model = LookWhere(replace(CONFIG, prune=8, prune_fusion=True))
    model.load_state_dict(ours, strict=True)
    assert torch.equal(ours["extractor.cropr.0.query"], torch.full((CONFIG.dim,), 7.0))
    assert torch.equal(ours["extractor.cropr.1.query"], published["cropr.1.cross_attn.queries"][0, 0])
    assert torch.equal(ours["extractor.norm.weight"], published["norm.weight"])
    assert torch.equal(ours["head.bias"], published["head.bias"])


@pytest.mark.parametrize("lacking", ["patch_embed.proj.weight", "pos_embed", "head.weight", "blocks.0.mlp.fc1.weight"])
def test_the_error_names_a_missing_tensor(published, lacking: str) -> None:
    del published[lacking]
    with pytest.raises(ValueError, match=f"it has no {lacking}"):
        published_cropr.infer_config(published)


def test_the_error_counts_the_pruning_modules(published) -> None:
    few = {name: tensor for name, tensor in published.items() if not name.startswith("cropr.2.")}
    with pytest.raises(ValueError, match="2 pruning modules for 5 blocks; there must be 4, or 3 with"):
        published_cropr.infer_config(few)
