import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lookwhere_cli.checkpoints import folder as folders
from lookwhere_cli.checkpoints.folder import read_config, save_model, weights_match_header
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import ModelError, OutputError, UsageError
from tests.models.small import KINDS, LABELLED, small


@pytest.fixture
def copy(model_folder, tmp_path):
    return Path(shutil.copytree(model_folder, tmp_path / "copy"))


def change_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_comes_back_as_it_was(kind, tmp_path):
    model = small(KINDS[kind])
    revision = save_model(tmp_path / "m", model, "# card\n")
    loaded = load_model(str(tmp_path / "m"), "cpu")
    assert loaded.config == model.config and loaded.revision == revision
    assert all(torch.equal(value, loaded.model.state_dict()[key]) for key, value in model.state_dict().items())
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    assert (tmp_path / "m" / "README.md").read_text() == "# card\n"
    assert len({file.stat().st_mode for file in (tmp_path / "m").iterdir()}) == 1


def test_text_that_is_not_valid_unicode_is_saved_and_loaded(tmp_path):
    labels = ("caf\udce9", "\ud800 \x00 \\udce9", "naïve 😀")
    save_model(tmp_path, small(replace(LABELLED, labels=labels)), "# caf\udce9\n")
    assert read_config(tmp_path).labels == labels
    assert (tmp_path / "README.md").read_text() == "# caf\\udce9\n"
    assert "naïve 😀" in (tmp_path / "config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_half_precision_on_disk_is_cast_to_the_requested_dtype(dtype, tmp_path):
    save_model(tmp_path, small(LABELLED).half())
    loaded = load_model(str(tmp_path), "cpu", dtype)
    assert {p.dtype for p in loaded.model.parameters()} == {getattr(torch, dtype)}


def test_the_revision_comes_from_the_header_or_else_from_the_tensors(copy, model_folder, monkeypatch):
    revision = load_model(str(model_folder)).revision
    assert len(revision) == 12
    change_weights(copy, lambda tensors: None)  # a plain file, without the revision in its header
    assert load_model(str(copy)).revision == revision
    change_weights(copy, lambda tensors: tensors["head.bias"].add_(1))
    assert load_model(str(copy)).revision != revision
    monkeypatch.setattr(folders, "_hash", lambda tensors: pytest.fail("the whole file was read"))
    assert load_model(str(model_folder)).revision == revision


def test_saving_replaces_a_model_and_keeps_other_files(copy):
    (copy / "curves.png").write_bytes(b"curves")
    before = load_model(str(copy)).revision
    save_model(copy, small(replace(LABELLED, dim=12), seed=3))
    assert load_model(str(copy)).revision != before
    assert sorted(file.name for file in copy.iterdir()) == [
        *("README.md", "SHA256SUMS", "config.json", "curves.png", "model.safetensors")
    ]


def test_a_full_disk_keeps_the_old_weights(copy, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = (copy / "model.safetensors").read_bytes()
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_model(copy, small(LABELLED, seed=5))
    assert (copy / "model.safetensors").read_bytes() == before
    assert not list(copy.glob(".*"))


def test_a_folder_that_can_not_be_created(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="can't be created"):
        save_model(tmp_path / "file" / "model", small(LABELLED))


def test_a_wrong_shape_is_named_with_the_right_one(copy):
    change_weights(copy, lambda tensors: tensors.update({"head.weight": torch.zeros(3, 25)}))
    with pytest.raises(ModelError, match=r"'head.weight' has the shape \[3, 25\].* \[3, 24\]"):
        load_model(str(copy))


def test_missing_and_unexpected_tensors_are_named(copy):
    change_weights(copy, lambda tensors: tensors.pop("head.bias"))
    with pytest.raises(ModelError, match=r"lacks 1 tensor, 'head.bias' first"):
        load_model(str(copy))
    change_weights(copy, lambda tensors: tensors.update({"head.bias": torch.zeros(3), "x": torch.zeros(1)}))
    with pytest.raises(ModelError, match=r"has unexpected 1 tensor, 'x' first"):
        load_model(str(copy))


@pytest.mark.parametrize("keep", [0, 4, 100, -10])
def test_truncated_weights(copy, keep):
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"model.safetensors' is broken or truncated"):
        load_model(str(copy))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_folder_without_one_of_its_files(copy, file):
    (copy / file).unlink()
    with pytest.raises(ModelError, match=f"has no {file}"):
        load_model(str(copy))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not valid JSON"),
        ("[]", "holds a list; it must be a JSON object"),
        (b"\xff\xfe{", "is not valid JSON"),
        (json.dumps({"pach": 4}), "unknown key 'pach'; did you mean 'patch'"),
        (json.dumps({"patch": "four"}), "patch is 'four'"),
    ],
)
def test_broken_configs(copy, content, sentence):
    (copy / "config.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError, match=sentence):
        load_model(str(copy))


def test_a_header_without_a_hash_says_nothing_about_the_weights(copy):
    assert weights_match_header(copy) is True
    change_weights(copy, lambda tensors: None)
    assert weights_match_header(copy) is None
    file = copy / "model.safetensors"
    save_file(load_file(file), file, metadata={"format": "pt", "revision": "0" * 12})
    assert weights_match_header(copy) is False


@pytest.mark.parametrize(
    ("device", "dtype", "sentence"),
    [
        ("gpu", "float32", "no device 'gpu'"),
        ("cpuu", "float32", "did you mean 'cpu'"),
        ("cuda:99", "float32", "no device 'cuda:99'"),
        ("cpu", "fp16", "choose one of these"),
        ("cpu", "int8", "no dtype 'int8'"),
    ],
)
def test_unknown_devices_and_dtypes(model_folder, device, dtype, sentence):
    with pytest.raises(UsageError, match=sentence):
        load_model(str(model_folder), device, dtype)
