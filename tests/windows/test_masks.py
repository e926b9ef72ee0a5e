import io
import json

import numpy as np
import pytest
from shapely.geometry import shape

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.heads.missing import UNKNOWN_NODATA
from lookwhere_cli.images.large.base import Spacing
from lookwhere_cli.loading import load
from lookwhere_cli.output.geo.writers import MaskGeoJsonWriter
from lookwhere_cli.segmenter import Segmenter
from lookwhere_cli.windows.kept import KeptArrays
from lookwhere_cli.windows.mask_overview import MaskOverview
from lookwhere_cli.windows.masks import MaskGrid, WholeMask, mask_parts
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.placing import placement_of
from lookwhere_cli.windows.plan import plan_windows
from tests.large_sources import ArraySource


@pytest.fixture(scope="module")
def segmenter(segmenting_folder):
    return Segmenter(load(str(segmenting_folder), k="all"))


def noise(height, width):
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)


def mask_of(segmenter, source, options):
    """The mask, with 255 where nothing was read; the parts; the row of the whole."""
    predictor = segmenter.predictor
    plan = plan_windows(predictor, source, options)
    whole, grid = WholeMask(source, plan, segmenter.labels), MaskGrid.of(plan)
    mask, parts = np.full(grid.size, 255, np.uint8), []
    for answered, part in mask_parts(predictor, source, plan):
        whole.add(answered, part)
        parts.append(part)
        if part.classes is not None:
            left, top = part.corner
            target = mask[top : top + part.classes.shape[0], left : left + part.classes.shape[1]]
            assert (target == 255).all()  # no pixel is decided twice
            target[:] = part.classes
    return mask, parts, whole.finish()


@pytest.mark.parametrize("overlap", [None, 0.25])
def test_each_pixel_has_the_class_of_the_window_whose_middle_is_nearest(segmenter, overlap):
    pixels = noise(60, 100)
    mask, parts, row = mask_of(segmenter, ArraySource(pixels), WindowOptions(24, overlap=overlap))
    assert mask.shape == (60, 100) and (mask != 255).all()
    for part in parts:
        left, top, right, bottom = part.row.window
        alone = next(segmenter.segment(pixels[top:bottom, left:right])).classes
        x, y = part.corner
        expected = alone[y - top :, x - left :][: part.classes.shape[0], : part.classes.shape[1]]
        assert np.array_equal(part.classes, expected)
    counts = np.bincount(mask.ravel(), minlength=len(segmenter.labels))
    assert {share.index: share.share for share in row.shares} == pytest.approx(
        {index: count / mask.size for index, count in enumerate(counts) if count}
    )
    assert row.shares[0].area is None and "area" not in row.to_dict()["shares"][0]


def test_blank_windows_stay_without_a_class(segmenter):
    pixels = noise(24, 120)
    pixels[:, 20:100] = 255
    mask, _, row = mask_of(segmenter, ArraySource(pixels), WindowOptions(24))
    assert (mask[:, 48:72] == 255).all() and (mask[:, :24] != 255).all()
    assert row.windows.blank >= 1 and (mask == 255).sum() == row.windows.blank * 24 * 24
    assert sum(share.share for share in row.shares) == pytest.approx(1)


def test_with_mpp_a_mask_has_the_resolution_of_its_windows_and_areas(segmenter):
    source = ArraySource(noise(96, 144), spacing=Spacing(0.5, 0.5, "µm"))
    mask, parts, row = mask_of(segmenter, source, WindowOptions(24, mpp=1))
    assert mask.shape == (48, 72) and (mask != 255).all() and len(parts) == 6
    assert {share.unit for share in row.shares} == {"µm²"}
    assert sum(share.area for share in row.shares) == pytest.approx(48 * 72)
    assert sum(share.area for part in parts for share in part.row.shares) == pytest.approx(48 * 72)


def test_a_window_that_can_t_be_read_has_no_class(segmenter):
    class Torn(ArraySource):
        def read(self, box, height, width):
            if box[0] >= 24:
                raise OSError("torn")
            return super().read(box, height, width)

    mask, parts, row = mask_of(segmenter, Torn(noise(24, 48)), WindowOptions(24))
    assert parts[1].classes is None and "torn" in parts[1].row.error
    assert (mask[:, 24:] == 255).all() and (mask[:, :24] != 255).all() and row.windows.failed == 1


def test_polygons_cover_what_was_read(segmenter):
    source, stream = ArraySource(noise(48, 40), step=0.001), io.BytesIO()
    plan = plan_windows(segmenter.predictor, source, WindowOptions(24))
    writer = MaskGeoJsonWriter(stream)
    for _, part in mask_parts(segmenter.predictor, source, plan):
        writer.write(part.row, part.classes, part.box, placement_of(source))
    writer.close()
    collection = json.loads(stream.getvalue())
    shapes = [shape(feature["geometry"]) for feature in collection["features"]]
    assert sum(one.area for one in shapes) == pytest.approx(48 * 40 * 1e-6, rel=1e-4)
    assert collection["bbox"] == pytest.approx([10, 50 - 0.048, 10.04, 50], abs=1e-7)
    first = collection["features"][0]["properties"]
    assert first["unit"] == "m²" and first["classification"]["name"] == first["label"] and first["path"] == "made.svs"


def test_a_stopped_run_goes_on_where_it_was(segmenter, tmp_path):
    pixels, options = noise(48, 72), WindowOptions(24)
    expected, _, row = mask_of(segmenter, ArraySource(pixels), options)
    source = ArraySource(pixels)
    plan = plan_windows(segmenter.predictor, source, options)
    kept = KeptArrays(tmp_path / "a.windows", "key")
    kept.begin(plan)
    parts = mask_parts(segmenter.predictor, source, plan, kept)
    first = [next(parts)[1] for _ in range(2)]
    parts.close()
    kept.close()

    source, kept = ArraySource(pixels), KeptArrays(tmp_path / "a.windows", "key")
    assert kept.plan(plan) is not None
    whole, mask = WholeMask(source, plan, segmenter.labels), np.full(expected.shape, 255, np.uint8)
    for answered, part in mask_parts(segmenter.predictor, source, plan, kept):
        whole.add(answered, part)
        left, top = part.corner
        mask[top : top + 24, left : left + 24] = part.classes
    assert np.array_equal(mask, expected) and len(first) == 2
    read = {box for box in source.reads if box[2] - box[0] == 24}
    assert len(read) == 4 and (0, 0, 24, 24) not in read
    assert whole.finish().shares == row.shares and whole.finish().k == row.k


def test_the_overview_has_the_classes_of_the_mask(segmenter):
    source = ArraySource(noise(48, 72))
    mask, parts, _ = mask_of(segmenter, source, WindowOptions(24))
    overview = MaskOverview(source.size, (16, 24))
    for part in parts:
        overview.add(part)
    assert np.array_equal(overview.classes, mask[1::3, 1::3])


def test_windows_in_python_are_the_parts_of_the_mask(segmenter):
    pixels, options = noise(60, 100), WindowOptions(24, overlap=0.25)
    expected, parts, row = mask_of(segmenter, ArraySource(pixels), options)
    *windows, whole = segmenter.windows(pixels, window=24, overlap=0.25)
    mask = np.full(whole.size, 255, np.uint8)
    for one in windows:
        left, top, right, bottom = one.place
        mask[top:bottom, left:right] = one.classes
    assert np.array_equal(mask, expected) and len(windows) == len(parts)
    assert [one.row.window for one in windows] == [part.row.window for part in parts]
    assert whole.row.shares == row.shares and whole.classes is None and whole.row.windows.read == len(parts)


def test_impossible_options_in_python_are_told_at_once(segmenter):
    with pytest.raises(UsageError, match="window is 0"):
        segmenter.windows(noise(24, 24), window=0)


class Raster(ArraySource):
    """A source whose background is what has no data."""

    may_lack_data = True


def test_pixels_without_data_of_one_picture_have_no_class_and_no_share(segmenter):
    pixels = noise(48, 72)
    pixels[:, 30:50] = 255
    (found,) = segmenter.segment(Raster(pixels))
    columns = np.arange(found.classes.shape[1]) * 72 / found.classes.shape[1]
    assert (found.classes[:, (columns > 33) & (columns < 46)] == 255).all()
    assert (found.classes[:, (columns < 27) | (columns > 52)] < 3).all()
    known = found.classes[found.classes < 255]
    assert {share.index: share.share for share in found.row.shares} == {
        index: pytest.approx((known == index).mean()) for index in np.unique(known)
    }


def test_it_is_said_where_pixels_without_data_may_have_a_class(segmenter):
    class Damaged(Raster):
        def content(self, box, height, width):
            raise PictureError("a tile is damaged")

    (found,) = segmenter.segment(Damaged(noise(48, 72)))
    assert found.row.note.endswith(UNKNOWN_NODATA) and (found.classes < 3).all()
    windows = list(segmenter.windows(Damaged(noise(48, 72)), window=24))
    assert all(part.row.note.endswith(UNKNOWN_NODATA) for part in windows[:-1])


@pytest.mark.parametrize("mpp", [None, 1.0])
def test_pixels_without_data_have_no_class_and_no_share(segmenter, mpp):
    pixels = noise(48, 72)
    pixels[:, 30:50] = 255
    source = Raster(pixels, spacing=Spacing(0.5, 0.5, "µm"))
    mask, parts, row = mask_of(segmenter, source, WindowOptions(24, mpp=mpp))
    scale = 2 if mpp else 1
    empty = (pixels == 255).all(axis=2)[::scale, ::scale]
    assert np.array_equal(mask == 255, empty) and sum(share.share for share in row.shares) == pytest.approx(1)
    assert sum(share.area for share in row.shares) == pytest.approx(48 * 52 * 0.25)
    overview, stream = MaskOverview(source.size, mask.shape), io.BytesIO()
    writer = MaskGeoJsonWriter(stream)
    for part in parts:
        overview.add(part)
        writer.write(part.row, part.classes, part.box, placement_of(source))
    writer.close()
    assert np.array_equal(overview.classes, mask)
    shapes = [shape(feature["geometry"]) for feature in json.loads(stream.getvalue())["features"]]
    assert sum(one.area for one in shapes) == pytest.approx(48 * 52)
