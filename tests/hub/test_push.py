"""Uploading to the Hub: the files, the card, and what is refused."""

import json
from dataclasses import replace

import pytest
import torch
from huggingface_hub import ModelCard

from lookwhere_cli.card import describe
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.layout import RESULTS, TRAINING
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.macs import passes
from lookwhere_cli.strategies.registry import default_strategy
from tests.models.small import LABELLED, SEGMENTING, SMALL, small

NAME = "someone/birds"
TRAINED = {
    "teachers": ["vit_tiny"],
    "photographs": 1200,
    "views": 24000,
    "seconds": 600,
    "device": "cpu",
    "command": "lookwhere pretrain photos/",
}
MEASURED = {"accuracy": {"birds": 0.875}, "pictures": {"birds": 80}, "command": "python benchmarks/accuracy.py"}


@pytest.fixture
def licensed(tmp_path):
    folder = tmp_path / "birds"
    save_model(folder, small(replace(LABELLED, license="apache-2.0")), "# an old card\n")
    (folder / TRAINING).write_text(json.dumps(TRAINED))
    (folder / RESULTS).write_text(json.dumps(MEASURED))
    (folder / "checkpoint.pt").write_bytes(b"not for others")
    return folder


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


def test_an_uploaded_model_can_be_pulled(hub, home, lookwhere, licensed, token):
    ran = lookwhere("models", "push", licensed, NAME)
    assert ran.code == 0, ran.err
    repository = hub.repositories[NAME]
    assert ran.out == f"{NAME}\t{repository.refs['main']}\n"
    assert "Bearer hf_secret" in [request.token for request in hub.requests]
    assert sorted(repository.commits[repository.refs["main"]]) == sorted(
        ["README.md", "config.json", "model.safetensors", "results.json", "training.json"]
    )
    pulled = load_model(NAME, "cpu")
    expected = small(LABELLED).state_dict()
    assert pulled.revision == repository.refs["main"]
    assert all(torch.equal(value, expected[key]) for key, value in pulled.model.state_dict().items())


def test_the_card_has_a_section_for_each_record(hub, home, lookwhere, licensed, token):
    lookwhere("models", "push", licensed, NAME)
    repository = hub.repositories[NAME]
    card = ModelCard(repository.commits[repository.refs["main"]]["README.md"].decode())
    assert card.data.license == "apache-2.0" and card.data.library_name == "lookwhere"
    assert card.data.pipeline_tag == "image-classification" and "lookwhere" in card.data.tags
    for part in (
        "# someone/birds",
        "cat, dog, bird",
        "1,200 photographs",
        "| birds | 80 | 87.5% |",
        "pip install -c constraints.txt .",
        "--model " + NAME,
    ):
        assert part in card.text
    assert "old card" not in card.text


def test_text_that_is_not_valid_unicode_is_uploaded_escaped(hub, home, lookwhere, tmp_path, token):
    labels = ("caf\udce9", "dog", "bird")
    save_model(tmp_path / "m", small(replace(LABELLED, labels=labels, license="mit")))
    ran = lookwhere("models", "push", tmp_path / "m", NAME)
    assert ran.code == 0, ran.err
    repository = hub.repositories[NAME]
    assert b"caf\\udce9, dog, bird" in repository.commits[repository.refs["main"]]["README.md"]
    assert load_model(NAME, "cpu").config.labels == labels


def test_the_hub_finds_models_by_what_they_do(hub, home, lookwhere, token, tmp_path):
    pipelines = {"image-segmentation": SEGMENTING, "image-feature-extraction": SMALL, "image-classification": LABELLED}
    for pipeline, config in pipelines.items():
        save_model(tmp_path / pipeline, small(replace(config, license="mit")))
        assert lookwhere("models", "push", tmp_path / pipeline, NAME).code == 0
        repository = hub.repositories[NAME]
        card = ModelCard(repository.commits[repository.refs["main"]]["README.md"].decode())
        assert card.data.pipeline_tag == pipeline


def test_the_card_counts_the_coarse_patches():
    plain, coarse = (replace(LABELLED, coarse_size=size) for size in (0, 8))
    spent = default_strategy(coarse).default_macs()
    assert (
        spent
        == passes.count_image(LABELLED, (6, 6), (3, 3), 18, coarse=4).total
        > default_strategy(plain).default_macs()
    )
    assert "and all of the picture at 8 px" in describe(coarse) and "and all of" not in describe(plain)


def test_a_model_without_a_licence_is_not_uploaded(hub, home, lookwhere, model_folder, token):
    ran = lookwhere("models", "push", model_folder, NAME)
    assert ran.code == 3 and "has no licence" in ran.err and '"license"' in ran.err
    assert not hub.requests


def test_without_a_token_the_error_says_how_to_log_in(hub, home, lookwhere, licensed):
    ran = lookwhere("models", "push", licensed, NAME)
    assert ran.code == 3 and "hf auth login" in ran.err and "HF_TOKEN" in ran.err
    assert not hub.requests


def test_a_token_that_may_not_write(hub, home, lookwhere, licensed, token):
    hub.faults.status = 403
    ran = lookwhere("models", "push", licensed, NAME)
    assert ran.code == 3 and "Your token is not allowed" in ran.err


def test_damaged_weights_and_wrong_names_are_not_uploaded(hub, home, lookwhere, licensed, token):
    assert lookwhere("models", "push", licensed, "birds").code == 2
    assert lookwhere("models", "push", licensed / "nowhere", NAME).code == 2
    file = licensed / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    ran = lookwhere("models", "push", licensed, NAME)
    assert ran.code == 3 and "has changed since it was saved" in ran.err
    assert not hub.requests
