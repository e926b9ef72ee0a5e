from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.source import CellSource, DecodedSource, Source, is_source
from lookwhere_cli.images.view import View, is_picture, open_view, view_of
from tests.images.pictures import noise, smooth

READING = Reading(16, 224)


class Gradient:
    """A source of one's own, of any size: red grows to the right, green grows down, from 0 to 250; blue is 7."""

    def __init__(self, height, width):
        self.size = (height, width)
        self.boxes = []

    def read(self, box, height, width):
        self.boxes.append(box)
        left, top, right, bottom = box
        pixels = np.full((height, width, 3), 7, np.uint8)
        pixels[..., 0] = np.linspace(left, right, 2 * width + 1)[1::2] / self.size[1] * 250
        pixels[..., 1] = np.linspace(top, bottom, 2 * height + 1)[1::2, None] / self.size[0] * 250
        return pixels


class Named(Gradient):
    path = "slide.svs"
    notes = ("no microns per pixel",)


def test_any_object_with_size_and_read_is_a_source():
    view = open_view(Gradient(50_000, 100_000), READING)
    assert (view.size, view.path, view.notes, view.nbytes) == ((50_000, 100_000), "", (), 0)
    assert (view.grid, view.box) == ((10, 19), (0, 0, 100_000, 50_000))
    assert view.thumbnail(80, 152).shape == (80, 152, 3)
    patches = view.patches(np.array([189, 0, 20]))
    assert patches.shape == (3, 16, 16, 3)
    assert patches.dtype == np.uint8
    np.testing.assert_allclose(patches[0, -1, -1], (249, 249, 7), atol=1)
    np.testing.assert_allclose(patches[1, 0, 0], (0, 0, 7), atol=1)
    np.testing.assert_allclose(patches[2, 8, 8], (1.5 / 19 * 250, 1.5 / 10 * 250, 7), atol=1)


def test_the_source_in_the_documentation_works():
    page = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text()
    code = page.partition("## Sources")[2].partition("```python\n")[2].partition("```")[0]
    names = {}
    exec(code, names)
    view = open_view(names["Camera"](), READING)
    assert view.size == (30_000, 40_000)
    assert view.thumbnail(12, 16).shape == (12, 16, 3)
    assert view.patches(np.array([0, 15]))[:, 0, 0, 0].tolist() == [0, 239]


def test_each_cell_of_a_source_is_read_alone():
    source = Gradient(100, 200)
    view = open_view(source, Reading(16, 16 * 4, "crop", crop_share=0.8))
    view.patches(np.array([5, 6]))
    np.testing.assert_allclose(source.boxes, [(80, 30, 100, 50), (100, 30, 120, 50)])


def test_path_and_notes_of_a_source_are_used():
    view = open_view(Named(10, 10), READING)
    assert (view.path, view.notes) == ("slide.svs", ("no microns per pixel",))


def test_the_alias_filter_reads_a_source_at_the_grids_size():
    view = open_view(Gradient(100, 200), Reading(16, 64, thumbnail_filter="alias"))
    thumbnail = view.thumbnail(10, 20)
    assert thumbnail.dtype == np.float32
    np.testing.assert_allclose(thumbnail[..., 0][0], (np.arange(20) + 0.5) / 20 * 250, atol=2)
    np.testing.assert_allclose(thumbnail[..., 1][:, 0], (np.arange(10) + 0.5) / 10 * 250, atol=2)


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (np.zeros((8, 8, 4), np.uint8), r"uint8 \(8, 8, 4\)"),
        (np.zeros((8, 8, 3)), r"float64 \(8, 8, 3\)"),
        (Image.new("RGB", (8, 8)), "Image"),
        (None, "NoneType"),
    ],
)
def test_a_source_that_returns_something_else_gets_a_message(returned, kind):
    source = Named(20, 20)
    source.read = lambda box, height, width: returned
    with pytest.raises(
        PictureError, match=rf"^'slide.svs' can't be used: read\(box, 8, 8\) .* returned {kind} instead"
    ):
        open_view(source, READING).thumbnail(8, 8)


def test_protocols_are_abstract():
    class Half(Source):
        size = (1, 1)

    class HalfCells(CellSource):
        size = (1, 1)

        def read(self, box, height, width):
            return noise(height, width)

    for kind in (Half, HalfCells):
        with pytest.raises(TypeError, match="abstract method"):
            kind()


def test_what_counts_as_a_picture_and_as_a_source(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with (tmp_path / "a.jpg").open("rb") as file:
        pictures = ["a.jpg", tmp_path, b"", file, Image.new("L", (1, 1)), noise(1, 1), Gradient(1, 1)]
        assert [is_picture(picture) for picture in pictures] == [True] * 7
        assert [is_source(picture) for picture in pictures] == [False] * 6 + [True]
    assert not any(map(is_picture, (["a.jpg"], ("a.jpg",), iter(()), 5, None)))


@pytest.mark.parametrize("value", [5, None, ["a.jpg"]])
def test_a_value_of_another_type_is_refused(value):
    with pytest.raises(PictureError, match=rf"^A value of type {type(value).__name__} is not a picture; give a path,"):
        open_view(value, READING)


@given(st.integers(2, 60), st.integers(2, 60), st.data())
def test_a_decoded_source_reads_any_box(height, width, data):
    edges = [sorted(data.draw(st.lists(st.floats(0, side), min_size=2, max_size=2))) for side in (width, height)]
    (left, right), (top, bottom) = edges
    box = left, top, max(right, left + 0.5), max(bottom, top + 0.5)
    if box[2] > width or box[3] > height:
        return
    source = view_of(noise(height, width), Reading(16, 64)).source
    expected = Image.fromarray(noise(height, width)).resize((7, 5), Image.Resampling.BICUBIC, box)
    pixels = source.read(box, 5, 7)
    assert pixels.flags.writeable
    np.testing.assert_array_equal(pixels, expected)


def test_a_decoded_source_counts_its_bytes():
    view = view_of(noise(40, 50), READING, "a.jpg")
    assert view.nbytes == view.source.nbytes == 3 * 40 * 50
    assert isinstance(view.source, DecodedSource)
    assert isinstance(view.source, CellSource)


def test_a_box_outside_of_what_was_decoded_is_an_error():
    view = view_of(smooth(100, 1000), Reading(4, 40, "crop", crop_share=0.5))
    view.source.read((480, 40, 520, 60), 10, 10)
    for box in ((0, 40, 520, 60), (480, 40, 990, 60)):
        with pytest.raises(ValueError, match="exceeds what was decoded"):
            view.source.read(box, 10, 10)
    for box in ((-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 51, 5), (0, 0, 5, 51)):
        with pytest.raises(ValueError, match="exceeds what was decoded"):
            view_of(noise(50, 50), READING).source.read(box, 10, 10)


def test_a_view_reads_only_its_box():
    source = Gradient(100, 300)
    View(source, Reading(16, 64, "crop", crop_share=0.5)).thumbnail(10, 10)
    assert source.boxes == [(125, 25, 175, 75)]
