"""The boxes that were found in a picture."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lookwhere_cli.detections import Detections
from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.masks.run_lengths import encode_part

LABELS = ("ship", "buoy")


def found(scores=(0.9, 0.5, 0.25)):
    boxes = np.arange(4 * len(scores), dtype=np.float32).reshape(-1, 4)
    return Detections(boxes, np.array(scores, np.float32), np.array([1, 0, 1], np.int64)[: len(scores)], LABELS)


def test_iterating_gives_what_a_row_holds():
    first = next(iter(found()))
    assert (first.label, first.index, first.box) == ("buoy", 1, (0.0, 1.0, 2.0, 3.0))
    assert first.to_dict()["score"] == 0.9
    assert len(found()) == len(list(found())) == 3


def test_best_first_sorts_and_keeps_the_order_of_equals():
    boxes = np.arange(16, dtype=np.float32).reshape(4, 4)
    scores = np.array([0.2, 0.7, 0.2, 0.9], np.float32)
    ordered = Detections.best_first(boxes, scores, np.zeros(4, np.int64), LABELS)
    assert ordered.boxes[:, 0].tolist() == [12, 4, 0, 8]


@pytest.mark.parametrize("which", [np.array([0, 2]), np.array([True, False, True]), slice(0, None, 2)])
def test_select_keeps_all_arrays_together(which):
    chosen = found().select(which)
    assert chosen.boxes[:, 0].tolist() == [0, 8]
    assert chosen.classes.tolist() == [1, 1]
    assert chosen.scores.tolist() == [np.float32(0.9), 0.25]


def test_masks_go_with_their_boxes(monkeypatch):
    masks = tuple(encode_part(np.ones((1, place + 1), np.bool_), 0, 0, (4, 5)) for place in range(3))
    with_masks = replace(found(), masks=masks)
    assert [one.mask for one in with_masks.select(np.array([False, True, True]))] == list(masks[1:])
    assert "mask" in next(iter(with_masks)).to_dict() and "mask" not in next(iter(found())).to_dict()
    with pytest.raises(ValueError, match="2 masks of 3 boxes"):
        replace(found(), masks=masks[:2])
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=lambda **arrays: arrays))
    assert with_masks.to_supervision()["mask"].sum(axis=(1, 2)).tolist() == [1, 2, 3]


def test_none_is_empty():
    assert len(Detections.none(LABELS)) == 0
    assert list(Detections.none(LABELS)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scores": np.zeros(2, np.float32)}, r"\(3, 4\), \(2,\) and \(3,\)"),
        ({"scores": np.array([0.1, 0.2, 0.3], np.float32)}, "must not rise"),
        ({"classes": np.array([0, 1, 2])}, "indices of the 2 labels"),
        ({"classes": np.array([0, 1, -1])}, "indices of the 2 labels"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, sentence):
    arrays = {name: getattr(found(), name) for name in ("boxes", "scores", "classes", "labels")}
    with pytest.raises(ValueError, match=sentence):
        Detections(**arrays | change)


def test_supervision_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match="pip install supervision"):
        found().to_supervision()


def test_supervision_gets_arrays_and_names(monkeypatch):
    """With a stand-in that has the constructor of the package."""

    def detections(xyxy, mask=None, confidence=None, class_id=None, tracker_id=None, data=None, metadata=None):
        return SimpleNamespace(xyxy=xyxy, mask=mask, confidence=confidence, class_id=class_id, data=data)

    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=detections))
    converted = found().to_supervision()
    assert converted.xyxy.tolist() == found().boxes.tolist()
    assert converted.class_id.tolist() == [1, 0, 1]
    assert converted.mask is None
    assert converted.data["class_name"].tolist() == ["buoy", "ship", "buoy"]
