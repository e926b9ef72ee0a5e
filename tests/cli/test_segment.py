import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout

import numpy as np
import pytest
from PIL import Image, ImageOps
from pycocotools.coco import COCO
from shapely import contains_xy
from shapely.geometry import shape

from lookwhere_cli.checkpoints import resolve
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER, DEFAULT_SEGMENTER
from lookwhere_cli.loading import load
from lookwhere_cli.segmenter import Segmenter
from tests.cli.test_app import in_terminal
from tests.models.small import SEGMENTING

# of pycocotools itself
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def segment(lookwhere, segmenting_folder, tmp_path):
    """Run `segment` with the tiny model; masks go to `masks` in the test's folder."""

    def run(*arguments, out=tmp_path / "masks"):
        return lookwhere("segment", *arguments, "--out", out, "--model", segmenting_folder)

    return run


@pytest.fixture
def nested(photos, tmp_path):
    """Three pictures, two of them in sub-folders."""
    folder = tmp_path / "photos"
    for name, photo in (("a.png", "0.png"), ("drive/b.png", "1.png"), ("drive/day 2/c.png", "2.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / photo, folder / name)
    return folder


@pytest.fixture
def expected(segmenting_folder):
    """Return a function from a picture to the classes that the Python API returns."""
    segmenter = Segmenter(load(str(segmenting_folder)))
    return lambda path: next(segmenter.segment([str(path)])).classes


def files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def mask(file):
    return np.asarray(Image.open(file))


def test_masks_keep_the_sub_folders_of_the_pictures(segment, nested, tmp_path, expected):
    ran = segment(nested)
    out = tmp_path / "masks"
    assert ran.code == 0 and ran.err == f"Wrote masks of 3 pictures to {out}.\n"
    assert files(out) == ["a.png", "drive/b.png", "drive/day 2/c.png", "labelmap.txt"]
    for name in ("a.png", "drive/b.png", "drive/day 2/c.png"):
        assert np.array_equal(mask(out / name), expected(nested / name))
    labels = [line.partition(":")[0] for line in (out / "labelmap.txt").read_text().splitlines()[1:]]
    assert tuple(labels) == SEGMENTING.labels


def test_coarse_patches_are_read_and_reported(segment, nested):
    (row, *_) = json.loads(segment(nested, "--coarse", "16", "--rows-format", "json").out)
    plain, *_ = json.loads(segment(nested, "--overwrite", "--rows-format", "json").out)
    assert row["coarse"] and "coarse" not in plain and row["macs"] > plain["macs"]
    ran = segment(nested, "--coarse", "18")
    assert ran.code == 2 and "use 16 or 20" in ran.err


def test_piped_text_has_shares_and_rows_have_all_fields(segment, nested, tmp_path, expected):
    line = segment(nested).out.splitlines()[1].split("\t")
    assert line[0] == str(nested / "drive" / "b.png") and len(line) > 1 and line[1].endswith("%")
    rows = json.loads(segment(nested, "--overwrite", "--rows-format", "json").out)
    assert [row["mask"] for row in rows] == [
        str(tmp_path / "masks" / name) for name in ("a.png", "drive/b.png", "drive/day 2/c.png")
    ]
    for row in rows:
        counts = np.bincount(expected(row["path"]).ravel())
        assert {share["index"]: share["share"] for share in row["shares"]} == {
            index: pytest.approx(count / counts.sum(), abs=1e-6) for index, count in enumerate(counts) if count
        }


@pytest.mark.parametrize("ending", ["csv", "jsonl", "txt"])
def test_the_extension_of_the_rows_file_sets_the_format(segment, nested, tmp_path, ending):
    file = tmp_path / f"rows.{ending}"
    ran = segment(nested, "--rows", file)
    assert ran.code == 0 and ran.out == ""
    text = file.read_text()
    if ending == "csv":
        for record in csv.DictReader(io.StringIO(text)):
            shares = [float(record[f"share_{name}"]) for name in ("cat", "dog", "bird")]
            assert sum(shares) == pytest.approx(1, abs=1e-5) and "shares" not in record and "label" not in record
    elif ending == "jsonl":
        assert next(json.loads(line)["path"] for line in text.splitlines()) == str(nested / "a.png")
    else:
        assert text.count("\n") == 3 and "\t" in text
    ran = segment(nested, "--rows", file)
    assert ran.code == 2 and "--overwrite" in ran.err and file.read_text() == text


def test_existing_masks_are_skipped_and_counted_unless_overwritten(segment, nested, tmp_path):
    segment(nested)
    out = tmp_path / "masks"
    corrected = Image.new("L", (60, 40), 1)
    corrected.save(out / "a.png")
    (out / "drive" / "b.png").unlink()
    before = (out / "a.png").read_bytes()
    ran = segment(nested)
    assert ran.code == 0 and "Skipped 2 of 3 pictures whose masks exist already; --overwrite" in ran.err
    assert [line.split("\t")[0] for line in ran.out.splitlines()] == [str(nested / "drive" / "b.png")]
    assert (out / "a.png").read_bytes() == before and (out / "drive" / "b.png").is_file()
    assert segment(nested, "--quiet").err == ""
    ran = segment(nested, "--overlay")
    assert ran.err == f"Wrote overlays of 3 pictures to {out}.\n"
    assert (out / "a.png").read_bytes() == before, "only what is missing is written"
    assert (out / "a.overlay.png").is_file() and "3 of 3" in segment(nested, "--overlay").err
    assert segment(nested, "--overwrite").out.count("\n") == 3
    assert (out / "a.png").read_bytes() != before


def test_pictures_with_equal_stems_keep_their_extensions(segment, photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(photos / "0.png", folder / "a.png")
    Image.open(photos / "1.png").save(folder / "a.jpg")
    assert segment(folder, "--overlay").code == 0
    assert files(tmp_path / "masks") == [
        *("a.jpg.overlay.png", "a.jpg.png", "a.png.overlay.png", "a.png.png", "labelmap.txt")
    ]


def test_mask_and_overlay_follow_the_exif_orientation(segment, photos, tmp_path, expected):
    with Image.open(photos / "3.png") as picture:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(tmp_path / "turned.png", exif=exif)
        ImageOps.exif_transpose(Image.open(tmp_path / "turned.png")).save(tmp_path / "upright.png", exif=Image.Exif())
    assert segment(tmp_path / "turned.png", "--overlay").code == 0
    found = mask(tmp_path / "masks" / "turned.png")
    assert found.shape == (90, 30) and np.array_equal(found, expected(tmp_path / "upright.png"))
    drawn = np.asarray(Image.open(tmp_path / "masks" / "turned.overlay.png"))[:90, :30].astype(int)
    colours = np.array(Image.open(tmp_path / "masks" / "turned.png").getpalette()).reshape(-1, 3)[found]
    upright = np.asarray(Image.open(tmp_path / "upright.png")).astype(int)
    assert np.abs(drawn - (0.6 * colours + 0.4 * upright)).max() <= 2


def test_files_for_the_picture_on_standard_input_are_called_stdin(segment, photos, tmp_path, monkeypatch, expected):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((photos / "0.png").read_bytes())))
    ran = segment("-", "--overlay", "--rows-format", "json")
    assert ran.code == 0 and json.loads(ran.out)[0]["path"] == "-"
    assert files(tmp_path / "masks") == ["labelmap.txt", "stdin.overlay.png", "stdin.png"]
    assert np.array_equal(mask(tmp_path / "masks" / "stdin.png"), expected(photos / "0.png"))


def coco_masks(file):
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
    return {
        image["file_name"]: sum(
            coco.annToMask(one) * (one["category_id"] - 1) for one in coco.loadAnns(coco.getAnnIds(image["id"]))
        )
        for image in coco.loadImgs(coco.getImgIds())
    }


def test_later_runs_add_run_lengths_to_one_coco_file(segment, nested, tmp_path, expected):
    file = tmp_path / "masks" / "annotations.json"
    rows = json.loads(segment(nested / "drive", "--format", "rle", "--rows-format", "json").out)
    assert {row["mask"] for row in rows} == {str(file)} and files(tmp_path / "masks") == ["annotations.json"]
    assert list(coco_masks(file)) == ["b.png", "day 2/c.png"]
    shutil.copy(nested / "a.png", nested / "drive" / "d.png")
    assert "2 of 3 pictures" in segment(nested / "drive", "--format", "rle").err
    found = coco_masks(file)
    assert list(found) == ["b.png", "day 2/c.png", "d.png"]
    assert all(np.array_equal(classes, expected(nested / "drive" / name)) for name, classes in found.items())
    before = file.read_bytes()
    assert "3 of 3" in segment(nested / "drive", "--format", "rle").err and file.read_bytes() == before
    assert segment(nested / "drive" / "d.png", "--format", "rle", "--overwrite").code == 0
    assert list(coco_masks(file)) == ["b.png", "day 2/c.png", "d.png"], "others stay"


def test_polygons_do_not_overlap(segment, nested, tmp_path, expected):
    assert segment(nested, "--format", "geojson").code == 0
    assert files(tmp_path / "masks") == ["a.geojson", "drive/b.geojson", "drive/day 2/c.geojson"]
    read = json.loads((tmp_path / "masks" / "drive" / "b.geojson").read_bytes())
    assert read["file_name"] == "drive/b.png"
    y, x = np.mgrid[: read["height"], : read["width"]] + 0.5
    classes = sum(
        feature["properties"]["index"] * contains_xy(shape(feature["geometry"]), x, y) for feature in read["features"]
    )
    assert np.array_equal(classes, expected(nested / "drive" / "b.png"))


@pytest.mark.parametrize("format", ["png", "rle"])
def test_output_with_other_classes_is_refused(segment, nested, tmp_path, format):
    out = tmp_path / "masks"
    out.mkdir()
    file = out / ("labelmap.txt" if format == "png" else "annotations.json")
    file.write_text("{}")
    ran = segment(nested, "--format", format)
    assert ran.code == 2 and "this model's" in ran.err and files(out) == [file.name] and ran.out == ""
    assert segment(nested, "--format", format, "--overwrite").code == 0 and file.read_text() != "{}"


def test_failed_pictures_are_listed_and_the_others_processed(segment, nested, tmp_path):
    (nested / "bad.jpg").write_text("no")
    ran = segment(nested, "--rows-format", "jsonl")
    assert (
        ran.code == 1
        and f"Wrote masks of 3 pictures to {tmp_path / 'masks'} (1 failed)." in ran.err
        and "Error: " in ran.err
    )
    assert ["error" in json.loads(line) for line in ran.out.splitlines()] == [False, True, False, False]
    assert "bad.png" not in files(tmp_path / "masks") and len(files(tmp_path / "masks")) == 4
    ran = segment(nested, "--overwrite", "--fail-fast")
    assert ran.code == 1 and ran.out.count("\n") == 2


def test_a_picture_deleted_during_the_run_has_a_row_with_error(segment, nested, monkeypatch):
    from lookwhere_cli.errors import PictureError
    from lookwhere_cli.reader import PictureReader

    def gone(reader, path, height, width):
        raise PictureError(f"{path!r} is not there.")

    monkeypatch.setattr(PictureReader, "displayed", gone)
    ran = segment(nested / "a.png", "--overlay", "--rows-format", "jsonl")
    assert ran.code == 1 and set(json.loads(ran.out)) == {"schema", "path", "error"}


def test_an_output_folder_inside_the_input_is_not_read(segment, nested):
    out = nested / "masks"
    assert segment(nested, out=out).code == 0
    ran = segment(nested, out=out)
    assert ran.code == 0 and "3 of 3" in ran.err and len(files(out)) == 4
    ran = segment(nested, out=nested)
    assert ran.code == 2 and "the folder of the pictures themselves" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-k", "0"], 2, "-k 0 is not an amount"),
        (["-k", "37"], 2, "more than the 36 cells"),
        (["--format", "tiff"], 2, "--format tiff is not known"),
        (["--crop"], 2, "--crop"),
        (["--rows", "/nowhere/rows.csv"], 2, "can't be written: No such file or directory"),
        (["--rows", "rows.xml"], 2, "--rows 'rows.xml' must end in"),
        (["--out", "/proc/masks"], 2, "--out '/proc/masks' can't be made"),
        (["--out", "/dev/null"], 2, "can't be made"),
        (["--device", "gpu"], 2, "no device 'gpu'"),
    ],
)
def test_wrong_usage_is_an_error_before_any_picture_is_opened(
    lookwhere, segmenting_folder, nested, tmp_path, monkeypatch, arguments, code, sentence
):
    monkeypatch.setattr("lookwhere_cli.reader.open_view", lambda *_: pytest.fail("a picture was opened"))
    model = ("--model", segmenting_folder)
    ran = lookwhere("segment", nested, "--out", tmp_path / "masks", *model, *arguments)
    assert ran.code == code and ran.out == "" and sentence in ran.err and "Traceback" not in ran.err
    assert not (tmp_path / "masks").exists()


def test_out_is_required(lookwhere, nested, segmenting_folder):
    ran = lookwhere("segment", nested, "--model", segmenting_folder)
    assert ran.code == 2 and "--out" in ran.err


@pytest.mark.parametrize(("format", "library"), [("rle", "pycocotools"), ("geojson", "shapely")])
def test_a_missing_library_is_named_before_any_work(segment, nested, tmp_path, monkeypatch, format, library):
    monkeypatch.setitem(sys.modules, library, None)
    ran = segment(nested, "--format", format)
    assert ran.code == 2 and f"needs {library}" in ran.err and "lookwhere[segment]" in ran.err
    assert not (tmp_path / "masks").exists()


def test_a_model_of_another_task_is_refused(lookwhere, nested, tmp_path, model_folder, segmenting_folder):
    ran = lookwhere("segment", nested, "--out", tmp_path / "masks", "--model", model_folder)
    assert ran.code == 3 and "can't segment pictures: it classifies them" in ran.err
    ran = lookwhere("classify", nested, "--model", segmenting_folder)
    assert ran.code == 3 and "use lookwhere segment" in ran.err


@pytest.fixture
def shelf(tmp_path, model_folder, segmenting_folder, monkeypatch):
    """Bundle the tiny models under the names of the defaults."""
    shelf = tmp_path / "weights"
    shutil.copytree(model_folder, shelf / DEFAULT_CLASSIFIER)
    shutil.copytree(segmenting_folder, shelf / DEFAULT_SEGMENTER)
    monkeypatch.setattr(resolve, "_BUNDLES", (shelf,))


def test_the_model_of_the_environment_is_used_only_for_its_task(
    lookwhere, nested, tmp_path, model_folder, segmenting_folder, monkeypatch, shelf
):
    def models_of(*arguments):
        ran = lookwhere(*arguments)
        rows = [json.loads(line) for line in ran.out.splitlines()]
        return {row["model"] for row in rows}, ran.err

    segmenting = ("segment", nested, "--out", tmp_path / "masks", "--overwrite", "--rows-format", "jsonl")
    classifying = ("classify", nested, "--format", "jsonl")
    used, notes = models_of(*segmenting)
    assert used == {DEFAULT_SEGMENTER} and "a model for classify; using lookwhere-tiny-streets instead" in notes
    assert models_of(*classifying) == ({str(model_folder)}, "")
    assert models_of(*segmenting, "--quiet") == ({DEFAULT_SEGMENTER}, "")
    monkeypatch.setenv("LOOKWHERE_MODEL", str(segmenting_folder))
    assert models_of(*segmenting, "--quiet") == ({str(segmenting_folder)}, "")
    used, notes = models_of(*classifying)
    assert used == {DEFAULT_CLASSIFIER} and "a model for segment" in notes
    monkeypatch.delenv("LOOKWHERE_MODEL")
    assert models_of(*segmenting, "--quiet") == ({DEFAULT_SEGMENTER}, "")


def test_a_full_disk_under_the_rows_is_reported_in_a_sentence(segment, nested):
    ran = segment(nested, "--rows", "/dev/full")
    assert ran.code == 1 and "Writing '/dev/full' failed: No space left on device" in ran.err


@pytest.mark.parametrize("columns", [40, pytest.param(100, marks=pytest.mark.slow)])
def test_a_terminal_shows_a_map_with_legend_and_shares(segmenting_folder, photos, tmp_path, columns):
    arguments = ["segment", str(photos / "0.png"), "--out", str(tmp_path), "--model", str(segmenting_folder)]
    code, shown = in_terminal(columns, arguments)
    assert code == 0 and "▀" in shown and "bright: the 17 of" in shown and "█" in shown
    assert all(label in shown for label in SEGMENTING.labels)
    code, shown = in_terminal(columns, [*arguments, "--no-map", "--overwrite"])
    assert code == 0 and "▀" not in shown and "█" in shown


MANY = 3000


@pytest.mark.parametrize("format", ["png", pytest.param("rle", marks=pytest.mark.slow)])
def test_after_ctrl_c_finished_masks_are_complete_and_the_next_run_continues(
    lookwhere, segmenting_folder, photos, tmp_path, format
):
    many, out, rows = tmp_path / "many", tmp_path / "masks", tmp_path / "rows.jsonl"
    many.mkdir()
    for index in range(MANY):
        os.link(photos / "0.png", many / f"{index}.png")
    command = [sys.executable, "-m", "lookwhere_cli", "segment", many, "--out", out, "--model", segmenting_folder]
    options = ["--batch-size", "2", "--format", format]
    process = subprocess.Popen([*command, *options, "--rows", rows], stderr=subprocess.PIPE)
    try:
        while not any(file.stat().st_size for file in tmp_path.glob(".rows*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=60)[1].decode()
    finally:
        process.kill()
    done = [json.loads(line)["path"].rpartition("/")[2] for line in rows.read_text().splitlines()]
    assert process.returncode == 130 and 0 < len(done) < MANY and f"of {MANY:,} pictures are done" in err
    assert not [file for file in files(out) if file.endswith(".partial")]
    if format == "rle":
        assert set(done) <= set(coco_masks(out / "annotations.json"))
    else:
        assert set(done) <= set(files(out)) and all(mask(out / name).shape == (40, 60) for name in done)
    subset = [many / done[0], many / f"{MANY - 1}.png"]
    ran = lookwhere(*command[3:4], *subset, *command[5:], *options)
    assert ran.code == 0 and ran.out.count("\n") == 1, ran.err
    assert ran.err.startswith("Skipped 1 of 2 pictures whose masks exist already")
