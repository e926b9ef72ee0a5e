"""Masks in formats that change class indices are refused; the same masks in others are read."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.data.masks import load_mask
from lookwhere_cli.errors import DataError, PictureError
from tests.real_world.test_damaged_extras import chunk

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


def grey_png(path, bits):
    """Write the mask as a grey PNG of 2 or 4 bits, which Pillow does not write so."""
    rows = np.unpackbits(MASK[..., None], axis=-1)[..., -bits:].reshape(len(MASK), -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", MASK.shape[1], MASK.shape[0], bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, *zip(*parts, strict=True))))


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_is_not_spread(tmp_path, bits):
    grey_png(tmp_path / "mask.png", bits)
    np.testing.assert_array_equal(load_mask(str(tmp_path / "mask.png")), MASK)


@pytest.mark.parametrize("maximum", [2, 15, 255, 1000])
def test_a_pgm_keeps_its_values_whatever_its_maximum(tmp_path, maximum):
    values = MASK.astype(">u2" if maximum > 255 else np.uint8).tobytes()
    (tmp_path / "mask.pgm").write_bytes(b"P5\n96 64\n%d\n" % maximum + values)
    np.testing.assert_array_equal(load_mask(str(tmp_path / "mask.pgm")), MASK)


def test_a_mask_with_much_text_or_a_bad_checksum_is_read(tmp_path):
    path = tmp_path / "mask.png"
    Image.fromarray(MASK).save(path)
    content = path.read_bytes()
    for extra in (chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (2 << 20))), chunk(b"tIME", b"1234567", 1)):
        path.write_bytes(content[:33] + extra + content[33:])
        np.testing.assert_array_equal(load_mask(str(path)), MASK)


def test_a_pointer_in_the_place_of_a_mask_is_named(tmp_path):
    path = tmp_path / "mask.png"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n")
    with pytest.raises(PictureError, match=r"The mask .*mask.png' is a Git LFS pointer.*git lfs pull"):
        load_mask(str(path))
