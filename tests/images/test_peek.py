import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.peek import displayed_size, peek
from lookwhere_cli.images.view import open_view
from tests.images.pictures import noise, write_png


def encoded(kind, mode="RGB", size=(30, 20), **options):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_header_gives_size_and_format(tmp_path, monkeypatch, kind, orientation):
    turns = orientation == 6 and kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")
    exif = Image.Exif()
    exif[274] = orientation
    (tmp_path / "a").write_bytes(encoded(kind, **({"exif": exif} if turns else {})))
    size = open_view(tmp_path / "a", Reading(16, 224)).size
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("pixels were decoded"))
    header = peek(tmp_path / "a")
    assert (header.size, header.format) == (size, kind)
    assert displayed_size(str(tmp_path / "a")) == size == ((30, 20) if turns else (20, 30))


def test_the_size_of_a_picture_whose_pixels_are_missing(tmp_path):
    write_png(tmp_path / "a.png", 5000, 4000, 8, 2, b"")
    assert displayed_size(tmp_path / "a.png") == (5000, 4000)


@pytest.mark.parametrize(("content", "sentence"), [(b"", "is empty"), (b"text", "not a picture of a known format")])
def test_a_file_that_is_not_a_picture_has_no_size(tmp_path, content, sentence):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(PictureError, match=rf"a.jpg' .*{sentence}"):
        displayed_size(tmp_path / "a.jpg")
    with pytest.raises(PictureError, match="is not there"):
        displayed_size(tmp_path / "gone.jpg")


def test_a_header_counts_against_the_limit_of_pixels():
    with pytest.raises(PictureError, match="600 pixels, more than the 599"):
        peek(encoded("PNG"), max_pixels=599)


@pytest.mark.parametrize(
    ("kind", "mode", "options", "per_pixel"),
    [
        ("PNG", "RGB", {}, 4),
        ("PNG", "L", {}, 1),
        ("PNG", "1", {}, 1),
        ("PNG", "P", {}, 1),
        ("PNG", "I;16", {}, 2),
        ("JPEG", "RGB", {}, 4),
        ("JPEG", "RGB", {"progressive": True}, 4 + 3),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}, 4 + 6),
        ("JPEG", "L", {"progressive": True}, 1 + 2),
        ("WEBP", "RGB", {}, 16),
        ("JPEG2000", "RGB", {}, 4 + 15.6),
    ],
)
def test_the_estimate_of_a_full_decode_counts_what_the_decoder_holds(kind, mode, options, per_pixel):
    pixels = 300 * 200
    estimate = peek(encoded(kind, mode, (300, 200), **options)).decoding_bytes
    assert estimate == pytest.approx(pixels * (per_pixel + 3 + 12), rel=1e-3)  # kept, and converted in one band


@pytest.mark.parametrize(("kind", "returned"), [("JPEG", 1 / 64), ("PNG", 1)])
def test_the_estimate_before_a_decode_counts_the_reduced_size(kind, returned):
    estimates = []
    pixels = 1600 * 1600
    view = open_view(encoded(kind, size=(1600, 1600)), Reading(16, 112), reserve=estimates.append)
    band = pixels * returned if kind == "JPEG" else pixels / 2  # half of it: it has more than two megapixels
    assert estimates == [pytest.approx(4 * pixels * returned + view.nbytes + 12 * band, rel=0.02)]


# From the kernel's record of the process: resource.getrusage starts a child at its parent's peak.
DECODE = """
import sys
from pathlib import Path
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.view import open_view

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

path, small = sys.argv[1:]
open_view(small, Reading(16, 64))
estimates, rest = [], peak()
open_view(path, Reading(16, 224), reserve=estimates.append)
print(peak() - rest, *estimates)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured by Linux's /proc")
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {"compress_level": 1}),
        ("JPEG", "RGB", {"progressive": True}),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("PNG", "P", {"compress_level": 1}),
                ("PNG", "I;16", {"compress_level": 1}),
                ("JPEG", "RGB", {}),
                ("WEBP", "RGB", {"method": 0}),
                ("JPEG2000", "RGB", {"irreversible": True}),
                ("AVIF", "RGB", {"speed": 10}),
                ("TIFF", "F", {}),
            )
        ),
    ],
)
def test_the_estimate_is_near_the_memory_that_decoding_takes(tmp_path, kind, mode, options):
    slope = Image.linear_gradient("L").convert("L" if mode in ("P", "I;16") else mode).resize((2000, 2000))
    slope.convert(mode).save(tmp_path / "large", kind, **options)
    Image.fromarray(noise(64, 64)).convert("L").convert(mode).save(tmp_path / "small", kind, **options)
    command = [sys.executable, "-c", DECODE, tmp_path / "large", tmp_path / "small"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, estimate = map(int, ran.stdout.split())
    assert abs(taken - estimate) < 0.3 * estimate + (2 << 20), f"{taken:,} bytes, estimated {estimate:,}"
