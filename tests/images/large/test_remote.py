"""Rasters of a web server on this machine."""

import http.server
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.open import open_large
from tests.images.large.files import smooth, write_raster


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Gives out parts of files, as remote stores do; `asked` counts the bytes."""

    asked: list[int]

    def do_GET(self):
        path = self.translate_path(self.path)
        try:
            content = Path(path).read_bytes()
        except OSError:
            self.send_error(404)
            return
        first, last = 0, len(content) - 1
        if (wanted := self.headers.get("Range")) is not None:
            first, last = (int(edge) if edge else len(content) - 1 for edge in wanted.removeprefix("bytes=").split("-"))
        part = content[first : last + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)
        self.asked.append(len(part))

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    Ranges.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(tmp_path))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_parts_of_a_remote_raster_are_read(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CPL_VSIL_CURL_CHUNK_SIZE", "16384")
    pixels = np.random.default_rng(0).integers(0, 256, (2048, 2048, 1), np.uint8)
    path = write_raster(tmp_path / "a.tif", pixels, 256, ())
    source = open_large(f"{server}/a.tif", Reading(16, 128))
    read = source.read((512, 512, 768, 768), 256, 256)
    np.testing.assert_array_equal(read[..., :1], pixels[512:768, 512:768])
    assert sum(Ranges.asked) < len((tmp_path / "a.tif").read_bytes()) / 2
    assert source.path == f"{server}/a.tif"
    assert path


def test_a_remote_raster_that_is_gone(server):
    with pytest.raises(PictureError, match=r"gone.tif' can't be read: .*; check the address, and that it may be read"):
        open_large(f"{server}/gone.tif", Reading(16, 128))


def test_a_remote_picture_that_is_no_raster_is_left_to_others(server, tmp_path):
    write_raster(tmp_path / "a.tif", smooth(64, 64), overviews=())
    assert open_large(f"{server}/a.jpg", Reading(16, 128)) is None
