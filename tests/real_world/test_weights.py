"""Weights as they come: with prefixes, pickled, as pointers, quantised, with NaN; teachers of unknown heads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.numbers import not_finite
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.checkpoints.timm_spec import parse_timm_spec
from lookwhere_cli.errors import ModelError
from lookwhere_cli.training.timm_models import config_of, load_vit
from tests.models.small import LABELLED, small
from tests.training.tiny import SHAPE, teacher_file

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n"


@pytest.fixture
def copy(model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "copy")
    return tmp_path / "copy"


def change(folder: Path, edit) -> None:
    """Replace the weights by what `edit` returns for them."""
    file = folder / "model.safetensors"
    save_file(edit(load_file(file)), file)
    write_sums(folder)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_prefixes_that_all_names_share_are_removed(copy, prefix):
    before = load_model(str(copy)).model.state_dict()
    change(copy, lambda tensors: {f"{prefix}{name}": tensor for name, tensor in tensors.items()})
    after = load_model(str(copy)).model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_a_prefix_of_some_names_is_not(copy):
    change(copy, lambda tensors: tensors | {"module.head.bias": tensors.pop("head.bias")})
    with pytest.raises(ModelError, match="lacks 1 tensor"):
        load_model(str(copy))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_that_are_no_numbers_are_refused_at_loading_and_by_verify(copy, lookwhere, photos, value, dtype):
    def spoil(tensors):
        tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
        tensors["head.weight"][1, 2] = value
        return tensors

    change(copy, spoil)
    with pytest.raises(ModelError, match=r"NaN or infinity in 1 of \d+ tensors, 'head.weight' first"):
        load_model(str(copy))
    for command in (("classify", photos / "0.png", "--model", copy), ("models", "verify", copy)):
        ran = lookwhere(*command)
        assert ran.code == 3 and "NaN or infinity" in ran.err and "NaN" not in ran.out


def test_weights_that_only_float16_can_not_hold_are_refused_for_it(copy):
    def enlarge(tensors):
        tensors["head.weight"][0, 0] = 1e6
        return tensors

    change(copy, enlarge)
    assert load_model(str(copy)).dtype is torch.float32
    with pytest.raises(ModelError, match=r"float16 can't represent, in 1 of .* use --dtype float32 or bfloat16"):
        load_model(str(copy), dtype="float16")


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_weights_that_are_no_numbers_are_not_saved_and_the_old_ones_stay(copy, kind):
    model = small(LABELLED)
    with torch.no_grad():
        model.head.weight[0, 0] = float("nan") if kind is torch.float32 else 1e6
    before = {file.name: file.read_bytes() for file in copy.iterdir()}
    with pytest.raises(ModelError, match="not saved: it holds NaN or infinity"):
        save_model(copy, model.to(kind), "new card")
    assert {file.name: file.read_bytes() for file in copy.iterdir()} == before


def test_not_finite_finds_each_kind_anywhere():
    tensors = {"fine": torch.ones(3, 4), "empty": torch.ones(0), "one": torch.tensor(1.0)}
    for name, value in (("a", float("nan")), ("b", float("inf")), ("c", -float("inf"))):
        tensors[name] = torch.zeros(5, 7).index_put((torch.tensor([4]), torch.tensor([6])), torch.tensor(value))
    assert not_finite(tensors) == ["a", "b", "c"]


def test_whole_numbers_are_no_weights(copy):
    change(copy, lambda tensors: {name: (64 * tensor).to(torch.int8) for name, tensor in tensors.items()})
    with pytest.raises(ModelError, match="as int8; weights must be float32, float16 or bfloat16"):
        load_model(str(copy))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_pointers_are_named(copy, name):
    (copy / name).write_bytes(POINTER)
    with pytest.raises(ModelError, match=f"{name}' is a Git LFS pointer, not the file itself; run git lfs pull"):
        load_model(str(copy))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_config_may_begin_with_a_byte_order_mark(copy, encoding, lookwhere):
    labels = load_model(str(copy)).config.labels
    (copy / "config.json").write_bytes((copy / "config.json").read_text().encode(encoding))
    assert load_model(str(copy)).config.labels == labels
    assert lookwhere("models", "show", copy).code == 0


def pickled(folder: Path, wrap=lambda tensors: tensors) -> Path:
    file = folder / "teacher.pth"
    torch.save(wrap(load_file(teacher_file(folder))), file)
    return file


@pytest.fixture
def tiny_name(monkeypatch):
    """The name of a timm model of the tiny teacher's shapes."""
    timm = import_timm()

    def create(pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, cache_dir=None, **more):
        vit = timm.models.VisionTransformer(**(SHAPE | {"num_heads": 2} | more))
        vit.pretrained_cfg = {}
        return vit

    monkeypatch.setitem(timm.models._registry._model_entrypoints, "vit_test_tiny", create)
    return "vit_test_tiny"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tensors: tensors,
        lambda tensors: {"state_dict": tensors, "epoch": 3},
        lambda tensors: {"model": tensors, "optimizer": {"lr": 0.1}},
        lambda tensors: {"teacher": {f"module.{name}": tensor for name, tensor in tensors.items()}},
        lambda tensors: {f"_orig_mod.module.{name}": tensor for name, tensor in tensors.items()},
    ],
)
def test_pickled_teachers_are_read(tmp_path, tiny_name, wrap):
    file = pickled(tmp_path, wrap)
    expected = load_file(tmp_path / "teacher.safetensors")
    vit = load_vit(f"{tiny_name}={file}").vit
    assert all(torch.equal(tensor, expected[name]) for name, tensor in vit.state_dict().items())


def test_a_pickle_that_could_run_code_is_refused(tmp_path):
    torch.save({"state_dict": {}, "arguments": Path("x")}, tmp_path / "teacher.pth")
    with pytest.raises(ModelError, match="could run code when read"):
        load_vit(str(tmp_path / "teacher.pth"))
    for content, words in ((b"", "broken|not a file"), (POINTER, "Git LFS pointer"), (b"PK\x03\x04junk", "broken")):
        (tmp_path / "teacher.pth").write_bytes(content)
        with pytest.raises(ModelError, match=words):
            load_vit(str(tmp_path / "teacher.pth"))


def bare(folder: Path, **shape: object) -> Path:
    """A teacher's file as timm's users save it: nothing but tensors."""
    file = teacher_file(folder, **shape)
    save_file(load_file(file), file)
    return file


@pytest.mark.parametrize("shape", [{}, {"embed_dim": 192, "depth": 12, "num_heads": 2}, {"embed_dim": 128}])
def test_a_file_that_does_not_tell_its_heads_asks_for_a_name(tmp_path, shape):
    file = bare(tmp_path, **shape)
    with pytest.raises(ModelError, match=r"does not tell how many attention heads .*: NAME=.*teacher\.safetensors"):
        load_vit(str(file))


def test_heads_are_known_from_a_name_a_config_the_metadata_or_normalised_queries(tmp_path, tiny_name):
    file = bare(tmp_path)
    assert config_of(load_vit(f"{tiny_name}={file}")).heads == 2
    (tmp_path / "config.json").write_text(json.dumps({"architecture": tiny_name, "num_classes": 4}))
    assert config_of(load_vit(str(file))).heads == 2
    (tmp_path / "config.json").unlink()
    assert config_of(load_vit(str(teacher_file(tmp_path, num_heads=3)))).heads == 3
    normalised = load_vit(str(bare(tmp_path, num_heads=3, qk_norm=True)))
    assert normalised.vit.blocks[0].attn.num_heads == 3
    with pytest.raises(ModelError, match="normalises its queries"):
        config_of(normalised)


@pytest.mark.parametrize(
    ("spec", "name", "file"),
    [
        ("vit_tiny", "vit_tiny", ""),
        ("vit_tiny.augreg_in1k", "vit_tiny.augreg_in1k", ""),
        ("a/b.safetensors", "", "a/b.safetensors"),
        ("vit_tiny=b.PTH", "vit_tiny", "b.PTH"),
        ("vit_tiny=runs/lr=3/b.pth.tar", "vit_tiny", "runs/lr=3/b.pth.tar"),
        ("runs/lr=3/b.pt", "", "runs/lr=3/b.pt"),
    ],
)
def test_names_and_files_are_told_apart(spec, name, file):
    assert parse_timm_spec(spec) == (name, file)
