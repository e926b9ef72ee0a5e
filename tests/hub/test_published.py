"""The authors' files: fetched, checked, converted once, and answering with the numbers of their own code."""

import io
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from lookwhere_cli.checkpoints.folder import read_config
from lookwhere_cli.checkpoints.hub import pull
from lookwhere_cli.checkpoints.layout import PUBLISHED_FILES, PUBLISHED_REPOSITORY
from lookwhere_cli.checkpoints.published import convert as converting
from lookwhere_cli.checkpoints.published import lookwhere as published
from lookwhere_cli.checkpoints.published.convert import convert
from lookwhere_cli.checkpoints.resolve import load_model, resolve
from lookwhere_cli.errors import ModelError
from lookwhere_cli.loading import load
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.vit import cut
from tests.models.small import GATED, PUBLISHED, small
from tests.parity.official_checkpoint import checkpoint
from tests.parity.test_lookwhere_parity import check

LABELS = ("cat", "dog", "bird")
SMALL = {
    "imagenet-base": replace(PUBLISHED, labels=LABELS, k=18, thumbnail_filter="alias"),
    "dinov2-base": replace(PUBLISHED, task="features"),
    "franca-base": replace(GATED, task="features"),
}


@pytest.fixture
def small_layouts(monkeypatch):
    """The published layouts, with few and small layers."""
    monkeypatch.setattr(published, "LAYOUTS", SMALL)
    monkeypatch.setattr(converting, "imagenet_names", lambda: LABELS)


def state_of(alias):
    """Return a small model's tensors in the layout of the authors' file."""
    state = small(SMALL[alias]).state_dict()
    if alias == "imagenet-base":
        return {
            key.replace("selector.backbone.", "selector.model.").replace("extractor.", "extractor.model.", 1)
            if key.startswith(("selector.backbone.", "extractor."))
            else key: tensor
            for key, tensor in state.items()
        }
    nested = {"selector": {"backbone": {}, "head": {}}, "extractor": {}}
    for key, tensor in state.items():
        part, _, rest = key.partition(".")
        if part == "selector":
            inner, _, rest = rest.partition(".")
            nested[part][inner][rest] = tensor
        else:
            nested[part][rest] = tensor
    return nested


def pickled(state):
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def all_files():
    return {file: pickled(state_of(alias)) for alias, file in PUBLISHED_FILES.items()}


@pytest.mark.parametrize("alias", SMALL)
def test_an_alias_is_fetched_and_converted_once(hub, home, small_layouts, alias, monkeypatch):
    commit = hub.publish(PUBLISHED_REPOSITORY, all_files())
    loaded = load_model(alias, "cpu")
    assert loaded.revision == commit and loaded.name == alias and loaded.config == SMALL[alias]
    expected = small(SMALL[alias]).state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in loaded.model.state_dict().items())
    assert not list(home.rglob("*.pt")) and not list(home.rglob("downloads"))

    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("unpickled again"))
    hub.close()
    assert load_model(alias, "cpu").revision == commit


def test_the_same_file_at_another_commit_is_neither_fetched_nor_converted_again(hub, home, small_layouts, monkeypatch):
    first = hub.publish(PUBLISHED_REPOSITORY, all_files())
    load_model("dinov2-base", "cpu")
    second = hub.publish(PUBLISHED_REPOSITORY, all_files() | {"README.md": b"# news\n"})
    bodies = len(hub.ranges())
    monkeypatch.setattr(converting, "convert", lambda *_, **__: pytest.fail("converted again"))
    assert pull(resolve("dinov2-base")).commit == second
    assert len(hub.ranges()) == bodies
    assert load_model(f"dinov2-base@{first}", "cpu").revision == first


def test_verify_finds_changed_conversions_and_pull_repairs_them(hub, home, small_layouts, lookwhere):
    hub.publish(PUBLISHED_REPOSITORY, all_files())
    folder = load_model("franca-base", "cpu").folder
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert lookwhere("models", "verify", "franca-base").code == 3
    assert lookwhere("models", "pull", "franca-base").code == 0
    assert lookwhere("models", "verify", "franca-base").code == 0
    assert PUBLISHED_REPOSITORY in lookwhere("models", "show", "franca-base").out


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_a_pickle_with_code_is_refused_and_not_run(hub, home, small_layouts, tmp_path, monkeypatch, lookwhere):
    monkeypatch.chdir(tmp_path)
    evil = pickled(state_of("dinov2-base") | {"extra": RunsCode()})
    hub.publish(PUBLISHED_REPOSITORY, all_files() | {PUBLISHED_FILES["dinov2-base"]: evil})
    ran = lookwhere("models", "pull", "dinov2-base")
    assert ran.code == 3 and "could run code when read" in ran.err and "asks for posix.system" in ran.err
    assert ran.err.count("\n") == 1
    (tmp_path / "evil.pt").write_bytes(evil)
    assert lookwhere("models", "convert", "evil.pt", "out").code == 3
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out").exists()
    assert not list(home.rglob("*.safetensors"))


def test_every_difference_from_the_layout_is_named(small_layouts, tmp_path):
    state = state_of("imagenet-base")
    del state["extractor.model.cls_token"]
    state["optimizer.step"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(4, 24)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(ModelError) as failure:
        convert(tmp_path / "x.pt", tmp_path / "out")
    assert str(failure.value) == (
        f"'{tmp_path}/x.pt' does not have the layout of imagenet-base: it lacks 1: extractor.model.cls_token; it has "
        "in excess 1: optimizer.step; it has other shapes 1: head.weight is 4 x 24 instead of 3 x 24."
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is broken|is refused"),
        (b"PK\x03\x04 no archive", "is broken|is refused"),
        (b"\x80\x02}q\x00.", "is broken|is refused"),
        (pickled(torch.zeros(3)), "holds a Tensor, not a model's tensors"),
        (pickled({"a": "text"}), "does not have the layout"),
        (pickled(state_of("dinov2-base"))[:-100], "is broken|is refused"),
    ],
)
def test_files_that_hold_no_weights(small_layouts, tmp_path, content, sentence):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        convert(tmp_path / "x.pt", tmp_path / "out")


def test_the_wrong_file_under_an_alias(hub, home, small_layouts):
    hub.publish(
        PUBLISHED_REPOSITORY, all_files() | {PUBLISHED_FILES["imagenet-base"]: pickled(state_of("franca-base"))}
    )
    with pytest.raises(ModelError, match="does not have the layout of imagenet-base: it lacks"):
        load_model("imagenet-base")
    hub.publish(PUBLISHED_REPOSITORY, {"README.md": b"moved"})
    with pytest.raises(ModelError, match=r"has no file 'lookwhere_franca.pt' .* it has: README.md"):
        load_model("franca-base")


@pytest.mark.parametrize("alias", SMALL)
def test_models_convert_recognises_the_layout(small_layouts, tmp_path, alias, lookwhere, photos):
    torch.save(state_of(alias), tmp_path / "x.pt")
    ran = lookwhere("models", "convert", tmp_path / "x.pt", tmp_path / "out", "--half")
    assert ran.code == 0 and ran.out == f"{tmp_path / 'out'}\t{alias}\n"
    assert read_config(tmp_path / "out") == SMALL[alias]
    assert {tensor.dtype for tensor in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.float16}
    assert lookwhere("models", "convert", tmp_path / "x.pt", tmp_path / "out").code == 2
    assert lookwhere("models", "convert", tmp_path / "x.pt", tmp_path / "out", "--overwrite").code == 0
    assert lookwhere("models", "convert", tmp_path / "nothing.pt", tmp_path / "two").code == 2
    assert lookwhere("explain", photos / "0.png", "--model", tmp_path / "out").code == 0


def test_the_thumbnails_filter_can_be_changed(small_layouts, tmp_path, photos):
    torch.save(state_of("imagenet-base"), tmp_path / "x.pt")
    convert(tmp_path / "x.pt", tmp_path / "out")
    predictors = [load(str(tmp_path / "out"), thumbnail=thumbnail) for thumbnail in (None, "antialias")]
    readers = [predictor.pipeline.reader for predictor in predictors]
    assert [reader.reading.thumbnail_filter for reader in readers] == ["alias", "antialias"]
    aliased, antialiased = (reader.prepare(photos / "0.png").thumbnail for reader in readers)
    assert np.abs(aliased - antialiased.astype(np.float32)).mean() > 5


@pytest.mark.slow
@pytest.mark.parametrize("alias", ["imagenet-base", "dinov2-base"])
def test_the_numbers_are_those_of_the_authors_end_to_end(hub, home, lookwhere, tmp_path, alias):
    kind, case, size = {
        "imagenet-base": ("imagenet", "imagenet_224", 224),
        "dinov2-base": ("dinov2", "dinov2_518", 518),
    }[alias]
    hub.publish(PUBLISHED_REPOSITORY, {PUBLISHED_FILES[alias]: pickled(checkpoint(kind))})
    assert lookwhere("models", "pull", alias).code == 0
    hub.close()
    loaded = load_model(alias, "cpu")
    check(loaded.model, case)

    pixels = np.random.default_rng(5).integers(0, 256, (size, size, 3), dtype=np.uint8)
    picture = tmp_path / "picture.png"
    Image.fromarray(pixels).save(picture)
    cells, cls = as_published(loaded, pixels)
    if alias == "imagenet-base":
        ran = lookwhere("classify", picture, "--model", alias, "--format", "json")
        (row,) = json.loads(ran.out)
        probabilities = loaded.model.logits(cls).softmax(-1)[0]
        assert all(abs(probabilities[one["index"]] - one["probability"]) < 1e-5 for one in row["labels"])
        assert row["labels"][0]["index"] == probabilities.argmax() and len(loaded.config.labels) == 1000
    else:
        ran = lookwhere("features", picture, "--model", alias, "--out", tmp_path / "f.safetensors")
        assert ran.code == 0
        assert (load_file(tmp_path / "f.safetensors")["cls"] - cls).abs().max() < 4e-5
        (row,) = json.loads(json.dumps([load(alias).explain(picture).row.to_dict()]))
    assert {line * (size // 14) + column for line, column in row["cells"]} == set(cells[0].tolist())


@torch.inference_mode()
def as_published(loaded, pixels):
    """Cells and CLS by the published steps: normalise, shrink without antialiasing, choose, extract."""
    config = loaded.config
    mean, std = (torch.tensor(value).reshape(3, 1, 1) for value in (config.mean, config.std))
    high = ((torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std)[None]
    low = F.interpolate(high, size=(config.thumbnail_size,) * 2, mode="bilinear", align_corners=False)
    grid = (pixels.shape[0] // config.patch,) * 2
    selection = loaded.model.select(low, grid)
    cells = choose(selection.map, config.k.resolve(grid[0] * grid[1]))
    patches = cut(high, config.patch)[:, cells[0]]
    return cells, loaded.model.extract(Chosen(patches, cells, grid, selection.prefix_tokens))
