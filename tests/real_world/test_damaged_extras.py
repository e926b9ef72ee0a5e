"""A picture whose pixels are whole is read, whatever else in its file is too large or damaged; its row says so."""

import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.peek import peek
from tests.images.pictures import noise, profile, smooth

HEIGHT, WIDTH = 64, 96
RGB = smooth(HEIGHT, WIDTH)
SIGNATURE_AND_HEADER = 33
LARGE = b"x" * (2 << 20)


def chunk(name, data, checksum=None):
    right = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", right if checksum is None else right ^ 1)


def png(tmp_path, extra=b"", late=b""):
    path = tmp_path / "a.png"
    Image.fromarray(RGB).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:SIGNATURE_AND_HEADER] + extra + content[SIGNATURE_AND_HEADER:-12] + late + content[-12:])
    return path


def read(path, **options):
    decoded = decode_file(path, Reading(16, 1600, **options))
    return decoded.pixels.astype(int), decoded.notes


TEXTS = {
    "zTXt": chunk(b"zTXt", b"prompt\0\0" + zlib.compress(LARGE)),
    "iTXt": chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(LARGE)),
    "iTXt with a language": chunk(b"iTXt", b"workflow\0\1\0en\0flow\0" + zlib.compress(LARGE)),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_png_with_much_text_is_read_without_it(tmp_path, text):
    pixels, notes = read(png(tmp_path, TEXTS[text]))
    np.testing.assert_array_equal(pixels, RGB)
    assert notes == ("text of over 1 MB left out",)
    assert peek(png(tmp_path, TEXTS[text])).size == (HEIGHT, WIDTH)


@pytest.mark.parametrize("text", TEXTS)
def test_text_after_the_pixels_and_without_compression_does_not_matter(tmp_path, text):
    np.testing.assert_array_equal(read(png(tmp_path, late=TEXTS[text]))[0], RGB)
    for plain in (chunk(b"tEXt", b"prompt\0" + LARGE), chunk(b"iTXt", b"prompt\0\0\0\0\0" + LARGE)):
        pixels, notes = read(png(tmp_path, plain))
        np.testing.assert_array_equal(pixels, RGB)
        assert notes == ()


def test_many_texts_are_left_out_together(tmp_path):
    np.testing.assert_array_equal(read(png(tmp_path, TEXTS["zTXt"] * 40))[0], RGB)


def test_a_large_profile_is_applied(tmp_path):
    padded = profile(swap=True) + os.urandom(1 << 20) * 2
    padded = struct.pack(">I", len(padded)) + padded[4:]
    extra = chunk(b"iCCP", b"wide\0\0" + zlib.compress(padded))
    pixels, notes = read(png(tmp_path, extra))
    assert notes == ("colour profile of over 1 MB",)
    small = read(png(tmp_path, chunk(b"iCCP", b"wide\0\0" + zlib.compress(profile(swap=True)))))[0]
    np.testing.assert_array_equal(pixels, small)
    assert np.abs(pixels - RGB).mean() > 10


@pytest.mark.parametrize("name", [b"tIME", b"pHYs", b"iCCP", b"gAMA", b"zTXt", b"eXIf", b"prVt"])
def test_a_bad_checksum_beside_the_pixels_is_noted(tmp_path, name):
    data = {b"tIME": b"\x07\xe9\1\1\1\1\1", b"pHYs": bytes(9), b"gAMA": struct.pack(">I", 45455)}.get(
        name, b"x\0\0" + zlib.compress(b"text")
    )
    pixels, notes = read(png(tmp_path, chunk(name, data, "wrong")))
    np.testing.assert_array_equal(pixels, RGB)
    assert notes in ((f"{name.decode()} chunk with a bad checksum left out",), ())
    assert notes or name == b"prVt"  # which is nobody's business


def test_the_orientation_survives_the_repair(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    extra = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")) + TEXTS["zTXt"]
    pixels, _ = read(png(tmp_path, extra))
    np.testing.assert_array_equal(pixels, np.rot90(RGB, -1))


@pytest.mark.parametrize("place", ["IHDR", "cut"])
def test_damage_in_the_pixels_is_still_an_error(tmp_path, place):
    path = png(tmp_path, TEXTS["zTXt"])
    content = bytearray(path.read_bytes())
    if place == "IHDR":
        content[29] ^= 1
    else:
        del content[-200:]
    path.write_bytes(content)
    with pytest.raises(PictureError):
        read(path)


@pytest.mark.parametrize(
    ("gamma", "others", "notes"),
    [
        (100_000, b"", ("gamma 1 of the PNG (gAMA) not applied",)),
        (55_556, b"", ("gamma 0.556 of the PNG (gAMA) not applied",)),
        (45_455, b"", ()),
        (100_000, chunk(b"sRGB", b"\0"), ()),
        (100_000, chunk(b"iCCP", b"p\0\0" + zlib.compress(profile(gamma=2.2))), ()),
    ],
)
def test_gamma_is_noted_and_not_applied(tmp_path, gamma, others, notes):
    pixels, found = read(png(tmp_path, chunk(b"gAMA", struct.pack(">I", gamma)) + others))
    assert found == notes
    if b"iCCP" not in others:
        np.testing.assert_array_equal(pixels, RGB)


def jpeg(tmp_path, pixels=RGB, **options):
    path = tmp_path / "a.jpg"
    Image.fromarray(pixels).save(path, quality=95, **options)
    return path, path.read_bytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [48, 1600])
@pytest.mark.parametrize("pixels", [RGB, smooth(701, 903)])
def test_a_jpeg_without_its_end_marker_is_read(tmp_path, size, progressive, pixels):
    """At full size, and at a fraction of it."""
    path, content = jpeg(tmp_path, pixels, progressive=progressive)
    expected = decode_file(path, Reading(16, size)).pixels
    path.write_bytes(content[:-2])
    decoded = decode_file(path, Reading(16, size))
    np.testing.assert_array_equal(decoded.pixels, expected)
    assert decoded.notes == ("the end marker of the JPEG is missing",)


@pytest.mark.parametrize("missing", [40, 200, 2000])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_last_pixels_is_an_error(tmp_path, missing, progressive):
    path, content = jpeg(tmp_path, noise(HEIGHT, WIDTH), progressive=progressive)
    path.write_bytes(content[:-missing])
    with pytest.raises(PictureError, match="is damaged or cut short"):
        read(path)


def test_a_progressive_jpeg_that_was_ended_early_is_noted(tmp_path):
    path, content = jpeg(tmp_path, noise(HEIGHT, WIDTH), progressive=True)
    assert read(path)[1] == ()
    path.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    assert read(path)[1] == ("the last scans of the progressive JPEG are missing",)
    grey = Image.fromarray(noise(HEIGHT, WIDTH)).convert("L")
    for options in ({"quality": 40}, {"quality": 95, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}):
        grey.save(path, progressive=True, **options)
        assert read(path)[1] == ()


def test_bytes_after_the_end_do_not_matter(tmp_path):
    path, content = jpeg(tmp_path)
    expected = read(path)
    path.write_bytes(content + b"\0\0\0\x18ftypmp42" + os.urandom(5000))
    np.testing.assert_array_equal(read(path)[0], expected[0])


BROKEN_EXIF = {
    "entries beyond the end": b"II*\0\x08\0\0\0\xff\xff\x01\x01",
    "a value beyond the end": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x64\0\0\xff\xff\0\0\0\0",
    "no byte order": b"XX*\0\x08\0\0\0\0\0",
    "nothing": b"",
    "a directory beyond the end": b"II*\0\xff\xff\0\0",
}


@pytest.mark.parametrize("exif", BROKEN_EXIF)
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_damaged_exif_is_noted(tmp_path, ending, exif):
    path = tmp_path / f"a.{ending}"
    options = {"lossless": True} if ending == "webp" else {"quality": 95}
    if ending == "png":
        png(tmp_path, chunk(b"eXIf", BROKEN_EXIF[exif]))
    elif ending == "jpg":
        _, content = jpeg(tmp_path)
        data = b"Exif\0\0" + BROKEN_EXIF[exif]
        path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data + content[2:])
    else:
        Image.fromarray(RGB).save(path, exif=BROKEN_EXIF[exif] or b"?", **options)
    pixels, notes = read(path)
    assert notes == ("damaged EXIF data ignored",)
    assert np.abs(pixels - RGB).mean() < 3


def test_sound_exif_is_not_noted(tmp_path):
    exif = Image.Exif()
    exif[271] = "A camera with a long name"
    exif[305] = "A program with a long name"
    for ending in ("jpg", "png", "webp", "tif"):
        Image.fromarray(RGB).save(tmp_path / f"a.{ending}", exif=exif)
        assert read(tmp_path / f"a.{ending}")[1] == ()


def test_nothing_raw_reaches_stderr(tmp_path):
    """Pillow warns of damaged EXIF data, and logs what it can't decode."""
    paths = [png(tmp_path, chunk(b"eXIf", BROKEN_EXIF["a value beyond the end"]))]
    _, content = jpeg(tmp_path)
    data = b"Exif\0\0" + BROKEN_EXIF["a value beyond the end"]
    (tmp_path / "b.jpg").write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data + content[2:])
    Image.fromarray(RGB).save(tmp_path / "c.tif", compression="tiff_lzw", exif=Image.Exif())
    cut = (tmp_path / "c.tif").read_bytes()
    (tmp_path / "d.tif").write_bytes(cut[: len(cut) // 2] + cut[-400:])
    paths += [tmp_path / "b.jpg", tmp_path / "c.tif", tmp_path / "d.tif"]
    code = (
        "import sys\n"
        "from lookwhere_cli.images.decode import decode_file\n"
        "from lookwhere_cli.images.frame import Reading\n"
        "from lookwhere_cli.errors import PictureError\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(decode_file(path, Reading(16, 224)).notes)\n"
        "    except PictureError as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    assert ran.stdout.count("damaged EXIF data ignored") == 2
    assert ran.stdout.count("damaged or cut short") + ran.stdout.count("header is damaged") == 1


def test_pillows_switch_for_truncated_pictures_is_left_alone(tmp_path):
    read(png(tmp_path, TEXTS["zTXt"]))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


SHORT = {
    "cut pHYs": chunk(b"pHYs", b"\0"),
    "cut gAMA": chunk(b"gAMA", b""),
    "cut cHRM": chunk(b"cHRM", b"\0\0\0"),
    "text of an unknown compression": chunk(b"zTXt", b"a\0\x09zz"),
    "cut acTL": chunk(b"acTL", b"\0"),
    "90 texts": b"".join(chunk(b"zTXt", b"%d\0\0" % n + zlib.compress(b"x" * 900_000)) for n in range(90)),
}


@pytest.mark.parametrize("extra", SHORT)
def test_extras_that_pillow_stumbles_over_are_left_out(tmp_path, extra):
    pixels, notes = read(png(tmp_path, SHORT[extra]))
    np.testing.assert_array_equal(pixels, RGB)
    assert notes == ("damaged or too many texts and other extras left out",)


def test_the_orientation_survives_that_too(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    pixels, _ = read(png(tmp_path, turned + SHORT["cut pHYs"]))
    np.testing.assert_array_equal(pixels, np.rot90(RGB, -1))


def test_half_an_end_marker_is_none(tmp_path):
    path, content = jpeg(tmp_path)
    whole = read(path)[0]
    path.write_bytes(content[:-1])
    pixels, notes = read(path)
    np.testing.assert_array_equal(pixels, whole)
    assert notes == ("the end marker of the JPEG is missing",)
