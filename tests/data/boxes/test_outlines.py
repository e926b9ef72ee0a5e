"""Outlines of objects: polygons and run lengths, in pixels of the picture as displayed."""

from __future__ import annotations

import numpy as np
import pytest

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError
from lookwhere_cli.metrics.boxes import true_masks
from lookwhere_cli.output.masks.run_lengths import decode, encode_part
from tests.data.boxes.sets import pictures, write
from tests.data.boxes.test_coco import annotation, coco

SIZE = (80, 100)
DISC = np.hypot(*(np.indices((20, 20)) - 9.5)) < 9


def read(tmp_path, *outlines):
    pictures(tmp_path, "a.png")
    entries = [annotation(id=place, bbox=[10, 10, 20, 20], segmentation=one) for place, one in enumerate(outlines, 1)]
    labelled = read_examples(write(tmp_path / "x.json", coco(annotations=entries)))
    return labelled.examples[0].objects


def test_polygons_and_run_lengths_of_coco(tmp_path):
    lengths = encode_part(DISC, 10, 10, SIZE)
    square = [[10, 10, 30, 10, 30, 30, 10, 30]]
    objects = read(tmp_path, square, lengths, [])
    assert objects.outlines.size == SIZE
    assert objects.outlines.shapes == (square, lengths, None)
    first, second, third = (decode(mask) for mask in true_masks(objects, SIZE))
    assert first.sum() == third.sum() == 400 and second.sum() == DISC.sum()


def test_without_outlines_there_are_none(tmp_path):
    assert read(tmp_path, [], None).outlines is None


def test_outlines_of_boxes_that_are_left_out_go_with_them(tmp_path):
    pictures(tmp_path, "a.png")
    square = [[10, 10, 30, 10, 30, 30, 10, 30]]
    entries = [annotation(id=one, bbox=[10, 10, 20, 20], segmentation=square) for one in range(1, 20)]
    entries[3] |= {"bbox": [200, 10, 20, 20], "segmentation": [[200, 10, 220, 10, 220, 30]]}
    labelled = read_examples(write(tmp_path / "x.json", coco(annotations=entries)))
    objects = labelled.examples[0].objects
    assert len(objects.boxes) == 18 and objects.outlines.shapes == (square,) * 18


def test_yolos_polygons_are_in_pixels(tmp_path):
    pictures(tmp_path, "images/a.png")
    write(tmp_path / "labels/a.txt", "0 0.1 0.1 0.3 0.1 0.2 0.5\n")
    write(tmp_path / "classes.txt", "ship\n")
    (shape,) = read_examples(tmp_path).examples[0].objects.outlines.shapes
    assert shape == [pytest.approx([10, 8, 30, 8, 20, 40])]


@pytest.mark.parametrize(
    ("outline", "sentence"),
    [
        ({"size": [10, 10], "counts": "x"}, r"Annotation 1 .* has run lengths of the size \[10, 10\], but .* 80 x 100"),
        ([[1, 2, 3, 4]], r"Annotation 1 .* has an outline that is neither"),
        ([[1, 2, 3, 4, 5, "x"]], r"Annotation 1 .* has segmentation 'x', which is not a number"),
        ([[1, 2, 3, 4, 5, float("inf")]], r"Annotation 1 .* has an outline that is not finite"),
    ],
)
def test_outlines_that_can_not_be_used(tmp_path, outline, sentence):
    with pytest.raises(DataError, match=sentence):
        read(tmp_path, outline)
