import io
import json
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest
from hypothesis import given, settings
from pycocotools.coco import COCO

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.masks.coco import Annotations, CocoWriter, read_annotations
from tests.output.masks import ANY_MASK, LABELS, large, row_of

# raised by pycocotools itself
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def written(file, masks, existing=None):
    with file.open("wb") as stream:
        writer = CocoWriter(stream, LABELS, existing or Annotations())
        for name, classes in masks.items():
            writer.write(name, row_of(classes), classes)
        writer.close()


def read(file):
    """Return the masks by name, as pycocotools reads them; each pixel must belong to exactly one annotation."""
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
    masks = {}
    for image in coco.loadImgs(coco.getImgIds()):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        layers = np.stack([coco.annToMask(one) * one["category_id"] for one in annotations])
        assert np.array_equal((layers > 0).sum(axis=0), np.ones((image["height"], image["width"])))
        masks[image["file_name"]] = layers.sum(axis=0) - 1
    return masks


@settings(deadline=None)  # the first one loads libraries
@given(ANY_MASK)
def test_pycocotools_reads_the_same_mask(tmp_path_factory, classes):
    file = tmp_path_factory.getbasetemp() / "one.json"
    written(file, {"a.jpg": classes})
    assert np.array_equal(read(file)["a.jpg"], classes)


def test_ids_areas_and_boxes_follow_the_coco_format(tmp_path):
    classes = large()
    written(tmp_path / "a.json", {"drive/caf\udce9.jpg": classes, "b.jpg": classes[:1, :1]})
    content = json.loads((tmp_path / "a.json").read_bytes())
    assert content["categories"] == [{"id": index + 1, "name": label} for index, label in enumerate(LABELS)]
    assert content["images"][0] == {"id": 1, "file_name": r"drive/caf\udce9.jpg", "width": 120, "height": 90}
    assert [one["id"] for one in content["annotations"]] == [1, 2, 3, 4, 5]
    first = content["annotations"][0]
    rows, columns = np.nonzero(classes == 0)
    assert first["area"] == len(rows) and first["iscrowd"] == 0
    assert first["bbox"] == [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]


def test_a_file_without_pictures_is_valid(tmp_path):
    written(tmp_path / "none.json", {})
    assert read(tmp_path / "none.json") == {}


def test_annotations_of_an_earlier_run_stay_with_new_ids(tmp_path):
    first, both = tmp_path / "first.json", tmp_path / "both.json"
    assert read_annotations(first, LABELS) == Annotations()
    written(first, {"a.jpg": large(), "b.jpg": large(20, 30)})
    existing = read_annotations(first, LABELS)
    assert existing.names == {"a.jpg", "b.jpg"}
    written(both, {"c.jpg": large(30, 20)}, existing.without({"a.jpg"}))
    masks = read(both)
    assert list(masks) == ["b.jpg", "c.jpg"]
    assert np.array_equal(masks["b.jpg"], large(20, 30)) and np.array_equal(masks["c.jpg"], large(30, 20))
    numbers = [one["id"] for one in json.loads(both.read_bytes())["annotations"]]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"images": 1, "annotations": [], "categories": []}', '{"images": [{}]}']
)
def test_other_files_and_other_classes_are_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UsageError, match="does not hold annotations of this model's classes"):
        read_annotations(tmp_path / "a.json", LABELS)
    written(tmp_path / "b.json", {})
    with pytest.raises(UsageError, match="does not hold annotations"):
        read_annotations(tmp_path / "b.json", ("other", "classes"))


def test_without_pycocotools_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(UsageError, match=r"pip install 'lookwhere\[segment\]'"):
        CocoWriter(io.BytesIO(), LABELS, Annotations())
