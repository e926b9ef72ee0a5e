"""TIFFs and their like of any depth, layout, byte order and compression show the picture, or say what they need."""

import io
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.peek import peek
from lookwhere_cli.images.view import view_of
from tests.images.pictures import smooth, write_png

tifffile = pytest.importorskip("tifffile")
HEIGHT, WIDTH = 37, 53


def full(levels):
    """Stretch levels to 0..255, so that a picture's own range is that of its type."""
    low, high = int(levels.min()), int(levels.max())
    return np.rint((levels - float(low)) * 255 / (high - low)).astype(np.uint8)


RGB = full(smooth(HEIGHT, WIDTH))
GREY = full(np.asarray(Image.fromarray(RGB).convert("L")))
GREY3 = GREY[..., None].repeat(3, -1)
RAMP = np.linspace(0, 255, WIDTH).astype(np.uint8)[None].repeat(HEIGHT, 0)
ON_WHITE = RGB * (RAMP / 255)[..., None] + 255 * (1 - RAMP / 255)[..., None]
NODATA, MAX_VALUE, ORIENTATION = 42113, 281, 274


def encoded(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def read(content):
    decoded = decode_file(content, Reading(16, 1600))
    return decoded.pixels.astype(float), decoded.notes


def error_of(content, expected):
    pixels, _ = read(content)
    assert pixels.shape == expected.shape
    return np.abs(pixels - expected).mean()


def planes(array):
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def spread(levels, kind):
    """Spread levels of 0..255 over a type's range, floats over 0..1."""
    kind = np.dtype(kind)
    if kind.kind == "f":
        return (levels / 255).astype(kind)
    limits = np.iinfo(kind)
    step = (int(limits.max) - int(limits.min)) // 255
    return (levels.astype(object) * step + int(limits.min)).astype(kind)


def without(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert find_spec(package) is None


@settings(max_examples=120)
@given(
    kind=st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "f2", "f4", "f8"]),
    colour=st.sampled_from(["minisblack", "miniswhite", "contig", "separate"]),
    order=st.sampled_from("<>"),
    compression=st.sampled_from([None, "zlib", "lzw", "zstd", "packbits"]),
    predictor=st.booleans(),
    tile=st.sampled_from([None, (16, 16)]),
    big=st.booleans(),
)
def test_every_type_layout_order_and_compression(kind, colour, order, compression, predictor, tile, big):
    options = {"byteorder": order, "compression": compression, "tile": tile, "bigtiff": big}
    if predictor and compression in ("zlib", "lzw", "zstd") and kind != "u8":
        options["predictor"] = True
    if colour.startswith("minis"):
        levels, expected = GREY if colour == "minisblack" else 255 - GREY, GREY3
        options["photometric"] = colour
    else:
        levels, expected = planes(RGB) if colour == "separate" else RGB, RGB
        options |= {"photometric": "rgb", "planarconfig": colour}
    assert error_of(encoded(spread(levels, kind), **options), expected) < 0.5


@pytest.mark.parametrize("colour", ["minisblack", "miniswhite", "contig", "separate"])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "f2", "f4", "f8"])
def test_without_tifffile_it_is_read_right_or_the_package_is_named(monkeypatch, kind, colour):
    """Never noise: what Pillow alone would get wrong is refused."""
    without(monkeypatch, "tifffile")
    for order in "<>":
        for compression in (None, "lzw"):
            for big in (False, True):
                grey = colour.startswith("minis")
                levels = (GREY if colour == "minisblack" else 255 - GREY) if grey else RGB
                levels = planes(levels) if colour == "separate" else levels
                options = {"photometric": colour} if grey else {"photometric": "rgb", "planarconfig": colour}
                content = encoded(
                    spread(levels, kind), byteorder=order, compression=compression, bigtiff=big, **options
                )
                try:
                    assert error_of(content, GREY3 if grey else RGB) < 0.5
                except PictureError as error:
                    assert str(error).endswith("needs one more package: pip install 'lookwhere[tiff]'.")


def test_what_common_deep_tiffs_need_no_package_for(monkeypatch):
    without(monkeypatch, "tifffile")
    assert error_of(encoded(spread(255 - GREY, "u2"), photometric="miniswhite"), GREY3) < 0.5
    assert error_of(encoded(spread(RGB, "u2"), photometric="rgb"), RGB) < 0.5
    assert read(encoded(spread(GREY, "f4")))[1] == (
        f"32-bit float, scaled from {GREY.min() / 255:g}..{GREY.max() / 255:g}",
    )


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("alpha", ["unassalpha", "assocalpha"])
def test_alpha_shows_the_background(alpha, kind, layout):
    colours = RGB * (RAMP / 255)[..., None] if alpha == "assocalpha" else RGB
    levels = np.dstack([np.rint(colours), RAMP]).astype(np.uint8)
    array = spread(planes(levels) if layout == "separate" else levels, kind)
    content = encoded(array, photometric="rgb", planarconfig=layout, extrasamples=[alpha])
    assert error_of(content, ON_WHITE) < 1


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_more_channels_than_colours(layout, compression):
    def of(channels, kind="u2", **options):
        array = spread(np.dstack(channels), kind)
        array = planes(array) if layout == "separate" else array
        return encoded(array, planarconfig=layout, compression=compression, **options)

    extra = {"photometric": "rgb", "extrasamples": [0, 0]}
    assert error_of(of([RGB, RAMP, RAMP], **extra), RGB) < 0.5
    assert error_of(of([RGB] + [RAMP] * 12, "u1", photometric="rgb", extrasamples=[0] * 12), RGB) < 0.5
    pixels, notes = read(of([RGB, RAMP], photometric="minisblack", extrasamples=[0] * 3))
    assert notes == ("channels 1 to 3 of 4 as red, green, blue",)
    assert np.abs(pixels - RGB).mean() < 0.5
    pixels, notes = read(of([GREY, RAMP], photometric="minisblack", extrasamples=[0]))
    assert notes == ("first of 2 channels",)
    assert np.abs(pixels - GREY3).mean() < 0.5
    ink = np.asarray(Image.fromarray(RGB).convert("CMYK"))
    assert error_of(of([ink], photometric="separated"), RGB) < 0.5


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("depth", [8, 16])
def test_palettes_of_either_depth(bits, depth):
    """A colour map has 16 bits, but some programs write 8-bit values into it."""
    picture = Image.fromarray(RGB).quantize(32)
    colours = np.zeros((3, 2**bits), np.uint16)
    palette = np.array(picture.getpalette()).reshape(-1, 3).T
    colours[:, : palette.shape[1]] = palette * (257 if depth == 16 else 1)
    content = encoded(np.asarray(picture).astype(f"u{bits // 8}"), photometric="palette", colormap=colours)
    assert error_of(content, np.asarray(picture.convert("RGB"))) == 0


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("u1", 7, "7"),
        ("u2", 0, "0"),
        ("u2", 65535, "65535"),
        ("i2", -32768, "-32768"),
        ("i2", -9999, "-9999.0"),
        ("i4", -(2**31), "-2147483648"),
        ("u4", 2**32 - 1, "4294967295"),
        ("f4", -9999, "-9999"),
        ("f4", np.float32(-3.4028235e38), "-3.4028234663852886e+38"),
        ("f4", np.nan, "nan"),
        ("f8", -9999, " -9999 "),
        ("f8", -1.7976931348623157e308, "-1.7976931348623157e+308"),
        ("f8", -1.7976931348623157e308, "-1.79769313486e+308"),
        ("f4", np.float32(-3.4028235e38), "-3.40282347e+38"),
    ],
)
def test_no_data_is_background_and_no_part_of_the_range(kind, value, text, compression):
    array = (
        (GREY / 255).astype(kind) if kind[0] == "f" else np.maximum(GREY, 8).astype(kind) * (16 if kind > "u1" else 1)
    )
    array[:9] = value
    pixels, _ = read(encoded(array, compression=compression, extratags=[(NODATA, "s", 0, text, True)]))
    assert (pixels[:9] == 255).all()
    assert np.corrcoef(pixels[9:].ravel(), GREY3[9:].ravel())[0, 1] > 0.999
    assert pixels[9:].max() - pixels[9:].min() > 150  # the range is not that of the value for "no data"


def test_extreme_floats_are_no_part_of_the_range_even_if_nothing_says_so():
    array = spread(GREY, "f4")
    array[:9] = -3.4028235e38
    pixels, notes = read(encoded(array))
    assert notes == (f"32-bit float, scaled from {array[9:].min():g}..{array[9:].max():g}",)
    assert (pixels[:9] == 0).all()


def test_no_data_by_pillow_alone(monkeypatch):
    without(monkeypatch, "tifffile")
    for array, options in (
        (np.maximum(RGB, 1), {"photometric": "rgb"}),
        (spread(np.maximum(GREY, 1), "u2"), {}),
        (np.minimum(255 - GREY, 254), {"photometric": "miniswhite"}),
    ):
        array = array.copy()
        value = 0 if not options or options["photometric"] == "rgb" else 255
        array[:9] = value
        pixels, _ = read(encoded(array, extratags=[(NODATA, "s", 0, str(value), True)], **options))
        assert (pixels[:9] == 255).all()
        assert (pixels[9:] < 255).any(-1).all() or options.get("photometric") == "miniswhite"
        background = decode_file(
            encoded(array, extratags=[(NODATA, "s", 0, str(value), True)], **options),
            Reading(16, 1600, background=(0, 128, 64)),
        )
        assert (background.pixels[:9] == (0, 128, 64)).all()


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("colour", ["grey", "miniswhite", "rgb", "planes"])
def test_few_bits_in_sixteen_are_stretched_and_noted(colour, order, bits):
    levels = {"grey": GREY, "miniswhite": 255 - GREY}.get(colour, RGB).astype(np.uint16)
    values = levels << (bits - 8)
    options = {"byteorder": order, "photometric": {"grey": "minisblack", "planes": "rgb"}.get(colour, colour)}
    if colour == "planes":
        values, options["planarconfig"] = planes(values), "separate"
    pixels, notes = read(encoded(values, **options))
    assert notes == (f"16 bits per value of which {bits} are used, scaled from 0..{2**bits - 1}",)
    assert np.abs(pixels - (RGB if colour in ("rgb", "planes") else GREY3)).mean() < 1.5


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_few_bits_in_a_16_bit_png(tmp_path, kind, channels, bits):
    levels = np.dstack([GREY if channels < 3 else RGB, RAMP]).astype(np.uint16)[..., :channels]
    values = levels << (bits - 8)
    if channels in (2, 4):
        values[..., -1] = 65535
    write_png(tmp_path / "a.png", HEIGHT, WIDTH, 16, kind, values)
    pixels, notes = read(tmp_path / "a.png")
    assert notes == (f"16 bits per value of which {bits} are used, scaled from 0..{2**bits - 1}",)
    assert np.abs(pixels - (GREY3 if channels < 3 else RGB)).mean() < 1.5


@pytest.mark.parametrize(("greatest", "note"), [(4095, False), (1023, False), (30_000, False), (16_383, True)])
def test_a_declared_range_needs_no_note(greatest, note):
    """MaxSampleValue; a PGM's greatest value; bits per sample."""
    values = np.rint(GREY / 255 * greatest).astype(np.uint16)
    tags = [] if note else [(MAX_VALUE, "H", 1, greatest, True)]
    pixels, notes = read(encoded(values, extratags=tags))
    assert bool(notes) == note
    assert np.abs(pixels - GREY3).mean() < 1
    pgm = f"P5 {WIDTH} {HEIGHT} {greatest}\n".encode() + values.astype(">u2").tobytes()
    pixels, notes = read(pgm)
    assert notes == ()
    assert np.abs(pixels - GREY3).mean() < 1


def test_a_dark_picture_of_a_declared_range_stays_dark():
    values = np.rint(GREY / 255 * 500).astype(np.uint16)
    pixels, notes = read(encoded(values, extratags=[(MAX_VALUE, "H", 1, 4095, True)]))
    assert notes == ()
    assert pixels.max() < 33
    assert read(f"P5 {WIDTH} {HEIGHT} 4095\n".encode() + values.astype(">u2").tobytes())[0].max() < 33


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_values(bits):
    pytest.importorskip("imagecodecs")
    values = GREY.astype(np.uint16) << (bits - 8)
    pixels, notes = read(encoded(values, bitspersample=bits))
    assert notes == ()
    assert np.abs(pixels - GREY3).mean() < 1.5


def test_few_bits_in_arrays_and_pillow_images():
    values = GREY.astype(np.uint16) << 4
    for picture in (values, Image.fromarray(values), np.dstack([RGB, RAMP]).astype(np.uint16) << 4):
        assert view_of(picture, Reading(16, 1600)).notes == (
            "16 bits per value of which 12 are used, scaled from 0..4095",
        )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["f8", "u2 planes", "u2", "u1"])
def test_orientation_counts_once(kind, orientation):
    options = {"extratags": [(ORIENTATION, "H", 1, orientation, True)]}
    array = spread(GREY, kind[:2])
    if kind == "u2 planes":
        array, options = planes(spread(RGB, "u2")), options | {"photometric": "rgb", "planarconfig": "separate"}
    source = Image.fromarray(RGB if kind == "u2 planes" else GREY3)
    source.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(source))
    content = encoded(array, **options)
    assert error_of(content, expected) < 0.5
    assert peek(content).size == expected.shape[:2]


def test_the_picture_is_read_and_not_the_thumbnail_before_it():
    for small, large in ((RGB[::4, ::4], RGB), (RGB[::4, ::4] / 255, RGB / 255)):
        stream = io.BytesIO()
        with tifffile.TiffWriter(stream) as writer:
            writer.write(small, photometric="rgb", subfiletype=1)
            writer.write(large, photometric="rgb")
        pixels, _ = read(stream.getvalue())
        assert np.abs(pixels - RGB).mean() < 0.5


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_a_deep_tiff_cut_short_is_an_error(share, options):
    content = encoded(spread(RGB, "f8"), photometric="rgb", **options)
    with pytest.raises(PictureError, match=r"is damaged or cut short|header is damaged"):
        read(content[: int(share * len(content))])


def test_a_compression_without_its_package_is_named(monkeypatch):
    content = encoded(spread(RGB, "f8"), photometric="rgb", compression="lzw")

    def lacking(self, **options):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", lacking)
    with pytest.raises(PictureError, match=r"is a TIFF compressed with LZW, which needs one more package: pip install"):
        read(content)


def test_what_is_not_read_is_named():
    with pytest.raises(PictureError, match=r"is a TIFF of a kind that is not read \(64-bit complex grey\)"):
        read(encoded(GREY.astype(np.complex64)))


def test_a_pillow_image_of_planes_is_refused_rather_than_read_as_noise():
    content = encoded(planes(spread(RGB, "u2")), photometric="rgb", planarconfig="separate")
    with Image.open(io.BytesIO(content)) as picture, pytest.raises(PictureError, match="give its path instead"):
        view_of(picture, Reading(16, 1600))


@pytest.mark.parametrize("order", ["<", ">"])
def test_float_maps(order):
    for mark, levels in ((b"PF", RGB), (b"Pf", GREY)):
        scale = b"-1.0" if order == "<" else b"1.0"
        values = (levels[::-1] / 255).astype(f"{order}f4")
        content = mark + f"\n{WIDTH} {HEIGHT}\n".encode() + scale + b"\n" + values.tobytes()
        pixels, notes = read(content)
        assert notes == ("32-bit float, scaled from 0..1",)
        assert np.abs(pixels - (levels if levels.ndim == 3 else GREY3)).max() <= 1
        with pytest.raises(PictureError, match="damaged or cut short"):
            read(content[:-9])


@pytest.mark.parametrize("mode", ["La", "LAB", "RGBa"])
def test_rare_modes_of_pillow(mode):
    picture = Image.fromarray(RGB)
    if mode == "LAB":
        from PIL import ImageCms

        lab = ImageCms.profileToProfile(
            picture, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
        assert np.abs(view_of(lab, Reading(16, 1600)).source.pixels.astype(int) - RGB).mean() < 3
    else:
        full = mode.upper()
        premultiplied = picture.convert(full).convert(mode)
        expected = np.asarray(picture.convert(full[:-1]).convert("RGB")).astype(int)
        assert np.abs(view_of(premultiplied, Reading(16, 1600)).source.pixels - expected).max() <= 1


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_alpha_of_as_few_bits_as_the_colours_is_opaque(bits, layout):
    colours = np.rint(RGB / 255 * (2**bits - 1)).astype(np.uint16)
    array = np.dstack([colours, np.full(GREY.shape, 2**bits - 1, np.uint16)])
    stored = planes(array) if layout == "separate" else array
    options = {"photometric": "rgb", "planarconfig": layout, "extrasamples": ["unassalpha"], "metadata": None}
    assert error_of(encoded(stored, **options), RGB) < 0.5
    pixels, _ = read_array(array)
    assert np.abs(pixels - RGB).mean() < 0.5


def read_array(array):
    from lookwhere_cli.images.array import picture_of

    picture, notes = picture_of(array, "a")
    on_white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(on_white.convert("RGB")).astype(float), notes
