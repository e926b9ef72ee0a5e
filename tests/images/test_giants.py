"""Memory and time for 100 megapixels: `pytest tests/images/test_giants.py -m "slow or not slow" -n 0 -s`."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

# From the kernel's record of the process: resource.getrusage starts a child at its parent's peak.
READ = """
import sys, time
from pathlib import Path
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.view import open_view

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

path, small, size = sys.argv[1:]
open_view(small, Reading(16, 224)).thumbnail(112, 112)
rest, start = peak(), time.perf_counter()
view = open_view(path, Reading(16, int(size)))
view.thumbnail(112, 112), view.patches(range(90))
print(peak() - rest, time.perf_counter() - start)
"""
READ_IN_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from PIL import Image
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.view import open_view

def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

path, small, threads = sys.argv[1:]
open_view(small, Reading(16, 224))
rest = peak()
for thread in [ThreadPoolExecutor(1) for _ in range(int(threads))]:
    thread.submit(open_view, path, Reading(16, 224)).result()
print(peak() - rest, Image.core.get_block_size())
"""
FORMATS = [  # with the bytes that Pillow holds for a pixel; for a progressive JPEG, its coefficients
    ("jpg", "RGB", {}, 0),
    ("jpg", "CMYK", {}, 0),
    ("jpg", "RGB", {"progressive": True, "subsampling": 0}, 6),
    ("png", "RGB", {"compress_level": 1}, 4),
    ("png", "RGBA", {"compress_level": 1}, 4),
    ("png", "P", {"compress_level": 1}, 1),
    ("png", "I;16", {"compress_level": 1}, 2),
    ("tif", "F", {}, 4),
]


def giant(mode):
    slope = Image.linear_gradient("L")
    colours = Image.merge("RGB", (slope, slope.rotate(90), slope.rotate(180)))
    return colours.convert("L" if mode == "I;16" else mode).convert(mode).resize((10_000, 10_000))


def cost(folder, ending, mode, options, size):
    """Return (MiB at the peak above rest, seconds) of reading a picture of 100 megapixels in a process of its own."""
    Image.linear_gradient("L").save(folder / "small.jpg")
    giant(mode).save(folder / f"giant.{ending}", **options)
    command = [sys.executable, "-c", READ, folder / f"giant.{ending}", folder / "small.jpg", str(size)]
    mebibytes, seconds = map(float, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    print(f"\n{mode} {ending} {options} at {size} px: {mebibytes:.0f} MiB above rest, {seconds:.2f} s")
    return mebibytes, seconds


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measured by Linux's /proc")


@needs_proc
def test_a_giant_jpeg_is_never_decoded_at_full_size(tmp_path):
    assert cost(tmp_path, "jpg", "RGB", {}, 224)[0] < 100


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("size", [224, 992])
@pytest.mark.parametrize(("ending", "mode", "options", "pixel_bytes"), FORMATS)
def test_a_giant_takes_hardly_more_than_its_decoded_pixels(tmp_path, ending, mode, options, pixel_bytes, size):
    decoded, kept = pixel_bytes * 100e6, 3 * (2 * size) ** 2
    assert cost(tmp_path, ending, mode, options, size)[0] < (1.1 * decoded + kept) / 2**20 + 16


@pytest.mark.slow
@needs_proc
def test_threads_keep_no_memory_of_pictures_that_they_decoded_before(tmp_path):
    Image.linear_gradient("L").save(tmp_path / "small.jpg")
    giant("RGB").resize((5000, 5000)).save(tmp_path / "large.png", compress_level=1)
    one, four = (read_in_threads(tmp_path, count)[0] for count in (1, 4))
    assert four < one + 48  # MiB: half of the decoded picture


@needs_proc
def test_the_block_size_of_the_environment_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PILLOW_BLOCK_SIZE", "8m")
    Image.linear_gradient("L").save(tmp_path / "small.jpg")
    Image.linear_gradient("L").save(tmp_path / "large.png")
    assert read_in_threads(tmp_path, 1)[1] == 8 << 20


def read_in_threads(folder, threads):
    """Return (MiB at the peak above rest, Pillow's block size) of reading large.png in one thread after the other."""
    command = [sys.executable, "-c", READ_IN_THREADS, folder / "large.png", folder / "small.jpg", str(threads)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    mebibytes, block_size = ended.stdout.split()
    return float(mebibytes), int(block_size)
