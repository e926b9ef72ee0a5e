"""Frames of films: which ones, when, in which colours, which way up; and what damaged films say."""

import os
import shutil
import subprocess
import sys
import threading
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lookwhere_cli
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.films import container
from lookwhere_cli.images.films.describe import describe_film
from lookwhere_cli.images.films.every import Every
from lookwhere_cli.images.films.frames import FilmFrame, LostFrames, frame_at, frames
from lookwhere_cli.images.films.names import is_film
from lookwhere_cli.images.films.pictures import PicturesAndFrames
from lookwhere_cli.images.films.upright import degrees, turn_by
from lookwhere_cli.images.orientation import TURNS
from tests.images.films.made import BT601, BT709, FULL, LIMITED, film, picture, red_of, song, without_samples


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Two seconds at 25 frames a second."""
    return film(tmp_path_factory.mktemp("films") / "plain.mp4")


def moments(path, every):
    return [(round(one.moment.time, 6), one.moment.frame) for one in frames(path, every)]


def test_each_second_each_tenth_and_all(plain):
    assert moments(plain, "1s") == [(0.0, 0), (1.0, 25)]
    assert moments(plain, "0.5s") == [(0.0, 0), (0.52, 13), (1.0, 25), (1.52, 38)]
    assert moments(plain, "20f") == [(0.0, 0), (0.8, 20), (1.6, 40)]
    assert moments(plain, "1f") == [(round(number / 25, 6), number) for number in range(50)]


def test_the_number_is_that_of_the_pixels(plain):
    assert [(one.moment.frame, red_of(one.pixels)) for one in frames(plain, "7f")] == [
        (number, number) for number in range(0, 50, 7)
    ]


@pytest.mark.parametrize("text", ["", "1", "s", "0s", "0f", "1.5f", "-1s", "1m", "nans", "1 2s", "1e3s"])
def test_another_every_is_wrong_use(text, plain):
    with pytest.raises(UsageError, match=r"write 1s or 0\.5s"):
        frames(plain, text)


@given(st.fractions(Fraction(1, 50), 3), st.lists(st.integers(1, 900), min_size=1, max_size=60))
def test_one_frame_in_each_interval(seconds, steps):
    """Of the frames in an interval that has any, exactly the first is looked at, whatever the rate."""
    times = [Fraction(sum(steps[:number]), 100) for number in range(len(steps))]
    wanted = Every(seconds=seconds).wanted(tick=Fraction(0))
    taken = [time for number, time in enumerate(times) if wanted(number, time)]
    first = {}
    for time in times:
        first.setdefault(time // seconds, time)
    assert taken == list(first.values())


def test_times_that_were_rounded_down_are_meant_to_be_whole(tmp_path):
    times = [number * 1000 // 3 for number in range(10)]  # three frames a second, in milliseconds
    path = film(tmp_path / "thirds.mkv", frames=10, rate=3, times=times)
    assert [frame for _, frame in moments(path, "1s")] == [0, 3, 6, 9]


def test_frames_of_a_variable_rate_have_their_own_times(tmp_path):
    times = [0, 40, 80, 700, 710, 1500, 1540, 3900]
    path = film(tmp_path / "varies.mp4", frames=8, times=times)
    every = list(frames(path, "1f"))
    assert [round(1000 * one.moment.time) for one in every] == times
    assert all("variable frame rate" in one.notes for one in every)
    assert moments(path, "1s") == [(0.0, 0), (1.5, 5), (3.9, 7)]
    assert describe_film(path).varies and not describe_film(film(tmp_path / "even.mp4")).varies


@pytest.mark.parametrize("colour", [(BT601, LIMITED), (BT601, FULL), (BT709, LIMITED), (BT709, FULL)])
def test_colours_are_those_of_the_range_and_the_space(colour, tmp_path):
    one = next(frames(film(tmp_path / "colour.mp4", frames=1, colour=colour, draw=lambda _, size: picture(40, size))))
    difference = np.abs(one.pixels.astype(int) - picture(40))
    assert np.median(difference) <= 2 and np.percentile(difference, 90) <= 6


@pytest.mark.parametrize(
    ("turned", "flip"), [(0, False), (90, False), (180, False), (-90, False), (0, True), (90, True)]
)
def test_frames_are_upright(turned, flip, tmp_path):
    """As FFmpeg's own turning of the frame has it: to the left by `turned` degrees, then mirrored."""
    path = film(tmp_path / "turned.mp4", frames=3, turned=turned, flip=flip)
    one = next(frames(path))
    expected = np.rot90(picture(0), turned // 90)
    expected = expected[:, ::-1] if flip else expected
    assert one.size == expected.shape[:2] == describe_film(path).size
    assert np.median(np.abs(one.pixels.astype(int) - expected)) <= 3
    if turned and not flip:
        assert any(note.startswith("turned by") for note in one.notes)


@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [
        ((1, 0, 0, 1), 1),
        ((-1, 0, 0, 1), 2),
        ((-1, 0, 0, -1), 3),
        ((1, 0, 0, -1), 4),
        ((0, 1, 1, 0), 5),
        ((0, 1, -1, 0), 6),
        ((0, -1, -1, 0), 7),
        ((0, -1, 1, 0), 8),
    ],
)
def test_display_matrices_are_the_eight_orientations(matrix, orientation):
    right, down, right_of_row, down_of_row = (65536 * value for value in matrix)
    turn = turn_by((right, down, 0, right_of_row, down_of_row, 0, 0, 0, 1 << 30))
    assert turn == TURNS[orientation]
    assert degrees(turn) == {1: 0, 2: 0, 3: 180, 4: 180, 5: 270, 6: 90, 7: 90, 8: 270}[orientation]


def test_pixels_are_made_square(tmp_path):
    path = film(tmp_path / "wide.mp4", frames=2, shape=Fraction(3, 2))
    one = next(frames(path))
    assert one.size == describe_film(path).size == (48, 96) and "pixels made square" in one.notes


def test_frames_are_read_like_any_picture(plain):
    one = next(frames(plain))
    assert one.path == plain and one.nbytes == 48 * 64 * 3
    assert (one.read((0, 0, 32, 24), 12, 16)[..., 1] > 150).mean() > 0.8
    assert one.read_cells((0, 0, 64, 48), (6, 8), 8, np.array([0, 47])).shape == (2, 8, 8, 3)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.mp4", b"http:x.mp4", b"concat:a|b.mp4", b"-x.mp4", b"a\nb.mp4", b"%03d.mp4"]
)
def test_names_are_names_whatever_they_look_like(name, plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(plain, os.fsdecode(name))
    assert moments(os.fsdecode(name), "1s") == [(0.0, 0), (1.0, 25)]


def test_a_playlist_does_not_reach_the_network(tmp_path):
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    assert "not a film of a known format" in only_sentence(tmp_path / "list.mp4")


def only_sentence(path, **options):
    (one,) = frames(path, **options)
    assert isinstance(one, LostFrames)
    with pytest.raises(PictureError) as error:
        one.read((0, 0, 1, 1), 1, 1)
    assert str(path) in str(error.value).replace("\\\\", "\\") and str(error.value).endswith(".")
    return str(error.value)


def test_what_is_no_film_is_a_sentence(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no film at all " * 100)
    (tmp_path / "folder.mp4").mkdir()
    assert "is empty (0 bytes)" in only_sentence(tmp_path / "empty.mp4")
    assert "not a film of a known format" in only_sentence(tmp_path / "text.mp4")
    assert "is not there" in only_sentence(tmp_path / "missing.mp4")
    assert "folder.mp4" in only_sentence(tmp_path / "folder.mp4")
    assert "has no moving pictures, only audio" in only_sentence(song(tmp_path / "song.mp4"))


def test_a_film_without_frames_is_a_sentence(tmp_path):
    film(tmp_path / "none.mp4", frames=1)
    assert "holds no frame" in only_sentence(without_samples(tmp_path / "none.mp4"))


def test_a_cut_film_has_its_frames_and_an_error(tmp_path):
    path = tmp_path / "cut.mp4"
    film(path, draw=_noise)
    content = path.read_bytes()
    if content.index(b"moov") > content.index(b"mdat"):  # its table of contents is lost with the end
        path.write_bytes(content[: len(content) // 2])
        assert "damaged or cut" in only_sentence(path)
    path = tmp_path / "cut.mkv"
    film(path, draw=_noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    *whole, last = frames(path, "1f")
    assert 5 < len(whole) < 45 and isinstance(last, LostFrames)
    assert [one.moment.frame for one in whole] == list(range(len(whole)))
    assert "cut" in last.sentence or "damaged" in last.sentence


def test_damage_in_the_midst_is_an_error_and_the_rest_goes_on(tmp_path):
    path = tmp_path / "damaged.mp4"
    film(path, draw=_noise)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + (len(content) - 2000) // 2
    content[start : start + 1500] = bytes(1500)
    path.write_bytes(content)
    every = list(frames(path, "1f"))
    lost = [place for place, one in enumerate(every) if isinstance(one, LostFrames)]
    assert lost and 0 < lost[0] < len(every) - 1
    assert "damaged after" in every[lost[0]].sentence
    after = [one for one in every[lost[0] + 1 :] if isinstance(one, FilmFrame)]
    assert after[-1].moment.frame == 49  # the numbers of what is missing are not given to others
    assert all(round(25 * one.moment.time) == one.moment.frame for one in every if isinstance(one, FilmFrame))


def _noise(number, size):
    return np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)


def test_one_frame_by_time_or_number(plain):
    assert frame_at(plain, "0.5s").moment.frame == 12  # shown until 0.52 s
    assert frame_at(plain, "0.52s").moment.frame == 13
    assert frame_at(plain, "31f").moment.frame == 31 and frame_at(plain, "0s").moment.frame == 0
    assert frame_at(plain, "1.99s").moment.frame == 49
    for one in frames(plain, "24f"):  # the time that a row has names its frame
        assert frame_at(plain, f"{one.moment.time:.6f}s").moment == one.moment
    for moment in ("50f", "2.5s"):
        with pytest.raises(PictureError, match=r"ends before that: it has 50 frames, 2\.0 s"):
            frame_at(plain, moment)
    with pytest.raises(UsageError, match="write a time"):
        frame_at(plain, "noon")


def test_a_film_is_described(tmp_path, plain):
    told = describe_film(plain)
    assert (told.size, told.frames, told.rate, told.seconds, told.turned) == ((48, 64), 50, 25.0, 2.0, 0)
    assert told.coding == "h264" and told.streams == ("video h264, 64 x 48",)
    assert describe_film(film(tmp_path / "t.mp4", frames=2, turned=-90)).turned == 90
    with pytest.raises(PictureError, match="no moving pictures"):
        describe_film(song(tmp_path / "s.mp4"))


def test_without_the_extra_a_film_is_a_sentence(plain, monkeypatch):
    monkeypatch.setattr(container, "can_read_films", lambda: False)
    (one,) = PicturesAndFrames([plain], Every.parse("1s"))
    assert one.sentence == f"{plain!r} is a film, whose frames need one more package: pip install 'lookwhere[video]'."


def test_pictures_and_frames_are_counted(plain, tmp_path):
    pictures = PicturesAndFrames(["a.png", plain, "b.png"], Every.parse("0.5s"))
    assert len(pictures) == 6
    drawn = list(pictures)
    assert drawn[0] == "a.png" and drawn[-1] == "b.png" and len(drawn) == len(pictures) == 6
    few = PicturesAndFrames([plain, "b.png"], Every.parse("1f"), limit=3, skip=lambda one: one.moment.frame == 1)
    assert [one.moment.frame for one in few] == [0, 2, 3] and (few.skipped, len(few)) == (1, 3)


def test_frames_that_are_not_drawn_are_not_decoded_and_no_thread_stays(plain):
    before = threading.active_count()
    some = frames(plain, "1f")
    assert next(some).moment.frame == 0
    some.close()
    assert threading.active_count() == before


def test_a_process_ends_while_a_film_is_open(tmp_path):
    path = film(tmp_path / "long.mp4", frames=400)
    script = (
        "from lookwhere_cli.images.films.frames import frames\n"
        f"some = [frames({path!r}, every) for every in ('1f', '9999s')]\n"
        "print([next(one).moment.frame for one in some])\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout == "[0, 0]\n" and ran.stderr == ""


def test_python_has_frames():
    assert lookwhere_cli.frames is frames and "frames" in lookwhere_cli.__all__


def test_a_picture_without_an_ending_is_no_film(tmp_path):
    """Byte 188 of one GIF in 256 is that with which packets of a transport stream begin, as does every GIF."""
    content = bytearray(b"GIF89a" + bytes(range(256)))
    content[188] = 0x47
    (tmp_path / "picture").write_bytes(content)
    assert not is_film(str(tmp_path / "picture"))
