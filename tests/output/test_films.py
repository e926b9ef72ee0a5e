"""Films that are written: their frames, times, colours and sides; and nothing that is half written."""

import errno
import io
from fractions import Fraction

import av
import numpy as np
import pytest

from lookwhere_cli.images.films.describe import describe_film
from lookwhere_cli.images.films.frames import frames
from lookwhere_cli.output.films import FILM_ENDINGS, FilmWriter
from tests.images.films.made import picture, red_of


def write(path, times, size=(48, 64), rate=25):
    with path.open("wb") as stream:
        writer = FilmWriter(stream, path.suffix, Fraction(rate))
        for number, time in enumerate(times):
            writer.write(picture(3 * number, size), time)
        writer.close()
    return str(path)


@pytest.mark.parametrize("ending", FILM_ENDINGS)
def test_what_is_written_is_read_again(ending, tmp_path):
    times = [number / 25 for number in range(12)]
    path = write(tmp_path / f"made{ending}", times)
    read = list(frames(path, "1f"))
    assert [one.moment.time for one in read] == pytest.approx(times, abs=0.001)
    assert [round(red_of(one.pixels) / 3) for one in read] == list(range(12))
    difference = np.abs(read[3].pixels.astype(int) - picture(9))
    assert np.median(difference) <= 5  # the space and range of the colours are those that the film names
    assert describe_film(path).rate == pytest.approx(25, rel=0.02)
    assert describe_film(path).seconds == pytest.approx(0.48, abs=0.05)


def test_odd_sides_grow_and_other_sizes_are_resized(tmp_path):
    path = write(tmp_path / "odd.mp4", [0, 0.1], size=(47, 63))
    assert next(frames(path)).size == (48, 64)
    with (tmp_path / "two.mp4").open("wb") as stream:
        writer = FilmWriter(stream, ".mp4", Fraction(10))
        writer.write(picture(0), 0.0)
        writer.write(picture(1, (96, 128)), 0.1)
        writer.close()
    assert [one.size for one in frames(tmp_path / "two.mp4", "1f")] == [(48, 64)] * 2


def test_frames_of_a_variable_rate_keep_their_times(tmp_path):
    times = [0.0, 0.04, 0.5, 0.54, 2.0]
    path = write(tmp_path / "varies.mp4", times)
    assert [one.moment.time for one in frames(path, "1f")] == pytest.approx(times, abs=0.001)


def test_without_h264_it_is_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    path = write(tmp_path / "old.mp4", [0, 0.04, 0.08])
    assert describe_film(path).coding == "mpeg4" and len(list(frames(path, "1f"))) == 3


class FullDisk(io.BytesIO):
    def write(self, content):
        if self.tell() > 2000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(content)


def test_a_full_disk_is_an_error_of_the_system():
    noise = np.random.default_rng(0).integers(0, 256, (2, 240, 320, 3), dtype=np.uint8)
    with pytest.raises(OSError) as error:
        writer = FilmWriter(FullDisk(), ".mp4", Fraction(25))
        for number in range(30):
            writer.write(noise[number % 2], number / 25)
        writer.close()
    assert error.value.errno == errno.ENOSPC
