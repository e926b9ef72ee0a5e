import io
import itertools
import os
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.limit import pillow_limit
from lookwhere_cli.images.view import open_view, view_of
from tests.images.pictures import noise, profile, smooth, srgb_profile, write_png, write_tiff_16, write_ycck

READING = Reading(16, 224, "stretch")


def pixels_of(view):
    """The pixels of a view at the picture's own size."""
    return view.thumbnail(*view.size).astype(int)


def read(path):
    return pixels_of(open_view(path, READING))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp", "avif"])
def test_pictures_are_read_as_displayed(tmp_path, orientation, ending):
    picture = Image.fromarray(smooth(48, 80))
    exif = Image.Exif()
    exif[274] = orientation
    tagged = picture.copy()
    tagged.info["exif"] = exif.tobytes()
    picture.save(tmp_path / f"a.{ending}", exif=exif, quality=95)
    view = open_view(tmp_path / f"a.{ending}", Reading(16, 224))
    expected = np.asarray(ImageOps.exif_transpose(tagged)).astype(int)
    assert view.size == expected.shape[:2]
    assert view.grid == ((10, 17) if orientation < 5 else (17, 10))
    assert np.abs(pixels_of(view) - expected).mean() < 4
    assert view_of(tagged, READING).size == view.size


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_a_compressed_tiff_is_turned_once(tmp_path, orientation, compression):
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.tif", exif=exif, compression=compression)
    assert open_view(tmp_path / "a.tif", READING).size == ((20, 30) if orientation == 1 else (30, 20))


def test_a_large_jpeg_is_turned_after_its_reduced_decode(tmp_path):
    exif = Image.Exif()
    exif[274] = 8
    picture = Image.fromarray(smooth(900, 1801))
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95)
    view = open_view(tmp_path / "a.jpg", Reading(16, 224))
    assert (view.size, view.box) == ((1801, 900), (0, 0, 900, 1801))
    expected = picture.transpose(Image.Transpose.ROTATE_90).resize((64, 128), Image.Resampling.BICUBIC)
    assert np.abs(view.thumbnail(128, 64).astype(int) - np.asarray(expected)).mean() < 2


def late_exif(content):
    """Move the EXIF chunk of a PNG after its pixels."""
    start = content.index(b"eXIf") - 4
    stop = start + int.from_bytes(content[start : start + 4]) + 12
    end = content.rindex(b"IEND") - 4
    return content[:start] + content[stop:end] + content[start:stop] + content[end:]


def test_an_orientation_after_a_pngs_pixels_counts(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    stream = io.BytesIO()
    Image.fromarray(noise(20, 30)).save(stream, "PNG", exif=exif)
    assert late_exif(stream.getvalue()).index(b"IDAT") < late_exif(stream.getvalue()).index(b"eXIf")
    view = open_view(late_exif(stream.getvalue()), READING)
    assert view.size == (30, 20)
    np.testing.assert_array_equal(pixels_of(view), np.rot90(noise(20, 30), -1))


@pytest.mark.parametrize("broken", [0, 9, 77])
def test_a_broken_orientation_counts_as_none(tmp_path, broken):
    exif = Image.Exif()
    exif[274] = broken
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), noise(20, 30))


@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_a_16_bit_png_is_scaled_by_the_types_range(tmp_path, colour, channels):
    values = np.random.default_rng(0).integers(0, 65536, (12, 15, channels))
    if channels in (2, 4):
        values[..., -1] = 65535
    write_png(tmp_path / "a.png", 12, 15, 16, colour, values)
    light = values[..., :1].repeat(3, axis=-1) if channels < 3 else values[..., :3]
    assert np.abs(read(tmp_path / "a.png") - light / 257).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_16_bit_tiff_is_scaled_by_the_types_range(tmp_path, order):
    values = np.random.default_rng(0).integers(0, 65536, (12, 15, 3), np.uint16)
    write_tiff_16(tmp_path / "rgb.tif", values, order)
    assert np.abs(read(tmp_path / "rgb.tif") - values / 257).max() <= 1
    Image.fromarray(values[..., 0]).save(tmp_path / "grey.tif")
    assert np.abs(read(tmp_path / "grey.tif") - values[..., :1] / 257).max() <= 0.5


@pytest.mark.parametrize(("kind", "name"), [(np.float32, "float"), (np.int32, "integer")])
def test_32_bits_are_scaled_by_their_own_range_which_is_noted(tmp_path, kind, name):
    values = np.linspace(-500, 1500, 3 * 400).reshape(3, 400).astype(kind)
    Image.fromarray(values).save(tmp_path / "a.tif")
    view = open_view(tmp_path / "a.tif", READING)
    assert view.notes == (f"32-bit {name}, scaled from -500..1500",)
    assert np.abs(pixels_of(view)[..., 0] - (values + 500.0) / 2000 * 255).max() <= 0.51


def test_a_float_tiff_may_hold_infinities_and_nan(tmp_path):
    values = np.array([[0, 1, 2, np.nan, np.inf, -np.inf]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    view = open_view(tmp_path / "a.tif", READING)
    assert view.notes == ("32-bit float, scaled from 0..2",)
    assert pixels_of(view)[0, :, 0].tolist() == [0, 128, 255, 0, 255, 0]
    Image.fromarray(np.full((2, 2), np.nan, np.float32)).save(tmp_path / "none.tif")
    assert (read(tmp_path / "none.tif") == 0).all()


def test_one_bit_grey_and_palette_become_rgb(tmp_path):
    picture = Image.fromarray(noise(20, 30))
    for mode in ("1", "L", "P"):
        picture.convert(mode).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read(tmp_path / "a.png"), picture.convert(mode).convert("RGB"))


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 128, 64)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "tRNS"])
def test_transparency_is_composed_on_the_background(tmp_path, mode, background):
    picture = Image.new("RGBA", (8, 8), (200, 200, 200, 0))
    picture.paste((100, 100, 100, 255), (0, 0, 4, 8))
    if mode == "P":
        picture.quantize(4).save(tmp_path / "a.png")
    elif mode == "tRNS":
        picture.convert("RGB").save(tmp_path / "a.png", transparency=(200, 200, 200))
    else:
        picture.convert(mode).save(tmp_path / "a.png")
    pixels = pixels_of(open_view(tmp_path / "a.png", Reading(16, 224, "stretch", background=background)))
    assert (pixels[:, :4] == 100).all()
    assert (pixels[:, 4:] == background).all()


def test_half_transparent_is_half_background(tmp_path):
    Image.new("RGBA", (4, 4), (0, 100, 200, 51)).save(tmp_path / "a.png")
    np.testing.assert_allclose(read(tmp_path / "a.png")[0, 0], [204, 224, 244], atol=1)


def inks(count=6):
    """Patches, 8 x 8 pixels each, of cyan, magenta, yellow and black in several strengths."""
    levels = np.array(list(itertools.product((0, 120, 255), repeat=3))[:count], np.uint8)
    colours = np.concatenate([levels, np.full((count, 1), 40, np.uint8)], axis=1)
    return colours.repeat(8, axis=0)[None].repeat(8, axis=0)


def test_cmyk_and_ycck_jpegs_have_their_colours(tmp_path):
    cmyk = inks()
    expected = np.asarray(Image.frombytes("CMYK", cmyk.shape[1::-1], cmyk.tobytes()).convert("RGB")).astype(int)
    Image.frombytes("CMYK", cmyk.shape[1::-1], cmyk.tobytes()).save(tmp_path / "cmyk.jpg", quality=100)
    write_ycck(tmp_path / "ycck.jpg", cmyk)
    assert expected[0, 0].tolist() == [215, 215, 215]
    assert np.abs(read(tmp_path / "cmyk.jpg") - expected).max() <= 8
    assert np.abs(read(tmp_path / "ycck.jpg") - expected).max() <= 8


def test_a_profile_is_applied(tmp_path):
    pixels = smooth(20, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=profile(gamma=2.2, swap=True))
    assert np.abs(read(tmp_path / "a.png") - pixels[..., ::-1]).max() <= 16  # sRGB's curve is not quite 2.2
    Image.fromarray(pixels).save(tmp_path / "b.png", icc_profile=profile(gamma=1.0))
    linear = pixels / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read(tmp_path / "b.png") - expected).max() <= 4


def test_a_grey_profile_and_one_under_transparency_are_applied(tmp_path):
    Image.new("L", (9, 9), 55).save(tmp_path / "a.png", icc_profile=profile(b"GRAY", gamma=1.0))
    np.testing.assert_allclose(read(tmp_path / "a.png"), 127, atol=2)
    Image.new("RGBA", (9, 9), (55, 55, 55, 255)).save(tmp_path / "b.png", icc_profile=profile(gamma=1.0))
    np.testing.assert_allclose(read(tmp_path / "b.png"), 127, atol=2)


@pytest.mark.parametrize(
    "useless", [b"junk", profile()[:200], profile(b"GRAY")], ids=["junk", "short", "of another kind"]
)
def test_a_useless_profile_is_ignored(tmp_path, useless):
    pixels = noise(20, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=useless)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), pixels)


def test_srgbs_own_profile_costs_and_changes_nothing(tmp_path, monkeypatch):
    pixels = noise(20, 30)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=srgb_profile())
    np.testing.assert_array_equal(read(tmp_path / "a.png"), pixels)
    monkeypatch.setattr(ImageCms.ImageCmsTransform, "apply", None)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif", "avif"])
def test_the_first_of_several_frames_is_read_and_noted(tmp_path, ending):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
    view = open_view(tmp_path / f"a.{ending}", READING)
    assert view.notes == ("first of 3 frames",)
    np.testing.assert_allclose(view.thumbnail(4, 4)[0, 0], (255, 0, 0), atol=6)


def test_the_second_picture_in_a_cameras_file_is_not_a_frame(tmp_path):
    picture = Image.fromarray(smooth(64, 64))
    picture.save(tmp_path / "a.mpo", save_all=True, append_images=[picture])
    assert open_view(tmp_path / "a.mpo", READING).notes == ()


@pytest.mark.parametrize(
    "kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF", "PPM", "TGA", "QOI", "PSD", "ICO"]
)
def test_content_decides_not_the_extension(tmp_path, kind):
    if kind == "PSD":  # a single grey pixel; Pillow doesn't write this format
        header = b"8BPS\0\1" + bytes(6) + b"\0\1\0\0\0\1\0\0\0\1\0\x08\0\1" + bytes(12) + b"\0\0\x7f"
        (tmp_path / "a.jpg").write_bytes(header)
    else:
        Image.fromarray(smooth(16, 16)).save(tmp_path / "a.jpg", kind)
    Image.fromarray(smooth(16, 16)).save(tmp_path / "none", "JPEG")
    assert open_view(tmp_path / "a.jpg", READING).size == ((1, 1) if kind == "PSD" else (16, 16))
    assert open_view(tmp_path / "none", READING).size == (16, 16)


class Pipe(io.RawIOBase):
    """An open file that can't be rewound."""

    def __init__(self, content):
        self.content = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.content.readinto(buffer)


def test_bytes_and_open_files_are_read_like_paths(tmp_path):
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    written = io.BytesIO()
    written.write(content)
    with (tmp_path / "a.png").open("rb") as file:
        for encoded in (content, io.BytesIO(content), written, file, Pipe(content)):
            view = open_view(encoded, READING)
            np.testing.assert_array_equal(pixels_of(view), noise(20, 30))
            assert view.path == (str(tmp_path / "a.png") if encoded is file else "")
        assert not file.closed


def test_bytes_that_can_not_be_read_get_a_message(tmp_path):
    with pytest.raises(PictureError, match=r"^The picture is empty \(0 bytes\)\.$"):
        open_view(b"", READING)
    with pytest.raises(PictureError, match=r"^The picture is not a picture of a known format"):
        open_view(io.BytesIO(b"text"), READING)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with (tmp_path / "a.jpg").open() as file, pytest.raises(PictureError, match=r"a.jpg' is open as text; open it in"):
        open_view(file, READING)


def message_for(path, reading=READING):
    with pytest.raises(PictureError) as caught:
        open_view(path, reading)
    assert str(path) in str(caught.value)
    return str(caught.value).replace(f"{str(path)!r} ", "")


@pytest.mark.parametrize(
    "content",
    [
        b"This is text.\n" * 50,
        b"\xff\xd8\xff\xe0",
        b"\0\0\0\x18ftypavif" + bytes(90),
    ],
)
def test_a_file_that_is_not_a_picture_gets_a_message(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    assert message_for(tmp_path / "a.jpg") == "is not a picture of a known format, or its header is damaged."


def test_an_empty_file_gets_a_message(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    assert message_for(tmp_path / "a.jpg") == "is empty (0 bytes)."


def test_a_file_shorter_than_any_signature_gets_a_message(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert message_for(tmp_path / "a.jpg").startswith("is not a picture of a known format")


@pytest.mark.parametrize("ending", ["jpg", "png", "gif", "webp", "tif", "bmp", "jp2", "avif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_gets_a_message(tmp_path, ending, share):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert message_for(path).startswith(
        ("is damaged or cut short: ", "is not a picture of a known format, or its header is")
    )


def test_heic_without_its_package_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(90))
    assert (
        message_for(tmp_path / "a.jpg")
        == "is HEIC or HEIF, which needs one more package: pip install 'lookwhere[heif]'."
    )


def test_avif_without_its_library_names_the_package(tmp_path, monkeypatch):
    Image.init()
    monkeypatch.setitem(Image.OPEN, "AVIF", (Image.OPEN["AVIF"][0], lambda start: "not built with libavif"))
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.avif")
    assert message_for(tmp_path / "a.avif") == "is AVIF, which needs a newer Pillow: pip install -U pillow."


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    write_png(tmp_path / "a.png", 60_000, 60_000, 8, 2, bytes(1000))
    assert message_for(tmp_path / "a.png") == (
        "is 60000 x 60000 = 3,600,000,000 pixels, more than the 250,000,000 that are read; "
        "raise --max-pixels if you trust the file."
    )


def test_our_limit_applies_instead_of_pillows(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    for ending in ("jpg", "png", "tif", "webp", "gif", "bmp"):
        Image.new("RGB", (100, 100)).save(tmp_path / f"a.{ending}")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert open_view(tmp_path / f"a.{ending}", Reading(16, 224, max_pixels=10_000)).size == (100, 100)
        if ending == "tif":  # which is then read by windows
            continue
        assert "more than the 9,999 that are read" in message_for(
            tmp_path / f"a.{ending}", Reading(16, 224, max_pixels=9_999)
        )
    assert Image.MAX_IMAGE_PIXELS == 50


def test_a_giant_inside_an_icon_is_detected(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    write_png(tmp_path / "a.png", 5000, 5000, 8, 2, bytes(100))
    giant = (tmp_path / "a.png").read_bytes()
    entry = b"\x10\x10\0\0\1\0\x20\0" + len(giant).to_bytes(4, "little") + (22).to_bytes(4, "little")
    (tmp_path / "a.ico").write_bytes(b"\0\0\1\0\1\0" + entry + giant)
    assert "--max-pixels" in message_for(tmp_path / "a.ico", Reading(16, 224, max_pixels=10_000))


def test_pillows_limit_is_restored_after_the_last_reader(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    first, second = pillow_limit(100), pillow_limit(300)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS == 300
    second.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS == 50
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pillow_limit(100):
        assert Image.MAX_IMAGE_PIXELS is None


def test_files_that_can_not_be_opened_get_a_message(tmp_path, monkeypatch):
    (tmp_path / "folder.jpg").mkdir()
    assert message_for(tmp_path / "folder.jpg") == "is a folder, not a picture."
    assert message_for(tmp_path / "gone.jpg") == "is not there."
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert message_for(tmp_path / "loop.jpg") == "can't be opened: Too many levels of symbolic links."
    (tmp_path / "shut.jpg").write_bytes(b"")
    (tmp_path / "shut.jpg").chmod(0)
    if not os.access(tmp_path / "shut.jpg", os.R_OK):
        assert message_for(tmp_path / "shut.jpg") == "may not be read: permission denied."


def test_messages_escape_unprintable_names():
    with pytest.raises(PictureError) as caught:
        open_view(os.fsdecode(b"/nowhere/new\nline\xff\x1b[31m.jpg"), READING)
    assert str(caught.value) == "'/nowhere/new\\nline\\udcff\\x1b[31m.jpg' is not there."
