"""GeoJSON of windows of real files lies where rasterio says that the windows are."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform
from shapely.geometry import shape

from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.loading import load
from lookwhere_cli.output.geo.writers import WindowGeoJsonWriter
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.placing import area_of, placement_of
from lookwhere_cli.windows.plan import plan_windows
from lookwhere_cli.windows.run import answer_windows

SHARED = os.environ.get("LOOKWHERE_SHARED")
pytestmark = pytest.mark.skipif(not SHARED, reason="LOOKWHERE_SHARED is not set")


def windows_of(name, folder, side):
    predictor = load(str(folder), k=4)
    source = open_large(str(Path(SHARED, "data", "large", name)), predictor.pipeline.reader.reading)
    plan, stream = plan_windows(predictor, source, WindowOptions(side, size=24)), io.BytesIO()
    writer = WindowGeoJsonWriter(stream)
    for answered in answer_windows(predictor, source, plan):
        writer.write(answered.row, placement_of(source))
    writer.close()
    return source, json.loads(stream.getvalue())


def test_windows_of_a_utm_raster_lie_where_rasterio_s_transform_says(model_folder):
    source, collection = windows_of("utm_rgb.tif", model_folder, 128)
    with rasterio.open(source.path) as read:
        affine, crs, bounds = read.transform, read.crs, read.bounds
    assert len(collection["features"]) > 20
    for feature in collection["features"]:
        left, top, right, bottom = feature["properties"]["window"]
        corners = [affine @ corner for corner in ((left, top), (right, top), (right, bottom), (left, bottom))]
        expected = np.column_stack(transform(crs, "EPSG:4326", *zip(*corners, strict=True)))
        ring = np.array(feature["geometry"]["coordinates"][0])
        off = np.abs(ring[:, None] - expected[None]).max(axis=2).min(axis=0)
        assert off.max() < 1e-7 and shape(feature["geometry"]).is_valid
    area, unit = area_of(source, (0, 0, source.size[1], source.size[0]))
    projected = (bounds.right - bounds.left) * (bounds.top - bounds.bottom)
    assert unit == "m²" and area == pytest.approx(projected, rel=0.01)


def test_windows_of_a_slide_lie_on_its_tissue(model_folder):
    source, collection = windows_of("cmu_small_region.svs", model_folder, 224)
    assert 40 < len(collection["features"]) < 120 and collection["pictures"][0]["coordinates"] == "pixels"
    for feature in collection["features"]:
        box = shape(feature["geometry"]).bounds
        assert list(box) == feature["properties"]["window"]
        pixels = source.read(box, 56, 56).astype(int)
        assert (pixels.min(axis=2) < 215).mean() > 0.002  # it is not only glass
