"""Runs in windows that were stopped, or could not read some windows: the same command goes on from there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.cli.window_rows import KeptRows
from lookwhere_cli.images.large.rasters import RasterSource
from lookwhere_cli.output.rows import Row
from lookwhere_cli.windows import kept, masks, picture
from tests.models.small import DETECTING, small

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
WINDOW = ("--window", 24, "-k", "all", "--batch-size", 1)


def raster_at(file: Path, seed: int = 0) -> Path:
    """Write a map of 48 x 72 pixels of 10 m: six windows."""
    pixels = np.random.default_rng(seed).integers(1, 255, (3, 48, 72), dtype=np.uint8)
    profile = {"driver": "GTiff", "height": 48, "width": 72, "count": 3, "dtype": "uint8", "crs": "EPSG:32618"}
    with rasterio.open(file, "w", **profile, transform=from_origin(5e5, 4e6, 10, 10)) as written:
        written.write(pixels)
    return file


@pytest.fixture
def raster(tmp_path: Path) -> Path:
    return raster_at(tmp_path / "a.tif")


@pytest.fixture
def torn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the window at (24, 0) fail until it is mended."""
    read, broken = RasterSource.read, [True]

    def reading(self: Any, box: Any, height: int, width: int) -> Any:
        if broken and tuple(box) == (24, 0, 48, 24):
            raise OSError("torn")
        return read(self, box, height, width)

    monkeypatch.setattr(RasterSource, "read", reading)
    return broken.clear


def stop(monkeypatch: pytest.MonkeyPatch, after: int) -> pytest.MonkeyPatch:
    """Let Ctrl-C come after some windows were answered."""
    answer = picture.answer_windows

    def stopping(*arguments: Any) -> Any:
        for done, answered in enumerate(answer(*arguments)):
            if done == after:
                raise KeyboardInterrupt
            yield answered

    monkeypatch.setattr(picture, "answer_windows", stopping)
    monkeypatch.setattr(masks, "answer_windows", stopping)
    return monkeypatch


def rows_of(file: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def page_of(file: Path) -> dict[str, Any]:
    """Return what a page shows; of the surest windows their numbers, since pixels may differ by rounding."""
    (shown,) = json.loads(file.read_text().split('id="data">')[1].split("</script>")[0])["pictures"]
    return {**shown, "best": [number for number, _ in shown["best"]]}


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_window_that_failed_is_tried_again(lookwhere: Any, raster: Path, tmp_path: Path, torn: Any) -> None:
    out, side_file = tmp_path / "rows.jsonl", tmp_path / "rows.jsonl.windows.jsonl"
    command = ("classify", raster, *WINDOW, "--window-rows", "--out", out)
    ran = lookwhere(*command)
    assert ran.code == 1 and "Read 5 of 6 windows, 1 failed." in ran.err
    assert f"finished are in {side_file}; the same command goes on from there. It tries again what failed." in ran.err
    assert "torn" in rows_of(out)[1]["error"]
    torn()
    ran = lookwhere(*command)
    assert ran.code == 0 and "5 windows are finished" in ran.err and not side_file.exists()
    *windows, whole = rows_of(out)
    assert [row["window"][:2] for row in windows] == [[x, y] for y in (0, 24) for x in (0, 24, 48)]
    assert not any("error" in row for row in windows) and whole["windows"]["read"] == 6 and "note" not in whole


def test_ctrl_c_before_the_first_window_does_not_block_the_command(
    lookwhere: Any, raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("rows.jsonl")
    command = ("classify", raster, *WINDOW, "--out", out)
    with monkeypatch.context() as context:
        stop(context, 0)
        assert lookwhere(*command).code == 130
    assert out.exists() and not out.read_bytes()
    ran = lookwhere("classify", raster, "--window", 48, "--out", out)
    assert ran.code == 2 and "exists already" in ran.err
    ran = lookwhere(*command)
    assert ran.code == 0 and "not used" not in ran.err and len(rows_of(out)) == 1
    assert names(tmp_path) == ["a.tif", "rows.jsonl"]
    assert lookwhere(*command).code == 2


def test_wrong_use_leaves_no_side_file(lookwhere: Any, raster: Path, tmp_path: Path) -> None:
    ran = lookwhere("classify", raster, "--window", 8, "-k", 9, "--out", tmp_path / "rows.jsonl")
    assert ran.code == 2 and names(tmp_path) == ["a.tif"]


def test_windows_read_with_another_config_are_not_used(
    lookwhere: Any, model_folder: Path, raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(model_folder, tmp_path / "model")
    command = ("classify", raster, "--model", model, *WINDOW, "--out", tmp_path / "rows.jsonl")
    with monkeypatch.context() as context:
        stop(context, 2)
        assert lookwhere(*command).code == 130
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"map_spacing": 0.7}))
    ran = lookwhere(*command)
    assert ran.code == 2 and "exists already" in ran.err
    (model / "config.json").write_text(json.dumps(config))
    ran = lookwhere(*command)
    assert ran.code == 0 and "Going on from" in ran.err


def test_features_before_the_first_window_and_after_a_failure(
    lookwhere: Any, raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("features.parquet")
    command = ("features", raster, "--out", out, *WINDOW)
    with monkeypatch.context() as context:
        context.setattr(kept.KeptArrays, "keep", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert lookwhere(*command).code == 130
    ran = lookwhere("features", raster, "--out", out, "--window", 48)
    assert ran.code == 2 and "exists already" in ran.err
    assert lookwhere(*command).code == 1 and pq.read_table(out).to_pylist()[1]["error"]
    assert len(names(tmp_path)) == 3
    torn()
    ran = lookwhere(*command)
    assert ran.code == 0 and "Going on from" in ran.err
    rows = pq.read_table(out).to_pylist()
    assert [(row["x"], row["y"]) for row in rows] == [(x, y) for y in (0, 24) for x in (0, 24, 48)]
    assert not any(row["error"] for row in rows) and names(tmp_path) == ["a.tif", "features.parquet"]


@pytest.fixture
def segment(lookwhere: Any, segmenting_folder: Path, tmp_path: Path) -> Any:
    rows = ("--rows", tmp_path / "rows.jsonl", "--rows-format", "jsonl")
    options = ("--out", tmp_path / "masks", "--model", segmenting_folder, *WINDOW, *rows)
    return lambda *pictures: lookwhere("segment", *pictures, *options)


def test_masks_with_a_file_of_rows_go_on(
    segment: Any, raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, out = (raster, raster_at(tmp_path / "b.tif", 1)), tmp_path / "rows.jsonl"
    with monkeypatch.context() as context:
        stop(context, 0)
        assert segment(*pictures).code == 130
    with monkeypatch.context() as context:
        keep = kept.KeptArrays.keep

        def stopping(self: Any, number: int, row: Row, arrays: Any) -> None:
            keep(self, number, row, arrays)
            if row.path.endswith("b.tif") and number == 3:
                raise KeyboardInterrupt

        context.setattr(kept.KeptArrays, "keep", stopping)
        assert segment(*pictures).code == 130
    assert len(rows_of(out)) == 1
    ran = segment(*pictures)
    assert ran.code == 0 and "Skipped 1 of 2 pictures" in ran.err and f"Going on from {tmp_path / 'masks'}" in ran.err
    rows = rows_of(out)
    assert [Path(row["path"]).name for row in rows] == ["a.tif", "b.tif"]
    assert all(row["windows"]["read"] == 6 and row["shares"] for row in rows)
    assert names(tmp_path) == ["a.tif", "b.tif", "masks", "rows.jsonl"]
    assert names(tmp_path / "masks") == ["a.tif", "b.tif"]
    assert segment(*pictures).code == 2


def test_ctrl_c_after_the_last_mask_loses_no_row(
    segment: Any, raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(KeptRows, "end", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert segment(raster).code == 130
    out = tmp_path / "rows.jsonl"
    expected = rows_of(out)
    out.write_bytes(b"")
    ran = segment(raster)
    assert ran.code == 0 and f"Wrote the rows of 1 picture to {out}." in ran.err and rows_of(out) == expected
    assert names(tmp_path) == ["a.tif", "masks", "rows.jsonl"]


def test_windows_of_a_mask_that_failed_are_tried_again(segment: Any, raster: Path, tmp_path: Path, torn: Any) -> None:
    assert segment(raster).code == 1
    mask = tmp_path / "masks" / "a.tif"
    with rasterio.open(mask) as written:
        assert (written.read(1)[:24, 24:48] == 255).all()
    assert names(tmp_path / "masks") == ["a.tif", "a.tif.windows"]
    torn()
    ran = segment(raster)
    assert ran.code == 0 and "Going on from" in ran.err and names(tmp_path / "masks") == ["a.tif"]
    with rasterio.open(mask) as written:
        assert (written.read(1) != 255).all()
    (row,) = rows_of(tmp_path / "rows.jsonl")
    assert row["windows"]["failed"] == 0


def test_an_explanation_goes_on(lookwhere: Any, raster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def explain(folder: str) -> Any:
        (tmp_path / folder).mkdir(exist_ok=True)
        files = ("--out", tmp_path / folder / "overlay.png", "--html", tmp_path / folder / "page.html")
        return lookwhere("explain", raster, "--window", 24, "-k", "50%", *files)

    assert explain("whole").code == 0
    with monkeypatch.context() as context:
        stop(context, 4)
        ran = explain("stopped")
    side_file = tmp_path / "stopped" / "overlay.png.windows.jsonl"
    assert ran.code == 130 and str(side_file) in ran.err and names(side_file.parent) == [side_file.name]
    ran = explain("stopped")
    assert ran.code == 0 and "4 windows are finished" in ran.err
    assert names(side_file.parent) == ["overlay.png", "page.html"]
    drawn = [np.asarray(Image.open(tmp_path / folder / "overlay.png")) for folder in ("whole", "stopped")]
    np.testing.assert_array_equal(*drawn)
    pages = [page_of(tmp_path / folder / "page.html") for folder in ("whole", "stopped")]
    assert pages[0] == pages[1] and len(pages[0]["windows"]) == 6
    ran = explain("stopped")
    assert ran.code == 2 and "exists already" in ran.err


def test_an_overlay_of_boxes_is_drawn_again_with_the_windows_that_failed(
    lookwhere: Any, raster: Path, tmp_path: Path, torn: Any
) -> None:
    model, out = tmp_path / "model", tmp_path / "overlays"
    save_model(model, small(DETECTING), "# detecting\n")
    options = ("--model", model, "--conf", 0.01, "--window-overlap", 0, *WINDOW, "--overlay", "--out", out)
    assert lookwhere("detect", raster, *options).code == 1
    assert names(tmp_path) == ["a.tif", "model", "overlays", "overlays.windows.jsonl"]
    (drawn,) = [file.read_bytes() for file in out.iterdir()]
    torn()
    assert lookwhere("detect", raster, *options).code == 0
    assert names(tmp_path) == ["a.tif", "model", "overlays"]
    assert [file.read_bytes() for file in out.iterdir()] != [drawn]


@pytest.mark.parametrize("options", [(), ("--window", 24)])
def test_a_map_without_any_data_is_an_error(lookwhere: Any, tmp_path: Path, options: tuple[Any, ...]) -> None:
    file = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 48, "width": 72, "count": 1, "dtype": "float32", "crs": "EPSG:32618"}
    with rasterio.open(file, "w", **profile, nodata=-9999, transform=from_origin(5e5, 4e6, 10, 10)) as written:
        written.write(np.full((1, 48, 72), -9999, np.float32))
    ran = lookwhere("classify", file, *options, "--format", "jsonl")
    (row,) = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 1 and not row.get("labels")
    assert row["error"] == f"'{file}' has no data anywhere, so there is nothing to read; leave it out."


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--window", 24), "A job reads each picture as a whole; leave --window out, or write"),
        (
            ("--every", "1s"),
            "--every is for films, which a job does not read; leave it out, or write to a file",
        ),
    ],
)
def test_what_jobs_do_not_read(lookwhere: Any, raster: Path, tmp_path: Path, options: Any, sentence: str) -> None:
    ran = lookwhere("classify", raster, *options, "--shard-size", 5, "--out", tmp_path / "shards")
    assert ran.code == 2 and ran.err.count("\n") == 1 and sentence in ran.err
