import json

import numpy as np
import pyarrow.parquet
import pytest
import torch
from safetensors import safe_open

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.loading import load
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.spread_torch import spread_tensor
from tests.models.small import PUBLISHED, normalised, small


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unlabelled") / "small"
    save_model(folder, small(PUBLISHED))
    return folder


def read(file):
    with safe_open(file, "np") as stored:
        return stored.metadata(), {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118


def test_features_equal_those_of_the_model(lookwhere, photos, tmp_path, unlabelled):
    out = tmp_path / "cls.safetensors"
    assert lookwhere("features", photos, "--model", unlabelled, "--out", out, "--batch-size", 2).code == 0
    metadata, arrays = read(out)
    assert json.loads(metadata["paths"]) == [str(photos / f"{index}.png") for index in range(12)]
    assert metadata["model"] == str(unlabelled) and len(metadata["revision"]) == 12
    assert set(arrays) == {"cls", "grid"} and arrays["cls"].shape == (12, 24)

    model, reader = load_model(str(unlabelled), "cpu").model, load(str(unlabelled)).pipeline.reader
    view = reader.open(photos / "3.png")
    with torch.inference_mode():
        selection = model.select(normalised(reader.thumbnail(view)), view.grid)
        cells = selection.map.topk(view.grid[0] * view.grid[1] // 2).indices
        patches = normalised(view.patches(cells[0].numpy()))
        cls = model.extract(Chosen(patches, cells, view.grid, selection.prefix_tokens))
    assert arrays["cls"][3] == pytest.approx(cls[0].numpy(), abs=1e-5)


def test_dense_features_and_maps_are_concatenated(lookwhere, photos, tmp_path, model_folder):
    out = tmp_path / "dense.safetensors"
    assert lookwhere("features", photos, "--dense", "--maps", "--out", out).code == 0
    _, arrays = read(out)
    ends = np.cumsum([rows * columns for rows, columns in arrays["grid"]])
    assert arrays["dense"].shape == (ends[-1], 24) and arrays["map"].shape == (ends[-1],)

    model, predictor = load_model(str(model_folder), "cpu").model, load(str(model_folder))
    explanation = predictor.explain(photos / "1.png")
    grid, view = explanation.row.grid, explanation.view
    assert tuple(arrays["grid"][1]) == grid
    assert arrays["map"][ends[0] : ends[1]] == pytest.approx(explanation.scores.ravel(), abs=1e-5)
    cells = torch.tensor([explanation.order[: explanation.row.k]])
    with torch.inference_mode():
        selection = model.select(normalised(predictor.pipeline.reader.thumbnail(view)), grid)
        patches = normalised(view.patches(cells[0].numpy()))
        remaining = model.extract_dense(Chosen(patches, cells, grid, selection.prefix_tokens))
        expected = spread_tensor(*remaining, grid)[0].numpy()
    assert arrays["dense"][ends[0] : ends[1]] == pytest.approx(expected, abs=1e-4)


def test_parquet_has_the_same_features_and_the_failed_pictures(lookwhere, photos, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG")
    options = ("--dense", "--maps", "--stretch", "-k", "4", "--coarse", "16")
    tables = tmp_path / "dense.parquet", tmp_path / "dense.safetensors"
    for out in tables:
        ran = lookwhere("features", photos, broken, *options, "--out", out)
        assert ran.code == 1 and "Wrote the features of 12 pictures to" in ran.err and "(1 failed)." in ran.err
    rows = pyarrow.parquet.read_table(tables[0]).to_pylist()
    _, arrays = read(tables[1])
    assert len(rows) == 13 and rows[-1]["error"] and rows[-1]["dense"] is None
    assert rows[0]["k"] == 4 and rows[0]["grid"] == [6, 6] and "labels" not in rows[0]
    assert rows[0]["coarse"] == [4, 4] and rows[-1]["coarse"] is None
    assert len(arrays["grid"]) == 12
    assert np.ravel([row["dense"] for row in rows[:-1]]) == pytest.approx(arrays["dense"].ravel(), abs=1e-5)
    assert np.ravel([row["map"] for row in rows[:-1]]) == pytest.approx(arrays["map"].ravel(), abs=1e-5)


def test_an_unknown_extension_is_refused(lookwhere, photos, tmp_path):
    ran = lookwhere("features", photos, "--out", tmp_path / "features.csv")
    assert ran.code == 2 and "must end in .safetensors or .parquet" in ran.err
    (tmp_path / "there.parquet").touch()
    assert lookwhere("features", photos, "--out", tmp_path / "there.parquet").code == 2


def test_if_all_pictures_fail_the_file_is_empty_and_the_exit_code_1(lookwhere, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    for ending in ("safetensors", "parquet"):
        assert lookwhere("features", tmp_path / "a.png", "--out", tmp_path / f"out.{ending}").code == 1
    metadata, arrays = read(tmp_path / "out.safetensors")
    assert metadata["paths"] == "[]" and not arrays
    assert len(pyarrow.parquet.read_table(tmp_path / "out.parquet")) == 1


def test_fail_fast_stops_at_the_first_failure_and_keeps_what_was_computed(lookwhere, photos, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    inputs = [photos / "0.png", tmp_path / "a.png", photos / "1.png"]
    ran = lookwhere("features", *inputs, "--fail-fast", "--out", tmp_path / "out.parquet")
    assert ran.code == 1 and ran.err.count("Error: ") == 1
    assert [row["error"] is None for row in pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()] == [
        True,
        False,
    ]


def test_a_model_without_labels_explains_but_refuses_to_classify(lookwhere, photos, tmp_path, unlabelled):
    ran = lookwhere("explain", photos / "0.png", "--model", unlabelled, "--out", tmp_path / "o.png")
    assert ran.code == 0 and "best cells" in ran.out and (tmp_path / "o.png").is_file()
    assert lookwhere("explain", photos, "--model", unlabelled, "--html", tmp_path / "p.html", "-k", 5).code == 0
    ran = lookwhere("classify", photos, "--model", unlabelled)
    assert ran.code == 3 and "has no labels" in ran.err
