"""`lookwhere detect`: rows, files and overlays of the same boxes, and wrong use to a sentence."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.errors import ModelError
from tests.evaluation.models import DETECTS_FULL, boxes, save


@pytest.fixture
def detect(lookwhere: Any, detecting_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LOOKWHERE_MODEL", str(detecting_folder))
    return lambda *arguments: lookwhere("detect", *arguments)


def rows_of(ran: Any) -> list[dict[str, Any]]:
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_boxes_lie_in_their_pictures_best_first(detect: Any, photos: Path) -> None:
    rows = rows_of(detect(photos, "--format", "jsonl", "--conf", 0.1))
    assert len(rows) == 12 and sum(len(row["boxes"]) for row in rows) > 12
    for row in rows:
        scores = [one["score"] for one in row["boxes"]]
        assert scores == sorted(scores, reverse=True) and all(score >= 0.1 for score in scores)
        for one in row["boxes"]:
            left, top, right, bottom = one["box"]
            assert 0 <= left < right <= row["width"] and 0 <= top < bottom <= row["height"]
            assert one["label"] == ("cat", "dog", "bird")[one["index"]]
        assert row["labels"] == [] and 0 < row["macs"] < row["macs_full"]


def test_the_same_boxes_whatever_the_batch_and_the_threads(detect: Any, photos: Path) -> None:
    one, other = (
        rows_of(detect(photos, "--format", "jsonl", "--batch-size", batch, "--workers", workers))
        for batch, workers in ((1, 1), (12, 3))
    )
    for first, second in zip(one, other, strict=True):
        assert first["cells"] == second["cells"]
        assert [box["label"] for box in first["boxes"]] == [box["label"] for box in second["boxes"]]
        for a, b in zip(first["boxes"], second["boxes"], strict=True):
            assert a["box"] == pytest.approx(b["box"], abs=0.02) and a["score"] == pytest.approx(b["score"], abs=1e-4)


def test_thresholds_limits_and_classes(detect: Any, photos: Path) -> None:
    picture = photos / "0.png"
    (every,) = rows_of(detect(picture, "--format", "jsonl", "--conf", 0))
    (few,) = rows_of(detect(picture, "--format", "jsonl", "--conf", 0, "--max-boxes", 2))
    assert few["boxes"] == every["boxes"][:2] and few["note"].startswith("more than 2 boxes")
    (dogs,) = rows_of(detect(picture, "--format", "jsonl", "--conf", 0, "--only", "dog, cat"))
    assert {one["label"] for one in dogs["boxes"]} == {"dog", "cat"}
    (separate,) = rows_of(detect(picture, "--format", "jsonl", "--conf", 0, "--iou", 1))
    assert len(separate["boxes"]) > len(every["boxes"])


def test_one_line_of_csv_for_each_box_and_one_for_a_picture_without(detect: Any, photos: Path, tmp_path: Path) -> None:
    ran = detect(photos, "--out", tmp_path / "boxes.csv", "--conf", 0.3)
    assert ran.code == 0 and ran.out == "" and "Wrote the boxes of 12 pictures" in ran.err
    lines = list(csv.DictReader(io.StringIO((tmp_path / "boxes.csv").read_text())))
    assert list(lines[0]) == ["file", "left", "top", "right", "bottom", "label", "score", "time", "frame"]
    rows = rows_of(detect(photos, "--format", "jsonl", "--conf", 0.3))
    assert len(lines) == sum(max(1, len(row["boxes"])) for row in rows)
    assert {line["file"] for line in lines} == {row["path"] for row in rows}


@pytest.mark.parametrize("ending", ["json", "jsonl", "parquet", "geojson", "txt"])
def test_the_ending_sets_the_format(ending: str, detect: Any, photos: Path, tmp_path: Path) -> None:
    ran = detect(photos / "0.png", "--out", tmp_path / f"boxes.{ending}")
    assert ran.code == 0, ran.err
    content = (tmp_path / f"boxes.{ending}").read_bytes()
    assert content.startswith(b"PAR1") if ending == "parquet" else b"0.png" in content


def test_coco_by_format(detect: Any, photos: Path, tmp_path: Path) -> None:
    assert detect(photos / "0.png", "--out", tmp_path / "coco.json", "--format", "coco", "--conf", 0.1).code == 0
    coco = json.loads((tmp_path / "coco.json").read_text())
    assert [one["name"] for one in coco["categories"]] == ["cat", "dog", "bird"] and coco["annotations"]


@pytest.mark.parametrize(("format", "file"), [("yolo", "labels/{}.txt"), ("voc", "Annotations/{}.xml")])
def test_a_file_for_each_picture_once(format: str, file: str, detect: Any, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = detect(photos, "--format", format, "--out", out)
    assert ran.code == 0 and "Wrote the boxes of 12 pictures" in ran.err
    made = [out / file.format(index) for index in range(12)]
    assert all(one.is_file() for one in made)
    made[3].unlink()
    again = detect(photos, "--format", format, "--out", out)
    assert "Skipped 11 pictures" in again.err and "Wrote the boxes of 1 picture" in again.err and made[3].is_file()
    assert "Skipped 12 pictures" in detect(photos, "--format", format, "--out", out).err
    assert "Skipped" not in detect(photos, "--format", format, "--out", out, "--overwrite").err


def test_overlays_are_the_pictures_with_boxes(detect: Any, photos: Path, tmp_path: Path) -> None:
    ran = detect(photos, "--overlay", "--out", tmp_path / "drawn", "--format", "jsonl")
    rows = rows_of(ran)
    assert len(rows) == 12 and "Wrote overlays of 12 pictures" in ran.err
    for row in rows:
        drawn = Image.open(tmp_path / "drawn" / f"{Path(row['path']).stem}.overlay.png")
        assert drawn.width >= row["width"] and drawn.height > row["height"]


def test_a_folder_with_boxes_and_overlays(detect: Any, photos: Path, tmp_path: Path) -> None:
    ran = detect(photos / "0.png", "--overlay", "--out", tmp_path / "all", "--format", "yolo")
    assert ran.code == 0 and "Wrote the boxes and overlays of 1 picture" in ran.err
    assert {one.name for one in (tmp_path / "all").rglob("*") if one.is_file()} == {
        *("0.txt", "0.overlay.png", "data.yaml"),
    }


def test_boxes_are_those_of_the_picture_as_displayed(detect: Any, photos: Path, tmp_path: Path) -> None:
    turned = Image.open(photos / "0.png").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # displayed a quarter to the right
    turned.save(tmp_path / "turned.png", exif=exif)
    plain, stored = (
        rows_of(detect(path, "--format", "jsonl", "--conf", 0.1))[0]
        for path in (photos / "0.png", tmp_path / "turned.png")
    )
    assert (plain["width"], plain["height"]) == (stored["width"], stored["height"])
    assert plain["boxes"] == stored["boxes"]


def test_classify_names_the_boxes_of_a_detection_model(detect: Any, lookwhere: Any, photos: Path) -> None:
    picture = photos / "0.png"
    (boxes,) = rows_of(detect(picture, "--format", "jsonl", "--conf", 0, "--iou", 1))
    ran = lookwhere("classify", picture, "--format", "jsonl", "--top", 2)
    (row,) = rows_of(ran)
    best = {one["label"]: one["score"] for one in reversed(boxes["boxes"])}
    assert "boxes" not in row and row["macs"] == boxes["macs"]
    assert {one["label"]: one["probability"] for one in row["labels"]} == pytest.approx(
        dict(sorted(best.items(), key=lambda pair: -pair[1])[:2]), abs=1e-5
    )


def test_failures_are_rows_and_the_others_are_done(detect: Any, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    shutil.copy(photos / "0.png", folder / "good.png")
    (folder / "bad.png").write_text("no picture")
    ran = detect(folder, "--out", tmp_path / "rows.jsonl")
    assert ran.code == 1 and "(1 failed)" in ran.err
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert ["error" in row for row in rows] == [True, False]
    drawn = detect(folder, "--format", "yolo", "--overlay", "--out", tmp_path / "drawn")
    assert drawn.code == 1 and (tmp_path / "drawn" / "good.overlay.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--conf", 1.5), "--conf is 1.5; it must be between 0 and 1"),
        (("--iou", -0.1), "--iou is -0.1"),
        (("--max-boxes", 0), "--max-boxes is 0; it must be at least 1"),
        (("--only", "cart"), "has no class 'cart'; it has, for instance, cat"),
        (("-k", "auto"), "-k auto is only for classify"),
        (("--format", "yolo"), "--format yolo writes a file for each picture; name a folder for them with --out"),
        (("--overlay",), "--overlay writes a file for each picture"),
        (("--overlay", "--out", "boxes.csv"), "'boxes.csv' is a file; name a folder"),
        (("--out", "boxes.xyz"), "must end in .*give --format"),
    ],
)
def test_wrong_use_is_a_sentence(arguments: tuple[Any, ...], words: str, detect: Any, photos: Path) -> None:
    ran = detect(photos / "0.png", *arguments)
    assert ran.code == 2 and ran.out == "" and len(ran.err.splitlines()) == 1
    assert re.search(words, ran.err), ran.err


def test_other_models_do_not_find_boxes(lookwhere: Any, photos: Path, model_folder: Path) -> None:
    ran = lookwhere("detect", photos / "0.png", "--model", model_folder)
    assert ran.code == 3 and "can't detect pictures" in ran.err


def test_python_has_arrays(detecting_folder: Path, files: list[str]) -> None:
    from lookwhere_cli import load

    predictor = load(str(detecting_folder), conf=0.2)
    rows = [answer.row for answer in predictor.answers(files[:2])]
    for row, found in zip(rows, predictor.detect(files[:2]), strict=True):
        assert found is not None and found.boxes.dtype == np.float32
        assert tuple(found) == row.boxes
    one = predictor.detect(files[0])
    assert one is not None and len(one) == len(rows[0].boxes)
    assert predictor.detect("missing.png") is None
    with pytest.raises(ModelError, match="can't detect"):
        load("lookwhere-tiny-in1k").detect(files[0])


def test_a_detection_model_has_no_looks(lookwhere: Any, photos: Path, detecting_folder: Path) -> None:
    for command in ("classify", "explain"):
        ran = lookwhere(command, photos / "0.png", "--model", detecting_folder, "-k", "auto")
        assert ran.code == 3 and "finds boxes; -k auto stops when a model is confident of one label" in ran.err
    ran = lookwhere(
        "calibrate", photos, "--model", detecting_folder, "--looks", "25%,50%", "--budget", "50%", "--out", "x"
    )
    assert ran.code in (2, 3) and len(ran.err.splitlines()) == 1, ran.err


def test_segmenting_needs_another_model(lookwhere: Any, photos: Path, detecting_folder: Path, tmp_path: Path) -> None:
    ran = lookwhere("segment", photos, "--model", detecting_folder, "--out", tmp_path / "masks")
    assert ran.code == 3 and "finds boxes and can't segment pictures" in ran.err


@pytest.fixture
def boxes_csv(tmp_path: Path) -> Path:
    """Nine pictures, with boxes of two classes or none."""
    labelled = boxes(tmp_path / "data")
    lines = ["file,left,top,right,bottom,label"]
    for example in labelled.examples:
        assert example.objects is not None
        name = Path(example.path).name
        sides = zip(example.objects.boxes.tolist(), example.objects.classes.tolist(), strict=True)
        lines += [",".join([name, *map(str, box), labelled.classes[label]]) for box, label in sides] or [f"{name},,,,,"]
    (tmp_path / "data" / "boxes.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "data" / "boxes.csv"


def test_evaluate_measures_boxes_and_tiles(
    lookwhere: Any, boxes_csv: Path, detecting_folder: Path, tmp_path: Path
) -> None:
    full = save(tmp_path / "full", DETECTS_FULL)
    ran = lookwhere(
        *("evaluate", boxes_csv, "--model", detecting_folder, "-k", "25%", "--full", full, "--tiles", 24),
        *("--no-time", "--out", tmp_path / "results"),
    )
    assert ran.code == 0, ran.err
    assert all(len(line) <= 80 for line in ran.out.splitlines()) and "AP75" in ran.out
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert [row["chosen_by"] for row in results["rows"]] == [
        *("selector", "random", "centre", "downscaled", "tiles", "full"),
    ]
    assert results["metric"] == "ap" and results["kind"] == "boxes"
    assert {"ap", "ap50", "ap75", "ar"} <= results["rows"][0]["scores"].keys()
    assert results["rows"][4]["macs"] > results["rows"][0]["macs"]
    markdown = (tmp_path / "results" / "results.md").read_text()
    assert "| AP33 |" in markdown and "Tiles: all cells of overlapping tiles of 24 px" in markdown
    assert (tmp_path / "results" / "confusion.png").is_file()


def test_what_detect_writes_can_be_evaluated(
    detect: Any, lookwhere: Any, photos: Path, detecting_folder: Path, tmp_path: Path
) -> None:
    """A model finds exactly what it found before."""
    assert detect(photos, "--format", "coco", "--out", tmp_path / "coco.json", "--conf", 0.3).code == 0
    for picture in photos.iterdir():
        shutil.copy(picture, tmp_path)
    ran = lookwhere(
        "evaluate", tmp_path / "coco.json", "--model", detecting_folder, "-k", "50%", "--no-time", "--quiet"
    )
    assert ran.code == 0, ran.err
    assert re.search(r"50%\s+selector .* 100\.0", ran.out), ran.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--tiles", 25), "tiles' size is 25 pixels"), (("--tiles", 24, "--overlap", 2), "--overlap is 2")],
)
def test_impossible_tiles_are_a_sentence(
    arguments: tuple[Any, ...], words: str, lookwhere: Any, boxes_csv: Path, detecting_folder: Path
) -> None:
    ran = lookwhere("evaluate", boxes_csv, "--model", detecting_folder, *arguments)
    assert ran.code == 2 and words in ran.err and len(ran.err.splitlines()) == 1


def test_labels_cannot_score_boxes(lookwhere: Any, boxes_csv: Path, model_folder: Path) -> None:
    ran = lookwhere("evaluate", boxes_csv, "--model", model_folder)
    assert ran.code == 3 and "gives one label, but the data have boxes" in ran.err
