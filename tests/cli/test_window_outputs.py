"""Masks, features, explanations and GeoJSON of pictures that are read in windows, from the command line."""

import json
import re
import resource
import signal

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from safetensors.numpy import load_file
from shapely.geometry import shape

from lookwhere_cli.loading import load
from lookwhere_cli.segmenter import Segmenter
from lookwhere_cli.show import geometry
from lookwhere_cli.show.legend import BACKGROUND
from lookwhere_cli.windows import kept

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
WINDOW = ("--window", 24, "-k", "all")


@pytest.fixture
def raster(tmp_path):
    """A map of 48 x 72 pixels of 10 m, in UTM."""
    pixels = np.random.default_rng(0).integers(1, 255, (3, 48, 72), dtype=np.uint8)
    file = tmp_path / "a map.tif"
    profile = {"driver": "GTiff", "height": 48, "width": 72, "count": 3, "dtype": "uint8", "crs": "EPSG:32618"}
    with rasterio.open(file, "w", **profile, transform=from_origin(5e5, 4e6, 10, 10)) as written:
        written.write(pixels)
    return file


def names(folder):
    return sorted(file.name for file in folder.iterdir())


@pytest.fixture
def segment(lookwhere, segmenting_folder, raster, tmp_path):
    def run(*arguments):
        return lookwhere(
            "segment", raster, "--out", tmp_path / "masks", "--model", segmenting_folder, *WINDOW, *arguments
        )

    return run


def test_a_mask_is_a_map_of_its_classes(segment, segmenting_folder, raster, tmp_path):
    ran = segment("--overlay", "--rows", tmp_path / "rows.json")
    assert ran.code == 0 and ran.err == (
        f"Wrote the masks and overlays of 1 picture to {tmp_path / 'masks'}. Read 6 of 6 windows.\n"
    )
    with rasterio.open(tmp_path / "masks" / "a map.tif") as mask, rasterio.open(raster) as source:
        assert mask.crs == source.crs and mask.transform == source.transform and mask.shape == source.shape
        classes, pixels = mask.read(1), np.moveaxis(source.read(), 0, -1)
    segmenter = Segmenter(load(str(segmenting_folder), k="all"))
    for top in (0, 24):
        for left in (0, 24, 48):
            alone = next(segmenter.segment(pixels[top : top + 24, left : left + 24])).classes
            assert np.array_equal(classes[top : top + 24, left : left + 24], alone)
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["mask"] == str(tmp_path / "masks" / "a map.tif") and row["windows"]["read"] == 6
    assert sum(share["area"] for share in row["shares"]) == pytest.approx(48 * 72 * 100, rel=2e-3)
    assert {share["unit"] for share in row["shares"]} == {"m²"}
    assert names(tmp_path / "masks") == ["a map.overlay.png", "a map.tif"]
    assert Image.open(tmp_path / "masks" / "a map.overlay.png").width >= 72
    again = segment()
    assert again.code == 0 and "Skipped 1 of 1 picture whose masks exist already" in again.err


def test_polygons_of_a_mask(segment, tmp_path):
    assert segment("--format", "geojson").code == 0
    collection = json.loads((tmp_path / "masks" / "a map.geojson").read_text())
    shapes = [shape(feature["geometry"]) for feature in collection["features"]]
    assert all(one.is_valid for one in shapes) and names(tmp_path / "masks") == ["a map.geojson"]
    assert -75.1 < collection["bbox"][0] < collection["bbox"][2] < -74.9


@pytest.mark.parametrize("format", ["png", "rle"])
def test_formats_that_hold_a_whole_mask_are_refused(segment, format):
    ran = segment("--format", format)
    assert ran.code == 2 and ran.err == (
        f"Error: --format {format} holds a whole mask in memory; with --window, use tif or geojson.\n"
    )


def test_a_stopped_run_keeps_its_windows_and_goes_on(segment, tmp_path, monkeypatch):
    def stopping(self, number, row, arrays):
        keep(self, number, row, arrays)
        if row.window[0] == 48:
            raise KeyboardInterrupt

    keep = kept.KeptArrays.keep
    monkeypatch.setattr(kept.KeptArrays, "keep", stopping)
    ran = segment()
    side_file = tmp_path / "masks" / "a map.tif.windows"
    assert ran.code == 130 and f"The windows that are finished are in {side_file}" in ran.err
    assert names(tmp_path / "masks") == ["a map.tif.windows"]

    computed = []
    monkeypatch.setattr(kept.KeptArrays, "keep", lambda self, number, row, arrays: computed.append(row.window))
    ran = segment()
    assert ran.code == 0 and ran.err.startswith(f"Going on from {side_file}.\n")
    assert [window[:2] for window in computed] == [(0, 24), (24, 24), (48, 24)]
    assert names(tmp_path / "masks") == ["a map.tif"]
    with rasterio.open(tmp_path / "masks" / "a map.tif") as mask:
        assert (mask.read(1) != 255).all()


def test_a_disk_that_fills_ends_with_a_sentence_and_leaves_no_mask(segment, tmp_path, monkeypatch):
    monkeypatch.setattr(kept.KeptArrays, "keep", lambda self, number, row, arrays: None)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        ran = segment()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert ran.code == 1 and names(tmp_path / "masks") == []
    assert re.search(r"Writing .*a map\.tif' failed: .*make room or choose another place\.", ran.err), ran.err
    assert "Traceback" not in ran.err


def test_a_map_as_one_picture_has_a_mask_of_the_resolution_that_was_read(
    lookwhere, segmenting_folder, raster, tmp_path
):
    options = ("--model", segmenting_folder, "--out", tmp_path / "masks", "--format", "tif", "--size", "16")
    ran = lookwhere("segment", raster, *options, "--rows", tmp_path / "rows.json")
    assert ran.code == 0
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    with rasterio.open(tmp_path / "masks" / "a map.tif") as mask, rasterio.open(raster) as source:
        assert mask.shape == (4 * row["grid"][0], 4 * row["grid"][1]) and mask.shape < source.shape
        assert mask.bounds == pytest.approx(source.bounds) and mask.crs == source.crs
    assert f"mask of {mask.width} x {mask.height} pixels" in row["note"]


def test_features_of_windows_have_their_place(lookwhere, model_folder, raster, tmp_path):
    out = tmp_path / "features.parquet"
    ran = lookwhere("features", raster, "--out", out, *WINDOW, "--maps")
    assert ran.code == 0 and ran.err == (
        f"Wrote the features of the windows of 1 picture to {out}. Read 6 of 6 windows.\n"
    )
    rows = pq.read_table(out).to_pylist()
    assert [(row["x"], row["y"]) for row in rows] == [(x, y) for y in (0, 24) for x in (0, 24, 48)]
    assert {(row["level"], row["window_size"], row["mpp"]) for row in rows} == {(1.0, 24, None)}
    assert rows[0]["gsd"] == pytest.approx(10) and rows[0]["path"] == str(raster) and len(rows[0]["map"]) == 36
    with rasterio.open(raster) as source:
        pixels = np.moveaxis(source.read(), 0, -1)
    alone = next(load(str(model_folder), k="all").features(pixels[24:, 48:]))
    np.testing.assert_allclose(rows[5]["cls"], alone.cls, atol=1e-4)
    assert names(tmp_path) == ["a map.tif", "features.parquet"]


def test_features_in_safetensors_of_coarser_windows(lookwhere, raster, tmp_path):
    out = tmp_path / "features.safetensors"
    assert lookwhere("features", raster, "--out", out, *WINDOW, "--gsd", "20").code == 0
    tensors = load_file(out)
    assert tensors["x"].tolist() == [0, 24] and tensors["cls"].shape == (2, 24)
    assert tensors["level"].tolist() == pytest.approx([2, 2], rel=1e-3)
    assert tensors["gsd"].tolist() == pytest.approx([20, 20]) and not tensors["mpp"].any()


def test_stopped_features_go_on(lookwhere, raster, tmp_path, monkeypatch):
    def stopping(self, number, row, arrays):
        keep(self, number, row, arrays)
        if row.window[1] == 24:
            raise KeyboardInterrupt

    keep, out = kept.KeptArrays.keep, tmp_path / "features.parquet"
    monkeypatch.setattr(kept.KeptArrays, "keep", stopping)
    assert lookwhere("features", raster, "--out", out, *WINDOW).code == 130
    assert pq.read_table(out).num_rows == 3  # what was finished can be used
    computed = []
    monkeypatch.setattr(kept.KeptArrays, "keep", lambda self, number, row, arrays: computed.append(row))
    assert lookwhere("features", raster, "--out", out, *WINDOW).code == 0
    assert pq.read_table(out).num_rows == 6 and len(computed) == 2
    assert names(tmp_path) == ["a map.tif", "features.parquet"]


def test_an_explanation_shows_the_windows_on_the_overview(lookwhere, raster, tmp_path):
    out, page = tmp_path / "overlay.png", tmp_path / "page.html"
    ran = lookwhere("explain", raster, "--window", 24, "-k", "50%", "--out", out, "--html", page)
    assert ran.code == 0 and "6 of 6 windows" in ran.out
    assert ran.err == f"Wrote 1 overlay to {out} and 1 picture to {page}. Read 6 of 6 windows.\n"
    drawn = Image.open(out)
    assert drawn.width >= 72 and drawn.height > 48
    content = page.read_text()
    data = json.loads(content.split('id="data">')[1].split("</script>")[0])["pictures"][0]
    assert data["name"] == "a map.tif" and [one["box"][:2] for one in data["windows"]][:2] == [[0, 0], [24, 0]]
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(data["windows"][0]["cells"]), np.uint8))
    assert bits.sum() == 18 and data["read"]["read"] == 6


def test_an_explanation_as_json_has_the_windows_and_the_whole(lookwhere, raster):
    ran = lookwhere("explain", raster, "--window", 24, "--format", "jsonl")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert len(rows) == 7 and all("window" in row for row in rows[:6]) and rows[6]["windows"]["total"] == 6


def test_a_map_as_one_picture_is_explained_on_its_overview(lookwhere, raster, tmp_path, monkeypatch):
    monkeypatch.setattr(geometry, "OVERVIEW_SIDE", 36)
    out = tmp_path / "overlay.png"
    assert lookwhere("explain", raster, "--out", out).code == 0
    drawn = Image.open(out)
    assert drawn.getpixel((40, 10)) == BACKGROUND != drawn.getpixel((30, 10))  # 36 pixels wide, then a margin


def test_geojson_of_labels(lookwhere, raster, tmp_path):
    out = tmp_path / "windows.geojson"
    assert lookwhere("classify", raster, *WINDOW, "--window-rows", "--out", out).code == 0
    features = json.loads(out.read_text())["features"]
    assert len(features) == 6 and features[0]["properties"]["window"] == [0, 0, 24, 24]
    piped = lookwhere("classify", raster, *WINDOW, "--window-rows", "--format", "geojson")
    assert len(json.loads(piped.out)["features"]) == 6


@pytest.mark.parametrize(
    ("arguments", "missing"), [((), "--window auto --window-rows"), (("--window", 24), "--window-rows")]
)
def test_geojson_of_labels_needs_windows(lookwhere, raster, arguments, missing):
    ran = lookwhere("classify", raster, "--format", "geojson", *arguments)
    assert ran.code == 2 and f"add {missing}, or choose another format" in ran.err


def test_boxes_of_a_map_and_overlays_on_its_overview(lookwhere, detecting_folder, raster, tmp_path):
    options = ("--model", detecting_folder, "--conf", "0.01", *WINDOW)
    ran = lookwhere("detect", raster, *options, "--format", "geojson")
    collection = json.loads(ran.out)
    assert ran.code == 0 and collection["pictures"][0]["coordinates"] == "longitude and latitude"
    assert len(collection["features"]) > 3 and -75.1 < collection["bbox"][0] < collection["bbox"][2] < -74.9
    ran = lookwhere("detect", raster, *options, "--overlay", "--out", tmp_path / "overlays", "--format", "jsonl")
    (row,) = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0 and len(row["boxes"]) == len(collection["features"])
    assert names(tmp_path / "overlays") == ["a map.overlay.png"]
    drawn = (tmp_path / "overlays" / "a map.overlay.png").stat().st_mtime_ns
    again = lookwhere("detect", raster, *options, "--overlay", "--out", tmp_path / "overlays")
    assert again.code == 0 and again.out and "Wrote" not in again.err  # rows are of all pictures
    assert (tmp_path / "overlays" / "a map.overlay.png").stat().st_mtime_ns == drawn
