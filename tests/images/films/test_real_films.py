"""Two films as cameras and studios make them."""

import os
from pathlib import Path

import pytest

from lookwhere_cli import load
from lookwhere_cli.images.films.describe import describe_film
from lookwhere_cli.images.films.frames import frames

FILMS = Path(os.environ.get("LOOKWHERE_SHARED", "/nowhere")) / "data" / "large"
pytestmark = pytest.mark.skipif(not FILMS.is_dir(), reason="LOOKWHERE_SHARED names no folder with these films")


def test_a_film_of_cars_has_a_frame_each_second_to_a_frames_exactness():
    path = str(FILMS / "cars.mp4")
    told = describe_film(path)
    assert (told.size, told.frames, told.rate, told.turned, told.varies) == ((432, 768), 377, 12.5, 0, False)
    moments = [one.moment for one in frames(path, every="1s")]
    assert len(moments) == 31 and moments[-1].time == 30.0 and moments[-1].frame == 375
    assert all(one.time == one.frame / 12.5 and 0 <= one.time - second < 0.08 for second, one in enumerate(moments))


def test_of_several_streams_the_best_one_is_looked_at():
    path = str(FILMS / "nasa.mp4")
    told = describe_film(path)
    assert len([stream for stream in told.streams if stream.startswith("video")]) == 2
    first, second, *_ = (one.moment for one in frames(path, every="1s"))
    assert (first.frame, second.frame) == (0, 30) and second.time == pytest.approx(30 * 1001 / 30000)
    assert told.size == next(frames(path)).size == (270, 480)


@pytest.mark.slow
@pytest.mark.parametrize("film", ["cars.mp4", "nasa.mp4"])
def test_using_maps_again_changes_only_labels_that_are_tied(film):
    path = str(FILMS / film)
    plain, again = (list(load(reuse=reuse, top=1000).classify(frames(path, "1s"))) for reuse in (None, "0.4%"))
    for before, after in zip(plain, again, strict=True):
        probabilities = {label.index: label.probability for label in after.labels}
        assert probabilities[before.labels[0].index] > after.labels[0].probability - 0.02
    assert sum(row.macs for row in again) < sum(row.macs for row in plain)
