"""`lookwhere export`, what it refuses, and what is refused of the folders that it writes."""

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from lookwhere_cli import load
from lookwhere_cli.checkpoints.layout import EXPORT
from lookwhere_cli.errors import ModelError, UsageError
from tests.models.small import ADDING, DETECTING, LABELLED, PRUNING

pytestmark = pytest.mark.timeout(1800)  # the first of them exports a model


@pytest.fixture
def copy(exported, tmp_path):
    """A copy of an exported folder, to be damaged."""
    shutil.copytree(exported(LABELLED)[1], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.slow
def test_it_writes_a_whole_folder_and_verifies_it(lookwhere, model_folder, photos, tmp_path):
    ran = lookwhere("export", model_folder, "--out", tmp_path / "new" / "out", "--verify", photos)
    assert ran.code == 0, ran.err
    assert "On 12 pictures" in ran.out and "0 of 12 labels differ" in ran.out and "Saved" in ran.err
    out = tmp_path / "new" / "out"
    assert {file.name for file in out.iterdir()} == {
        *("README.md", "SHA256SUMS", "config.json", "export.json"),
        *("selector.onnx", "extractor.onnx", "dense.onnx"),
    }
    record = json.loads((out / EXPORT).read_text())
    assert record["verified"]["pictures"] == 12 and record["weights"] == "float32" and record["opset"] == 20
    card = (out / "README.md").read_text()
    assert "`extractor.onnx`" in card and "## Files" in card
    assert list(tmp_path.joinpath("new").iterdir()) == [out]  # nothing unfinished is left
    assert str(tmp_path) not in card + (out / EXPORT).read_text()
    assert b"site-packages" not in (out / "extractor.onnx").read_bytes()  # nor paths of this machine
    again = lookwhere("export", model_folder, "--out", out)
    assert again.code == 2 and "--overwrite" in again.err


def test_a_folder_in_use_is_left_alone(lookwhere, model_folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    ran = lookwhere("export", model_folder, "--out", tmp_path, "--overwrite")
    assert ran.code == 2 and "in use" in ran.err and ran.err.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    ran = lookwhere("export", model_folder, "--out", tmp_path / "notes.txt")
    assert ran.code == 2 and "is a file" in ran.err


def test_a_cascade_is_refused(lookwhere, cascade_folder, tmp_path):
    ran = lookwhere("export", cascade_folder, "--out", tmp_path / "out")
    assert ran.code == 3 and "cascade over grids" in ran.err and not (tmp_path / "out").exists()


def test_pictures_to_verify_on_are_looked_for_first(lookwhere, model_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = lookwhere("export", model_folder, "--out", tmp_path / "out", "--verify", tmp_path / "empty")
    assert ran.code == 2 and "There is no picture" in ran.err and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_too_large_a_difference_is_an_error(monkeypatch, lookwhere, model_folder, photos, tmp_path):
    from lookwhere_cli.export import write
    from lookwhere_cli.export.compare import Tolerance

    monkeypatch.setitem(write.TOLERANCES, "float32", Tolerance(-1.0, 0.0, 0.0, 0.0))
    ran = lookwhere("export", model_folder, "--out", tmp_path / "out", "--verify", photos / "0.png")
    assert ran.code == 1 and "differs" in ran.err and not (tmp_path / "out").exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["selector.onnx", "config.json", "SHA256SUMS"])
def test_a_missing_file_is_named(lookwhere, copy, photos, file):
    (copy / file).unlink()
    ran = lookwhere("classify", photos, "--model", copy)
    assert ran.code == 3 and file in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize("file", ["extractor.onnx", "config.json"])
def test_damaged_bytes_are_noticed(lookwhere, copy, photos, file):
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    ran = lookwhere("classify", photos, "--model", copy)
    assert ran.code == 3 and file in ran.err and "SHA256SUMS" in ran.err
    ran = lookwhere("models", "verify", copy)
    assert ran.code == 3 and "CHANGED" in ran.out


def test_a_graph_without_a_hash_is_not_run(copy):
    lines = (copy / "SHA256SUMS").read_text().splitlines(keepends=True)
    (copy / "SHA256SUMS").write_text("".join(line for line in lines if "extractor" not in line))
    with pytest.raises(ModelError, match=r"extractor\.onnx"):
        load(str(copy))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("version", 9, "version 9"),
        ("graphs", {"extractor": "../x.onnx"}, "beside it"),
        ("graphs", {}, "no graph"),
        ("opset", "x", "damaged"),
    ],
)
def test_a_record_that_can_not_be_read(lookwhere, copy, photos, key, value, words):
    record = json.loads((copy / EXPORT).read_text()) | {key: value}
    (copy / EXPORT).write_text(json.dumps(record))
    ran = lookwhere("classify", photos, "--model", copy)
    assert ran.code == 3 and words in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "cuda"}, "no device 'cuda' here"),
        ({"device": "cpux"}, "did you mean 'cpu'"),
        ({"runtime": "torch"}, "leave --runtime out"),
        ({"dtype": "float16"}, "--half"),
        ({"k": "auto"}, "fixed number of cells"),
        ({"coarse": 8}, "leave --coarse out"),
        ({"prune": 1}, "not trained with pruning"),
        ({"size": 22}, "multiple"),
    ],
)
def test_options_that_an_exported_model_can_not_follow(exported, options, words):
    with pytest.raises(UsageError, match=words):
        load(str(exported(LABELLED)[1]), **options)


def test_what_is_not_exported_is_not_for_onnxruntime(lookwhere, model_folder, photos):
    ran = lookwhere("classify", photos, "--model", model_folder, "--runtime", "onnx")
    assert ran.code == 2 and "lookwhere export" in ran.err
    assert lookwhere("classify", photos / "0.png", "--model", model_folder, "--runtime", "torch").code == 0


@pytest.mark.slow
def test_boxes_by_a_runtime_that_is_named(lookwhere, exported, photos):
    source, folder = exported(DETECTING)
    rows = [
        json.loads(lookwhere("detect", photos / "0.png", "--model", model, "--runtime", name, "--format", "jsonl").out)
        for model, name in ((source, "torch"), (folder, "onnx"))
    ]
    assert rows[0]["cells"] == rows[1]["cells"] and len(rows[0]["boxes"]) == len(rows[1]["boxes"]) > 0
    assert lookwhere("detect", photos / "0.png", "--model", folder, "--runtime", "torch").code == 2


def test_commands_that_train_refuse_exported_models(lookwhere, exported, tmp_path):
    from lookwhere_cli.checkpoints.resolve import load_model

    with pytest.raises(ModelError, match="name the model that it was exported from"):
        load_model(str(exported(LABELLED)[1]))


def test_an_exported_model_is_not_calibrated(lookwhere, exported, photos, tmp_path):
    folder = exported(LABELLED)[1]
    options = ("--looks", "2,6", "--budget", "60%", "--out", tmp_path / "out")
    ran = lookwhere("calibrate", photos, "--model", folder, *options)
    assert ran.code == 3 and "is exported" in ran.err and not (tmp_path / "out").exists()


def test_k_size_and_shape_are_free(exported):
    source, folder = exported(LABELLED)
    ours, theirs = load(str(source), k=5, size=48), load(str(folder), k=5, size=48)
    picture = Image.effect_noise((90, 30), 80).convert("RGB")
    expected, row = ours.classify(picture), theirs.classify(picture)
    assert (row.k, row.grid, set(row.cells)) == (5, expected.grid, set(expected.cells))
    assert row.labels[0].probability == pytest.approx(expected.labels[0].probability, abs=1e-4)


@pytest.mark.slow
def test_looks_export_for_their_own_number_of_cells(exported, photos):
    _, folder = exported(ADDING)
    predictor = load(str(folder))
    assert predictor.config.looks == () and not predictor.classify(photos / "0.png").error
    with pytest.raises(UsageError, match="-k auto"):
        load(str(folder), k="auto")


@pytest.mark.slow
def test_pruning_can_be_set_on_an_exported_model(exported, photos):
    source, folder = exported(PRUNING)
    ours, theirs = (load(str(one), prune="60%").classify(photos / "0.png") for one in (source, folder))
    assert ours.macs == theirs.macs
    assert ours.labels[0].probability == pytest.approx(theirs.labels[0].probability, abs=1e-4)


@pytest.mark.slow
def test_half_takes_half_the_bytes(exported, photos):
    wide = replace(LABELLED, dim=96, hidden=384)
    whole, half = (exported(wide, half=half)[1] for half in (False, True))
    sizes = [(folder / "extractor.onnx").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.65 * sizes[0]
    rows = [load(str(folder)).classify(photos / "0.png") for folder in (whole, half)]
    assert rows[0].labels[0].probability == pytest.approx(rows[1].labels[0].probability, abs=0.02)


@pytest.mark.slow
def test_programs_for_torch(lookwhere, model_folder, photos, tmp_path):
    ran = lookwhere("export", model_folder, "--out", tmp_path / "out", "--format", "torch", "--verify", photos)
    assert ran.code == 0 and "0 of 12 labels differ" in ran.out, ran.err
    assert (tmp_path / "out" / "extractor.pt2").is_file()
    ran = lookwhere("classify", photos, "--model", tmp_path / "out")
    assert ran.code == 3 and "--format onnx" in ran.err
    ran = lookwhere("export", model_folder, "--out", tmp_path / "other", "--format", "torch", "--opset", "23")
    assert ran.code == 2 and "--opset" in ran.err


def test_the_library_that_is_missing_is_named(monkeypatch, lookwhere, model_folder, tmp_path):
    from lookwhere_cli import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxscript" else True)
    ran = lookwhere("export", model_folder, "--out", tmp_path / "out")
    assert ran.code == 2 and "pip install 'lookwhere[export]'" in ran.err


@pytest.mark.slow
def test_a_model_without_a_head_exports_its_features(exported):
    source, folder = exported(replace(LABELLED, labels=()))
    picture = Image.effect_noise((60, 60), 80).convert("RGB")
    ours, theirs = (next(load(str(one)).features([picture])).cls for one in (source, folder))
    assert abs(ours - theirs).max() < 1e-3


@pytest.mark.slow
def test_an_exported_folder_is_replaced_as_a_whole(lookwhere, exported, model_folder, tmp_path):
    shutil.copytree(exported(LABELLED)[1], tmp_path / "out")
    (tmp_path / "out" / "old.txt").write_text("from before")
    ran = lookwhere("export", model_folder, "--out", tmp_path / "out", "--overwrite", "--quiet")
    assert ran.code == 0 and not (tmp_path / "out" / "old.txt").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_int8_is_smaller_and_reads_the_same_cells(exported, photos):
    wide = replace(LABELLED, dim=96, hidden=384)
    whole, small_files = (exported(wide, int8=int8)[1] for int8 in (False, True))
    sizes = [(folder / "extractor.onnx").stat().st_size for folder in (whole, small_files)]
    assert sizes[1] < 0.5 * sizes[0]
    rows = [load(str(folder)).classify(photos / "0.png") for folder in (whole, small_files)]
    assert rows[0].cells == rows[1].cells
    assert json.loads((small_files / EXPORT).read_text())["weights"] == "int8"


@pytest.mark.parametrize("options", [["--half", "--int8"], ["--int8", "--format", "torch"], ["--opset", "12"]])
def test_options_that_exclude_each_other(lookwhere, model_folder, tmp_path, options):
    ran = lookwhere("export", model_folder, "--out", tmp_path / "out", *options)
    assert ran.code == 2 and ran.err.count("\n") == 1 and not (tmp_path / "out").exists()
