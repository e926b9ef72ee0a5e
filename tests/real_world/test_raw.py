"""Camera RAW files are passed over in folders and counted; named, their previews are read or the package is named."""

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.kinds import RAW_EXTENSIONS
from tests.images.pictures import smooth

HEIGHT, WIDTH = 96, 160
RGB = smooth(HEIGHT, WIDTH)
READING = Reading(16, 1600)
ORIENTATION = 274


def dng(preview=RGB, orientation=1):
    """A DNG as cameras write it: a small thumbnail first, then the sensor's data and a JPEG preview."""
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    mosaic = RGB[..., 1].astype(np.uint16)
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = RGB[0::2, 0::2, 0], RGB[1::2, 1::2, 2]
    one, neutral = (10_000, 10_000), (1, 1, 1, 1, 1, 1)
    nothing = (0, 10_000)
    camera = [
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),
        (50707, "B", 4, bytes([1, 1, 0, 0]), True),
        (50708, "s", 0, "Test Camera", True),
        (271, "s", 0, "Test", True),
        (272, "s", 0, "Camera", True),
        (ORIENTATION, "H", 1, orientation, True),
        (50721, "2i", 9, (*one, *nothing, *nothing, *nothing, *one, *nothing, *nothing, *nothing, *one), True),
        (50728, "2I", 3, neutral, True),
        (50778, "H", 1, 21, True),
    ]
    sensor = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes([0, 1, 1, 2]), True),
        (50714, "H", 1, 0, True),
        (50717, "H", 1, 16_383, True),
    ]
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        inner = 1 + (preview is not None)
        writer.write(RGB[::8, ::8], photometric="rgb", subfiletype=1, extratags=camera, subifds=inner, metadata=None)
        writer.write(mosaic * 64, photometric=32803, metadata=None, extratags=sensor)
        if preview is not None:
            converted = np.asarray(Image.fromarray(preview).convert("YCbCr"))
            writer.write(converted, photometric="ycbcr", compression="jpeg", subfiletype=1, metadata=None)
    return stream.getvalue()


def directory(entries, place):
    """A TIFF directory of (tag, type, value), each a single number."""
    body = struct.pack("<H", len(entries))
    for tag, kind, value in sorted(entries):
        body += struct.pack("<HHII", tag, kind, 1, value)
    return body + struct.pack("<I", 0)


def nef():
    """Enough of a NEF to be taken for a small TIFF: a thumbnail of 8 x 8, and the sensor's data in a sub-directory."""
    thumbnail = [
        (256, 4, 8),
        (257, 4, 8),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (277, 3, 1),
        (278, 4, 8),
        (279, 4, 64),
    ]
    second = 8 + 2 + 12 * 10 + 4
    data = second + 2 + 12 * 3 + 4
    first = directory([*thumbnail, (273, 4, data), (330, 4, second)], 8)
    sensor = directory([(256, 4, 600), (257, 4, 400), (262, 3, 32803)], second)
    return b"II*\0" + struct.pack("<I", 8) + first + sensor + bytes(64)


STARTS = {
    "a.cr2": b"II*\0\x10\0\0\0CR\x02\0" + bytes(200),
    "a.cr3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(200),
    "a.raf": b"FUJIFILMCCD-RAW 0201FF129502" + bytes(200),
    "a.orf": b"IIRO\x08\0\0\0" + bytes(200),
    "a.rw2": b"IIU\0\x18\0\0\0" + bytes(200),
    "a.x3f": b"FOVb\0\0\3\0" + bytes(200),
    "a.nef": nef(),
}


def message_for(path):
    with pytest.raises(PictureError) as caught:
        decode_file(path, READING)
    return str(caught.value)


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("ending", ["", ".jpg"])
def test_a_raw_file_is_never_taken_for_its_thumbnail(tmp_path, monkeypatch, name, ending):
    """Whatever it is called: content decides."""
    monkeypatch.setitem(sys.modules, "rawpy", None)
    path = tmp_path / (name + ending)
    path.write_bytes(STARTS[name])
    assert message_for(path) == (
        f"{str(path)!r} is a camera RAW file; give the JPEG that the camera saved with it, or install what reads its "
        "preview: pip install 'lookwhere[raw]'."
    )


@pytest.mark.parametrize("name", STARTS)
def test_a_raw_file_that_can_not_be_read_gets_a_sentence(tmp_path, name):
    pytest.importorskip("rawpy")
    (tmp_path / name).write_bytes(STARTS[name])
    assert "is a camera RAW file that rawpy can't read (" in message_for(tmp_path / name)


def test_the_full_size_preview_is_read(tmp_path):
    pytest.importorskip("rawpy")
    (tmp_path / "a.dng").write_bytes(dng())
    decoded = decode_file(tmp_path / "a.dng", READING)
    assert decoded.size == (HEIGHT, WIDTH)
    assert decoded.notes == ("preview of a camera RAW file",)
    assert np.abs(decoded.pixels.astype(int) - RGB).mean() < 4


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("has_preview", [True, False])
def test_a_raw_file_is_read_as_displayed(tmp_path, orientation, has_preview):
    pytest.importorskip("rawpy")
    (tmp_path / "a.dng").write_bytes(dng(RGB if has_preview else None, orientation))
    decoded = decode_file(tmp_path / "a.dng", READING)
    upright = Image.fromarray(RGB)
    upright.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(upright)).astype(float)
    assert decoded.size == expected.shape[:2]
    assert np.corrcoef(decoded.pixels[8:-8, 8:-8].ravel(), expected[8:-8, 8:-8].ravel())[0, 1] > 0.9


def test_a_picture_without_a_preview_is_developed(tmp_path):
    pytest.importorskip("rawpy")
    (tmp_path / "a.dng").write_bytes(dng(preview=None))
    decoded = decode_file(tmp_path / "a.dng", READING)
    assert (decoded.size, decoded.notes) == ((HEIGHT, WIDTH), ("camera RAW, developed",))


@pytest.fixture
def shoot(tmp_path):
    for name in ("IMG_1.NEF", "IMG_1.JPG", "IMG_2.dng", "more/IMG_3.CR3", "scan.jxl", "mri.dcm"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(nef())
    Image.fromarray(RGB).save(tmp_path / "IMG_1.JPG")
    return tmp_path


def test_folders_pass_over_raw_files_and_count_them(shoot):
    found = find_pictures([str(shoot)])
    assert [Path(path).name for path in found] == ["IMG_1.JPG"]
    assert found.notes == (
        "Passed over: 3 camera RAW files (name them to have their previews read), 1 DICOM file, 1 JPEG XL file.",
    )


def test_raw_files_that_are_named_are_taken(shoot):
    names = [str(shoot / "IMG_1.NEF"), str(shoot / "IMG_2.dng")]
    assert (find_pictures(names), find_pictures(names).notes) == (names, ())
    assert find_pictures([str(shoot), *names]) == [str(shoot / "IMG_1.JPG"), *names]
    assert find_pictures([str(shoot / "**" / "*.CR3")]) == [str(shoot / "more" / "IMG_3.CR3")]
    assert find_pictures([str(shoot / "IMG_*")]) == [str(shoot / "IMG_1.JPG")]


def test_a_folder_of_raw_files_alone_says_so(shoot):
    with pytest.raises(UsageError, match=r"There is no picture in the folder '.*'\. Passed over: 1 camera RAW file "):
        find_pictures([str(shoot / "more")])


def test_the_note_is_printed_once(shoot, lookwhere):
    ran = lookwhere("classify", shoot, "--format", "jsonl")
    assert (ran.code, ran.out.count("\n")) == (0, 1)
    assert ran.err.count("Passed over: 3 camera RAW files") == 1
    assert lookwhere("classify", shoot, "--format", "jsonl", "-q").err == ""


def test_endings_are_in_lower_case_with_a_dot():
    assert all(ending == ending.lower() and ending[0] == "." for ending in RAW_EXTENSIONS)
