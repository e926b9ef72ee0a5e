import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.masks.index_png import write_png
from lookwhere_cli.output.masks.labelmap import HEADER, NAME, labelmap, write_labelmap
from tests.output.masks import ANY_MASK, LABELS, large

PALETTE = np.array([(1, 2, 3), (0, 158, 115), (255, 255, 255), (7, 7, 7)], np.uint8)


@settings(deadline=None)  # the first one loads libraries
@given(ANY_MASK)
def test_each_pixel_is_its_class_index_and_the_palette_holds_its_colour(tmp_path_factory, classes):
    file = tmp_path_factory.getbasetemp() / "mask.png"
    write_png(file, classes, PALETTE)
    with Image.open(file) as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), classes)
        assert np.array_equal(np.asarray(picture.convert("RGB")), PALETTE[classes])


def test_up_to_255_classes_have_one_byte_per_pixel(tmp_path):
    classes = np.arange(255, dtype=np.uint8).reshape(15, 17)
    write_png(tmp_path / "many.png", classes, np.zeros((255, 3), np.uint8))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "many.png")), classes)
    write_png(tmp_path / "few.png", large(), PALETTE)
    assert (tmp_path / "few.png").read_bytes()[24:26] == bytes((8, 3)), "8 bits per pixel, colour type with a palette"


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="can't be written"):
        write_png(tmp_path / "nowhere" / "a.png", large(), PALETTE)


def test_the_labelmap_has_a_line_per_class_in_order(tmp_path):
    text = labelmap(LABELS, PALETTE)
    assert text.splitlines() == [
        *(HEADER, "sky:1,2,3::", "road:0,158,115::", "traffic sign:255,255,255::", "car:7,7,7::")
    ]
    write_labelmap(tmp_path, text, overwrite=False)
    write_labelmap(tmp_path, text, overwrite=False)
    assert (tmp_path / NAME).read_text() == text


def test_a_labelmap_of_other_classes_is_only_replaced_with_overwrite(tmp_path):
    (tmp_path / NAME).write_text("mine")
    with pytest.raises(UsageError, match=r"names other classes than this model's.*--overwrite"):
        write_labelmap(tmp_path, "new", overwrite=False)
    assert (tmp_path / NAME).read_text() == "mine"
    write_labelmap(tmp_path, "new", overwrite=True)
    assert (tmp_path / NAME).read_text() == "new"
