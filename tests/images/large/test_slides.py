import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.base import Spacing, is_large
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.images.large.slides import SlideSource
from lookwhere_cli.images.large.tissue import background_colour, differs
from lookwhere_cli.images.peek import displayed_size, peek
from lookwhere_cli.images.view import open_view
from tests.images.large.files import smooth, write_slide

READING = Reading(16, 128)


@pytest.fixture(scope="module")
def pixels():
    return smooth(512, 768)


@pytest.fixture(scope="module")
def slide(tmp_path_factory, pixels):
    return write_slide(tmp_path_factory.mktemp("slides") / "a.svs", pixels)


def difference(pixels, other):
    return np.abs(pixels.astype(int) - other.astype(int)).mean()


def test_a_slide_is_read_by_windows(slide, pixels):
    source = open_large(slide, READING)
    assert is_large(source)
    assert (source.size, source.format, source.coordinates) == ((512, 768), "aperio", "pixels")
    assert source.spacing == Spacing(0.5, 0.5, "µm")
    assert [level.size for level in source.levels] == [(512, 768), (128, 192)]
    for box in ((0, 0, 768, 512), (30.5, 40, 200, 300.25)):
        expected = Image.fromarray(pixels).resize((60, 40), Image.Resampling.BICUBIC, box)
        assert difference(source.read(box, 40, 60), np.asarray(expected)) < 4
    source.close()


@pytest.mark.parametrize("size", [128, 512])
def test_cells_are_those_of_the_decoded_picture(slide, pixels, size):
    reading = Reading(16, size)
    view, decoded = open_view(slide, reading), open_view(Image.fromarray(pixels), reading)
    cells = np.arange(view.grid[0] * view.grid[1])[::-1]
    patches = view.patches(cells)
    assert difference(patches, decoded.patches(cells)) < 4
    np.testing.assert_array_equal(open_view(slide, reading).patches(cells[5:6])[0], patches[5])


def test_a_slide_that_does_not_tell_its_pixels_size(tmp_path, pixels):
    path = write_slide(tmp_path / "a.svs", pixels, description="Aperio Image Library v1")
    assert open_large(path, READING).spacing is None


def test_the_header_is_enough_for_size_and_format(slide):
    assert displayed_size(slide) == (512, 768)
    assert peek(slide).format == "aperio"


def test_glass_is_no_content(tmp_path):
    glass = np.full((512, 512, 3), (243, 240, 244), np.uint8)
    glass[:64] = 255  # padding
    glass[128:256, 128:256] = (225, 190, 215)  # a pale stain
    glass[300:400, 300:400] = (90, 90, 90)  # ink
    glass += np.random.default_rng(0).integers(0, 4, glass.shape, dtype=np.uint8) * (glass < 250)
    source = open_large(write_slide(tmp_path / "a.svs", glass), READING)
    content = source.content((0, 0, 512, 512), 64, 64)
    expected = np.zeros((64, 64))
    expected[16:32, 16:32] = 1
    expected[38:50, 38:50] = 1
    assert np.abs(content - expected).mean() < 0.01


def test_a_slide_with_a_dark_background_is_all_content():
    assert background_colour(np.full((10, 10, 3), 20, np.uint8)) is None


def test_what_differs_from_glass():
    glass = (243, 240, 244)
    colours = np.array([[glass, (255, 255, 255), (235, 231, 236), (240, 215, 235), (200, 200, 200)]], np.uint8)
    assert differs(colours, glass).tolist() == [[False, False, False, True, True]]


def test_a_part_that_cannot_be_decoded_is_an_error_and_the_others_are_read(tmp_path, pixels):
    import tifffile

    path = write_slide(tmp_path / "a.svs", pixels, levels=1)
    with tifffile.TiffFile(path) as file:
        place, length = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    content = bytearray((tmp_path / "a.svs").read_bytes())
    content[place : place + length] = b"\x55" * length
    (tmp_path / "a.svs").write_bytes(content)
    source = open_large(path, READING)
    for _ in range(2):
        with pytest.raises(PictureError, match=r"a.svs' can't be decoded from \(0, 0\) to \(64, 64\) pixels: "):
            source.read((0, 0, 64, 64), 64, 64)
        assert source.read((128, 128, 192, 192), 64, 64).shape == (64, 64, 3)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"text"])
def test_a_damaged_slide_is_a_sentence(tmp_path, content):
    (tmp_path / "a.svs").write_bytes(content)
    with pytest.raises(PictureError, match=r"a.svs' is a damaged or truncated slide"):
        open_view(tmp_path / "a.svs", READING)
    with pytest.raises(PictureError, match="is not there"):
        open_view(tmp_path / "gone.svs", READING)


def test_without_the_extra_a_slide_says_what_to_install(slide, monkeypatch):
    monkeypatch.setattr("lookwhere_cli.images.large.open.has_openslide", lambda: False)
    with pytest.raises(PictureError, match=r"is a slide, which needs .*pip install 'lookwhere\[slides\]'"):
        open_view(slide, READING)


def test_the_bounds_of_what_was_scanned_are_the_picture(slide, pixels, monkeypatch):
    from lookwhere_cli.images.large import slides

    bounds = {f"openslide.bounds-{name}": str(value) for name, value in zip("xy", (64, 128), strict=True)}
    bounds |= {"openslide.bounds-width": "640", "openslide.bounds-height": "256"}
    original = slides._bounds
    monkeypatch.setattr(slides, "_bounds", lambda properties, size: original({**properties, **bounds}, size))
    source = SlideSource(slide, (255, 255, 255))
    assert source.size == (256, 640)
    assert difference(source.read((0, 0, 64, 64), 64, 64), pixels[128:192, 64:128]) < 4
    assert original({}, (5, 6)) == (0, 0, 5, 6)
    assert original({**bounds, "openslide.bounds-x": "9999"}, (768, 512)) == (0, 0, 768, 512)
