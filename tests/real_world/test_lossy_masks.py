"""Masks in formats that change class indices are refused; the same masks in others are read."""

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.data.masks import load_mask
from lookwhere_cli.errors import DataError

MASK = np.zeros((64, 96), np.uint8)
MASK[10:40, 5:50], MASK[40:60, 30:90] = 1, 2
LOSSY = {
    "jpg": ("JPEG", {"quality": 100, "subsampling": 0}),
    "webp": ("lossy WebP", {"quality": 100}),
    "tif": ("JPEG", {"compression": "jpeg"}),
    "jp2": ("lossy JPEG 2000", {"irreversible": True}),
    "avif": ("AVIF", {"quality": 100}),
}
LOSSLESS = {
    "png": {},
    "bmp": {},
    "gif": {},
    "tif": {"compression": "tiff_lzw"},
    "jp2": {"irreversible": False},
    "pgm": {},
}


@pytest.mark.parametrize("ending", LOSSY)
@pytest.mark.parametrize("name", ["mask.{}", "mask.png"])
def test_lossy_masks_are_refused_whatever_they_are_called(tmp_path, ending, name):
    if ending == "avif" and not Image.registered_extensions().get(".avif"):
        pytest.skip("Pillow has no AVIF")
    said, options = LOSSY[ending]
    path = tmp_path / name.format(ending)
    Image.fromarray(MASK).save(path, Image.registered_extensions()[f".{ending}"], **options)
    with pytest.raises(DataError) as caught:
        load_mask(str(path))
    assert str(caught.value).startswith(f"The mask {str(path)!r} is saved as {said}, which changes class indices; save")


def test_a_lossy_webp_of_several_frames_or_with_metadata_is_refused(tmp_path):
    picture = Image.fromarray(MASK)
    for options in (
        {"save_all": True, "append_images": [picture.rotate(180)]},
        {"xmp": b"x" * 9},
        {"icc_profile": b"x"},
    ):
        picture.save(tmp_path / "a.webp", **options)
        with pytest.raises(DataError, match="is saved as lossy WebP"):
            load_mask(str(tmp_path / "a.webp"))


@pytest.mark.parametrize("ending", LOSSLESS)
def test_lossless_masks_are_read(tmp_path, ending):
    Image.fromarray(MASK).save(tmp_path / f"a.{ending}", **LOSSLESS[ending])
    if ending == "gif":  # whose palette Pillow sorts; the indices are those of the palette
        assert len(np.unique(load_mask(str(tmp_path / "a.gif")))) == 3
    else:
        np.testing.assert_array_equal(load_mask(str(tmp_path / f"a.{ending}")), MASK)


def test_a_lossless_webp_is_refused_for_its_colours_only(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "a.webp", lossless=True)
    with pytest.raises(DataError, match=r"holds colours \(RGB\), not class indices"):
        load_mask(str(tmp_path / "a.webp"))


def test_training_on_jpeg_masks_stops_at_once(tmp_path, lookwhere):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(6):
        Image.new("RGB", (96, 64), (40 * number, 9, 9)).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(MASK).save(tmp_path / "masks" / f"{number}.jpg")
    (tmp_path / "classes.txt").write_text("ground\nroad\ncar\n" + "".join(f"other {i}\n" for i in range(20)))
    ran = lookwhere("train", tmp_path, "--out", tmp_path / "model", "--device", "cpu")
    assert ran.code == 1
    assert "is saved as JPEG, which changes class indices" in " ".join(ran.err.split())
    assert not (tmp_path / "model" / "model.safetensors").exists()
