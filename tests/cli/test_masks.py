"""`detect --masks` and `train --masks`: the same masks in every format, and wrong use to a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.output.masks.run_lengths import area_of, decode, encode_outline, polygons_of
from tests.models.small import DETECTING, small
from tests.training.test_object_masks import triangle


@pytest.fixture(scope="session")
def masking_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detection model of random weights that finds masks."""
    folder = tmp_path_factory.mktemp("models") / "masking"
    save_model(folder, small(replace(DETECTING, detect_mask_channels=4)), "# masking\n")
    return folder


@pytest.fixture
def detect(lookwhere: Any, masking_folder: Path) -> Any:
    return lambda *arguments: lookwhere("detect", *arguments, "--model", masking_folder, "--conf", 0.1)


def rows_of(ran: Any) -> list[dict[str, Any]]:
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.mark.filterwarnings("ignore:__array__")  # in pycocotools, with NumPy 2
def test_masks_lie_in_their_boxes_and_are_read_by_pycocotools(detect: Any, photos: Path) -> None:
    rows, plain = (rows_of(detect(photos, "--format", "jsonl", *more)) for more in (("--masks",), ()))
    shown = 0
    for row, boxes in zip(rows, plain, strict=True):
        assert [one | {"mask": None} for one in row["boxes"]] == [one | {"mask": None} for one in boxes["boxes"]]
        assert not any("mask" in one for one in boxes["boxes"])
        assert (row["macs"] - boxes["macs"]) == len(row["boxes"]) * 784 * 10
        for one in row["boxes"]:
            pixels = coco_mask.decode(one["mask"])
            assert pixels.shape == (row["height"], row["width"])
            left, top, right, bottom = one["box"]
            at = np.argwhere(pixels) + 0.5
            assert (at[:, 0] > top - 0.01).all() and (at[:, 0] < bottom + 0.01).all()
            assert (at[:, 1] > left - 0.01).all() and (at[:, 1] < right + 0.01).all()
            shown += len(at)
    assert shown


def test_every_format_has_the_same_masks(detect: Any, photos: Path, tmp_path: Path) -> None:
    picture = photos / "0.png"
    (row,) = rows_of(detect(picture, "--masks", "--format", "jsonl"))
    areas = [area_of(one["mask"]) for one in row["boxes"]]
    assert detect(picture, "--masks", "--format", "coco", "--out", tmp_path / "coco.json").code == 0
    coco = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert [one["segmentation"] for one in coco] == [one["mask"] for one in row["boxes"]]
    assert [one["area"] for one in coco] == areas
    assert detect(picture, "--masks", "--out", tmp_path / "a.geojson").code == 0
    shapes = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [one["geometry"]["type"] for one in shapes] == ["MultiPolygon"] * len(areas)
    assert detect(picture, "--masks", "--format", "yolo", "--out", tmp_path / "yolo").code == 0
    lines = (tmp_path / "yolo" / "labels" / "0.txt").read_text().splitlines()
    for line, one in zip(lines, row["boxes"], strict=True):
        parts = polygons_of(one["mask"]).geoms
        corners = max(parts, key=lambda part: part.area).exterior.coords[:-1] if len(parts) else [0, 0]
        assert len(line.split()) == 1 + 2 * len(corners)


def test_overlays_show_masks(detect: Any, photos: Path, tmp_path: Path) -> None:
    for more, folder in ((("--masks",), "masks"), ((), "boxes")):
        assert detect(photos / "0.png", *more, "--overlay", "--out", tmp_path / folder).code == 0
    masks, boxes = (
        np.asarray(Image.open(tmp_path / folder / "0.overlay.png").convert("RGB")) for folder in ("masks", "boxes")
    )
    assert masks.shape == boxes.shape and (masks != boxes).any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--masks has no effect on text; write json, jsonl, parquet, coco, geojson, yolo, or draw them with"),
        (("--out", "a.csv"), "--masks has no effect on CSV"),
        (("--format", "voc", "--out", "folder"), "--masks has no effect on voc"),
    ],
)
def test_masks_that_nothing_shows_are_refused(
    arguments: tuple[str, ...], words: str, detect: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = detect(photos / "0.png", "--masks", *arguments)
    assert ran.code == 2 and words in ran.err and len(ran.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_model_of_boxes_is_refused(lookwhere: Any, photos: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "boxes", small(DETECTING), "# boxes\n")
    ran = lookwhere("detect", photos / "0.png", "--masks", "--format", "jsonl", "--model", tmp_path / "boxes")
    assert ran.code == 3 and ran.out == "" and "finds boxes without masks" in ran.err


def test_boxes_without_outlines_do_not_teach_masks(lookwhere: Any, tmp_path: Path, masking_folder: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text("file,left,top,right,bottom,label\na.png,1,1,20,20,cat\n")
    ran = lookwhere("train", tmp_path / "boxes.csv", "--masks", "--model", masking_folder, "--out", tmp_path / "out")
    assert ran.code == 2 and "--masks learns the outlines of objects, but" in ran.err and "has none" in ran.err
    assert not (tmp_path / "out").exists()


def coco_set(folder: Path, count: int) -> Path:
    """Triangles on noise in COCO's format: polygons, run lengths, and an object of which only the box is known."""
    folder.mkdir()
    rng, images, annotations = np.random.default_rng(0), [], []
    for number in range(count):
        box = (4, 4, 30, 28) if number % 2 else (10, 14, 40, 44)
        polygon = triangle(box, number % 4)
        run_lengths = encode_outline([polygon], (48, 48))
        pixels = rng.integers(0, 60, (48, 48, 3)).astype(np.uint8)
        pixels[decode(run_lengths)] = (220, 40, 40)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 48, "height": 48})
        shape = {"bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]], "iscrowd": 0, "category_id": 1}
        outline = ([polygon], run_lengths, None)[number % 3]
        shape |= {"segmentation": outline} if outline else {}
        annotations.append(shape | {"id": number + 1, "image_id": number})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "wedge"}]}
    (folder / "set.json").write_text(json.dumps(content))
    return folder / "set.json"


@pytest.mark.slow
def test_polygons_and_run_lengths_become_a_model_that_finds_masks(
    lookwhere: Any, tmp_path: Path, masking_folder: Path
) -> None:
    data, model = coco_set(tmp_path / "set", 12), tmp_path / "model"
    trained = lookwhere(
        *("train", data, "--masks", "--model", masking_folder, "--epochs", 2, "--batch-size", 4, "--size", 48),
        *("--thumbnail-size", 24, "-k", "all", "--device", "cpu", "--dtype", "float32", "--workers", 0, "--out", model),
    )
    assert trained.code == 0, trained.err
    assert "mask AP" in trained.err
    assert json.loads((model / "config.json").read_text())["detect_mask_channels"] == 8
    assert json.loads((model / "training.json").read_text())["recipe"]["shape"]["masks"] is True
    scored = lookwhere("evaluate", data, "--model", model, "-k", "all", "--out", tmp_path / "results")
    assert scored.code == 0 and "mask AP" in scored.out + scored.err
    assert "mask_ap50" in (tmp_path / "results" / "results.json").read_text()
    found = lookwhere(
        "detect", tmp_path / "set" / "1.png", "--model", model, "--masks", "--format", "json", "--conf", 0
    )
    (row,) = json.loads(found.out)
    assert row["boxes"] and all(one["mask"]["size"] == [48, 48] for one in row["boxes"])
