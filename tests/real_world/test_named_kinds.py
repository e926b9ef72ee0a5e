"""Files that are not pictures, or not of a kind that is read, are named for what they are."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from lookwhere_cli.errors import OutputError, PictureError
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.output import arrays
from lookwhere_cli.output.rows import Row

KINDS = {
    "a.jxl": (b"\xff\x0a" + b"x" * 200, "is JPEG XL, which is not read; convert it"),
    "b.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n" + b"x" * 100, "is JPEG XL, which is not read; convert it"),
    "a.dcm": (bytes(128) + b"DICM" + b"x" * 50, "is DICOM, which is not read; save it as PNG"),
    "lfs.jpg": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "is a Git LFS pointer, not the file itself",
    ),
    "a.pdf": (b"%PDF-1.7\n" + b"x" * 100, "is a PDF document; save its pages"),
    "a.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is PostScript, which is never run"),
    "a.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is SVG, a drawing; render it"),
    "b.svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "is SVG, a drawing; render it"),
    "404.jpg": (b"<!DOCTYPE html><html>404</html>", "is a web page, not a picture; download"),
    "a.mp4": (
        b"\0\0\0\x18ftypmp42" + b"x" * 80,
        "is a film; classify, detect, segment, features and explain read the frames",
    ),
    "a.mkv": (
        b"\x1a\x45\xdf\xa3" + b"x" * 80,
        "is a film; classify, detect, segment, features and explain read the frames",
    ),
    "a.exr": (b"\x76\x2f\x31\x01" + b"x" * 80, "is OpenEXR, which is not read"),
    "a.hdr": (b"#?RADIANCE\n" + b"x" * 80, "is Radiance HDR, which is not read"),
    "a.fits": (b"SIMPLE  =                    T" + b" " * 80, "is FITS, which is not read"),
    "a.npy": (b"\x93NUMPY\x01\0" + b"x" * 80, "is a NumPy file; give the array"),
    "a.zip": (b"PK\x03\x04" + b"x" * 80, "is an archive; unpack it"),
}


@pytest.mark.parametrize("name", KINDS)
def test_other_kinds_are_named(tmp_path, name):
    content, sentence = KINDS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError) as caught:
        decode_file(tmp_path / name, Reading(16, 224))
    assert str(caught.value).startswith(f"{str(tmp_path / name)!r} {sentence}")


def test_an_address_is_not_a_missing_file():
    with pytest.raises(PictureError, match=r"^'https://example.com/a.jpg' is an address on the web, not a file"):
        decode_file("https://example.com/a.jpg", Reading(16, 224))


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
    ],
)
def test_a_full_folder_for_temporary_files_is_named_where_pictures_are_decoded(tmp_path, monkeypatch, failure):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")

    def load(self):
        raise failure

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    monkeypatch.setattr("tempfile.tempdir", "/full")
    with pytest.raises(PictureError, match=r"a.png' needs a temporary file, and '/full' is full; set TMPDIR"):
        decode_file(tmp_path / "a.png", Reading(16, 224))


class Full:
    """A temporary file on a full disk, which fails when it is written to or when its buffer is."""

    def __init__(self, when):
        self.when = when

    def write(self, data):
        if self.when == "write":
            raise OSError(errno.ENOSPC, "No space left on device")

    def seek(self, place):
        raise OSError(errno.ENOSPC, "No space left on device")

    def tell(self):
        return 8


@pytest.mark.parametrize("when", ["write", "seek"])
def test_a_full_folder_for_temporary_files_is_named_where_features_are_written(tmp_path, monkeypatch, when):
    monkeypatch.setattr(arrays, "TemporaryFile", lambda: Full(when))
    monkeypatch.setattr("tempfile.tempdir", "/full")
    with (tmp_path / "a.safetensors").open("wb") as stream:
        writer = arrays.SafetensorsWriter(stream)
        with pytest.raises(OutputError, match=r"temporary file in '/full' failed: No space left .* TMPDIR"):
            writer.write(Row("a.png", grid=(1, 1)), {"cls": np.zeros(2, np.float32)})
            writer.close()


def test_folders_that_may_not_be_read_are_counted(tmp_path, monkeypatch, lookwhere):
    for folder in ("a", "b", "shut", "shut too"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (40, 40)).save(tmp_path / folder / "x.png")
    scan = os.scandir

    def scandir(path):
        if "shut" in Path(path).name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_pictures([str(tmp_path)])
    assert [Path(path).parent.name for path in found] == ["a", "b"]
    shut = ", ".join(repr(str(tmp_path / name)) for name in ("shut", "shut too"))
    assert found.notes == (f"Passed over: 2 folders that may not be read ({shut}).",)
    ran = lookwhere("classify", tmp_path, "--format", "jsonl")
    assert (ran.code, ran.out.count("\n")) == (0, 2)
    assert "Passed over: 2 folders that may not be read" in " ".join(ran.err.split())
