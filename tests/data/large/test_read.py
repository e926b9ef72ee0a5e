"""Slides and rasters with GeoJSON as labelled sets of windows."""

import pickle
from collections import Counter

import numpy as np
import pytest

from lookwhere_cli.data.checks import drop_unusable
from lookwhere_cli.data.large import read as large
from lookwhere_cli.data.large.cutting import WindowCutting
from lookwhere_cli.data.large.find import find_large, is_large_data
from lookwhere_cli.data.masks import load_mask
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.data.splits import split_examples
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.large.parts import parse_window
from tests.data.large.maps import box, feature, picture, point, polygon, write
from tests.large_sources import ArraySource


def read(folder, side=32, **options):
    cutting = {name: options.pop(name) for name in list(options) if name in WindowCutting.__dataclass_fields__}
    return read_examples(folder, windows=WindowCutting(side, **cutting), **options)


def windows(labelled):
    return {parse_window(one.path)[1:5]: one for one in labelled.examples}


@pytest.fixture
def two(tmp_path):
    """Two pictures of 128 x 96 with a box of 20 x 10 each, one of them across the edge of windows of 32 px."""
    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png", 96, 128)
    write(tmp_path / "a.geojson", feature(box(4, 4, 24, 14), "ship"))
    write(tmp_path / "b.geojson", feature(box(16, 40, 36, 50), "buoy"), feature(box(68, 40, 88, 50), "ship"))
    return tmp_path


def test_rectangles_become_boxes_of_windows(two):
    labelled = read(two, overlap=0.0, negatives=0.0)
    assert labelled.kind == "boxes"
    assert labelled.classes == ("buoy", "ship")
    found = windows(labelled)
    assert found.keys() == {(0, 0, 32, 32), (0, 32, 32, 32), (64, 32, 32, 32)}
    assert found[0, 0, 32, 32].objects.boxes.tolist() == [[4, 4, 24, 14]]
    assert found[0, 32, 32, 32].objects.boxes.tolist() == [[16, 8, 32, 18]]  # 80 % of it; the rest is left out
    assert found[0, 32, 32, 32].classes == (0,)
    assert any("1 part with less than 40% of a box" in note for note in labelled.notes)
    assert any("3 windows with labels, 0 without" in note for note in labelled.notes)
    assert any("Left out 1 window in which there is too little of a label" in note for note in labelled.notes)


def test_boxes_that_are_too_large_are_told(two):
    write(two / "a.geojson", feature(box(4, 4, 24, 14), "ship"), feature(box(0, 0, 90, 90), "ship"))
    assert any("1 of 4 boxes are not in any window" in note for note in read(two, overlap=0.0).notes)


def test_boxes_have_overlapping_windows_by_default(two):
    assert len(read(two, negatives=None).examples) > 24
    boxes = [one.objects.boxes for one in read(two, negatives=0.0).examples]
    assert any(((one[:, 2:] - one[:, :2]) == (20, 10)).all() for one in boxes)


@pytest.mark.parametrize(("rate", "count"), [(0.0, 0), (1.0, 3), (2.0, 6), (None, 20)])
def test_windows_without_labels_are_included_at_a_rate(two, rate, count):
    labelled = read(two, overlap=0.0, negatives=rate)
    empty = [one for one in labelled.examples if not len(one.objects.boxes)]
    assert len(empty) == count
    assert labelled == read(two, overlap=0.0, negatives=rate)
    assert set(empty) <= set(read(two, overlap=0.0, negatives=None).examples)


def test_blank_windows_are_no_examples(tmp_path, monkeypatch):
    pixels = np.full((64, 128, 3), 255, np.uint8)
    pixels[:, :64] = 90
    monkeypatch.setattr(large, "open_any", lambda path, reading: ArraySource(pixels, path))
    for name in ("a", "b"):
        (tmp_path / f"{name}.svs").touch()
        write(tmp_path / f"{name}.geojson", feature(box(4, 4, 20, 14), "ship"))
    assert all(left < 64 for left, *_ in windows(read(tmp_path, negatives=None)))


def test_windows_of_a_picture_stay_on_one_side_of_the_split(tmp_path):
    for number in range(6):
        picture(tmp_path / f"{number}.png", 96, 128)
        write(tmp_path / f"{number}.geojson", feature(box(4, 4, 24, 14), "ship"), feature(box(70, 50, 90, 60), "buoy"))
    split = split_examples(read(tmp_path), val_share=0.3)
    by_picture = {(parse_window(one.path).file, one.split) for one in split.examples}
    assert len(by_picture) == 6
    assert {one[1] for one in by_picture} == {"train", "val"}


def test_the_only_picture_is_divided_into_regions_that_share_no_pixels(tmp_path):
    picture(tmp_path / "a.png", 400, 400)
    spots = [(x, y) for x in range(10, 400, 40) for y in range(10, 400, 40)]
    huge = feature(box(0, 0, 390, 390), "ship")
    write(tmp_path / "a.geojson", huge, *(feature(box(x, y, x + 12, y + 8), "ship") for x, y in spots))
    labelled = read(tmp_path, overlap=0.0)
    assert any("is the only picture, so its 25 regions" in note for note in labelled.notes)
    assert any(note.startswith("1 of 101 boxes are not in any window") for note in labelled.notes)
    split = split_examples(labelled, val_share=0.2)
    covered = {"train": np.zeros((400, 400), np.bool_), "val": np.zeros((400, 400), np.bool_)}
    for (left, top, width, height), one in windows(split).items():
        covered[one.split][top : top + height, left : left + width] = True
    assert covered["train"].any()
    assert covered["val"].any()
    assert not (covered["train"] & covered["val"]).any()


def test_polygons_become_masks_drawn_when_they_are_read(two):
    write(two / "a.geojson", feature(polygon([(0, 0), (40, 0), (0, 40)]), "wood"), feature(box(2, 2, 6, 6), "lake"))
    write(two / "b.geojson", feature(box(0, 0, 8, 8), "Ignore*"), feature(polygon([(9, 9), (30, 9), (9, 30)]), "wood"))
    labelled = read(two, negatives=1.0)
    assert labelled.kind == "masks"
    assert labelled.classes == ("background", "lake", "wood")
    by_name = {(parse_window(one.path).file[-5:], *parse_window(one.path)[1:3]): one for one in labelled.examples}
    mask = load_mask(by_name["a.png", 0, 0].mask)
    assert mask.shape == (32, 32)
    assert mask[4, 4] == 1  # the smaller one lies above
    assert mask[10, 10] == 2
    assert mask[31, 31] == 0
    assert load_mask(by_name["b.png", 0, 0].mask)[3, 3] == 255
    assert drop_unusable(labelled)[1] == []
    again = pickle.loads(pickle.dumps(by_name["a.png", 0, 0]))
    assert again == by_name["a.png", 0, 0]
    assert np.array_equal(load_mask(again.mask), mask)


def test_what_has_no_label_can_be_ignored(two):
    write(two / "a.geojson", feature(polygon([(0, 0), (40, 0), (0, 40)]), "wood"))
    write(two / "b.geojson", feature(polygon([(0, 0), (40, 0), (0, 40)]), "lake"))
    labelled = read(two, unlabelled="ignore")
    assert labelled.classes == ("lake", "wood")
    masks = [load_mask(one.mask) for one in labelled.examples]
    assert {int(value) for mask in masks for value in np.unique(mask)} == {0, 1, 255}
    assert all((mask != 255).any() for mask in masks)


def test_points_are_labels_of_their_windows(two):
    dots = [feature(point(5, 5), "mitosis"), feature(point(6, 9), "mitosis"), feature(point(7, 7), "other")]
    write(two / "a.geojson", *dots, feature(point(40, 5), "other"))
    write(two / "b.geojson", feature(point(70, 70), "mitosis"))
    labelled = read(two)
    assert labelled.kind == "single"
    assert labelled.classes == ("background", "mitosis", "other")
    assert Counter(one.classes for one in labelled.examples) == {(0,): 3, (1,): 2, (2,): 1}
    assert windows(read(two, negatives=0.0))[0, 0, 32, 32].classes == (0,)
    assert read(two, negatives=0.0).classes == ("mitosis", "other")
    several = read(two, multi_label=True)
    assert several.kind == "multi"
    assert Counter(one.classes for one in several.examples) == {(): 3, (0,): 1, (1,): 1, (0, 1): 1}


def test_a_polygon_labels_the_windows_that_it_covers(two):
    write(two / "a.geojson", feature(polygon([(0, 0), (70, 0), (70, 32), (0, 32)]), "tumor"))
    write(two / "b.geojson", feature(box(0, 0, 32, 20), "stroma"), feature(box(0, 20, 32, 32), "tumor"))
    labelled = read(two, task="classify", negatives=0.0)
    assert labelled.classes == ("stroma", "tumor")
    assert [one.classes for one in labelled.examples] == [(1,), (1,), (0,)]
    assert [one.classes for one in read(two, task="classify", multi_label=True, negatives=0.0).examples] == [
        *((1,), (1,), (1,)),
        (0, 1),
    ]


def test_coordinates_of_a_map_are_degrees(tmp_path, monkeypatch):
    pixels = np.full((64, 64, 3), 90, np.uint8)
    monkeypatch.setattr(large, "open_any", lambda path, reading: ArraySource(pixels, path, step=0.01))
    for name in ("a", "b"):
        (tmp_path / f"{name}.tif").touch()
        ship = feature(box(10.04, 49.96, 10.2, 49.9), "ship")
        write(tmp_path / f"{name}.geojson", ship, feature(box(3, 3, 4, 4), "x"))
    labelled = read(tmp_path, negatives=0.0)
    assert np.allclose(windows(labelled)[0, 0, 32, 32].objects.boxes, [[4, 4, 20, 10]])
    assert labelled.classes == ("ship",)
    assert any("Feature 2 of" in note and "lies outside" in note for note in labelled.notes)
    write(tmp_path / "a.geojson", feature(box(500000, 4000000, 500100, 4000100), "ship"))
    with pytest.raises(DataError, match=r"Feature 1 of '.*a.geojson' has the coordinates 500000, 4e\+06, which"):
        read(tmp_path)


def test_degrees_are_no_pixels(two):
    degrees = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    write(two / "a.geojson", feature(box(10, 50, 30, 60), "ship"), crs=degrees)
    with pytest.raises(DataError, match=r"Feature 1 of '.*a.geojson' is in longitude and latitude, as its file says"):
        read(two)
    write(two / "a.geojson", feature(box(10.01, 50.01, 10.02, 50.02), "ship"))
    with pytest.raises(DataError, match="smaller than a pixel, as degrees are"):
        read(two)


def test_features_outside_are_named(two):
    write(two / "a.geojson", feature(box(4, 4, 24, 14), "ship"), feature(box(500, 4, 524, 14), "ship"))
    with pytest.raises(DataError, match=r"1 of 2 features lie outside '.*a.png'; .* full-resolution pixels") as failure:
        read(two)
    assert "Feature 2 of" in failure.value.details[0]
    assert "128 x 96 pixels: from 500, 4 to 524, 14" in failure.value.details[0]


@pytest.mark.parametrize(
    ("features", "options", "sentence"),
    [
        ([feature(point(4, 4)), feature(box(4, 4, 9, 9))], {}, "Feature 1 of .* is a point and Feature 2 of .* --task"),
        ([feature(point(4, 4))], {"task": "detect"}, "Feature 1 of .* is a point, which has no box"),
        ([], {}, "The labels of .* are empty"),
        ([feature(box(0, 0, 100, 90))], {}, "No window of 32 px of .* holds enough of a label"),
        ([feature(box(0, 0, 9, 9))], {"task": "classify"}, "No window of 32 px .* half covered"),
    ],
)
def test_labels_that_can_t_be_used(tmp_path, features, options, sentence):
    picture(tmp_path / "a.png", 96, 128)
    write(tmp_path / "a.geojson", *features)
    with pytest.raises(DataError, match=sentence):
        read(tmp_path, **options)


def test_boxes_of_ignored_places_are_crowds(two):
    write(two / "a.geojson", feature(box(4, 4, 24, 14), "ship"), feature(box(2, 20, 24, 25), "Ignore*"))
    (one,) = [one for one in read(two, negatives=0.0).examples if one.objects.crowd.any()]
    assert one.objects.crowd.tolist() == [False, True]
    assert one.classes == (1,)


def test_detecting_polygons_keeps_their_outlines(two):
    write(two / "a.geojson", feature(polygon([(2, 2), (22, 2), (2, 22)]), "ship"))
    objects = windows(read(two, task="detect", negatives=0.0))[0, 0, 32, 32].objects
    assert objects.boxes.tolist() == [[2, 2, 22, 22]]
    assert objects.outlines.shapes == ([[2, 2, 22, 2, 2, 22]],)


def test_where_labels_are_looked_for(tmp_path):
    picture(tmp_path / "a.png", 96, 128)
    write(tmp_path / "a.png.geojson", feature(box(4, 4, 24, 14), "ship"))
    for data in (tmp_path, tmp_path / "a.png", tmp_path / "a.png.geojson"):
        assert is_large_data(data)
        assert [one.path for one in find_large(data).pictures] == [str(tmp_path / "a.png")]
    write(tmp_path / "a.geojson", feature(box(4, 4, 24, 14), "ship"))
    with pytest.raises(DataError, match="has 2 files of labels"):
        find_large(tmp_path)
    (tmp_path / "table.csv").write_text("file,labels,split\na.png,a.geojson,train\n")
    assert find_large(tmp_path / "table.csv").pictures[0].split == "train"
    (tmp_path / "other.csv").write_text("file,labels\na.png,cat\n")
    assert not is_large_data(tmp_path / "other.csv")


def test_what_has_no_partner_is_told(two):
    picture(two / "c.png", 9, 9)
    write(two / "d.geojson")
    notes = find_large(two).notes
    assert any("without a GeoJSON" in note and "c.png" in note for note in notes)
    assert any("without a picture" in note and "d.geojson" in note for note in notes)


def test_folders_and_groups_are_kept(tmp_path):
    for name in ("train/a_1", "train/a_2", "val/b_1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(tmp_path / f"{name}.png", 96, 128)
        write(tmp_path / f"{name}.geojson", feature(box(4, 4, 24, 14), "ship"))
    labelled = read(tmp_path, group="^[^_]+")
    assert {(one.split, one.group) for one in labelled.examples} == {("train", "a"), ("val", "b")}
    with pytest.raises(UsageError, match="does not occur in the file name"):
        read(tmp_path, group="x+")


def test_a_map_of_labels_and_a_list_of_classes_apply(two):
    (two / "map.csv").write_text("value,name\nship,thing\nbuoy,thing\n")
    assert read(two, label_map=two / "map.csv").classes == ("thing",)
    (two / "names.txt").write_text("ship\n")
    with pytest.raises(DataError, match=r"Feature 1 of '.*b.geojson' has the class 'buoy', which is not in the class"):
        read(two, classes=two / "names.txt")


def test_a_picture_that_can_t_be_read_is_named(two):
    (two / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="1 of 2 pictures can't be read, more than a tenth"):
        read(two)


def test_other_data_have_no_windows(tmp_path):
    (tmp_path / "cat").mkdir()
    picture(tmp_path / "cat" / "1.png", 9, 9)
    with pytest.raises(UsageError, match="has no slides or rasters with a GeoJSON"):
        read(tmp_path)
    write(tmp_path / "cat" / "1.geojson", feature(point(1, 1)))
    with pytest.raises(UsageError, match="lookwhere train and evaluate cut into windows"):
        read_examples(tmp_path)
