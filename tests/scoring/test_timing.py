"""Times: what is timed is what `classify` does, and all take turns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lookwhere_cli.amounts import Amount
from lookwhere_cli.loading import load
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.scoring import timing
from lookwhere_cli.scoring.timing import answer_seconds, median_seconds, open_seconds, sample_evenly
from lookwhere_cli.scoring.variants import with_looks
from tests.evaluation.models import FULL, save


def test_laps_take_turns_and_the_first_is_not_counted() -> None:
    calls: list[tuple[str, str]] = []

    def lap_of(name: str, seconds: list[float]) -> Callable[[str], float]:
        def lap(path: str) -> float:
            calls.append((name, path))
            return seconds.pop(0)

        return lap

    laps = [lap_of("a", [100, 1, 2, 3, 4]), None, lap_of("b", [100, 5, 5, 5, 7])]
    assert median_seconds(laps, ["x", "y"]) == [2.5, None, 5]
    assert calls == [*[("a", "x"), ("b", "x")] * 3, *[("a", "y"), ("b", "y")] * 2]
    assert median_seconds(laps, []) == [None, None, None]


@pytest.mark.parametrize("coarse", [0, 16])
def test_the_timed_answer_is_that_of_classify(
    model_folder: Path, photos: Path, coarse: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = load(str(model_folder), k=0.25, coarse=coarse)
    pipeline = predictor.pipeline
    outputs = []
    decode = type(pipeline.head).decode
    monkeypatch.setattr(
        type(pipeline.head), "decode", lambda own, output, view: outputs.append(output) or decode(own, output, view)
    )
    for timed in (pipeline, with_looks(pipeline, [Amount.share(0.125), Amount.share(0.25)])):
        assert 0 < answer_seconds(timed, str(photos / "0.png")) < 10
    predictor.classify(photos / "0.png")
    fixed, looks, expected = outputs
    assert np.allclose(fixed, expected, atol=1e-5) and np.allclose(looks, expected, atol=1e-5)


def test_opening_is_not_counted(model_folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that ticks once for each opened picture shows what a time includes."""
    pipeline, ticks = load(str(model_folder)).pipeline, [0.0]
    open_picture = type(pipeline.reader).open

    def slow(own, picture):
        ticks[0] += 1
        return open_picture(own, picture)

    monkeypatch.setattr(type(pipeline.reader), "open", slow)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: ticks[0])
    assert answer_seconds(pipeline, str(photos / "0.png")) == 0
    assert open_seconds(pipeline, str(photos / "0.png")) == 1


def test_no_thumbnail_is_made_for_a_model_without_a_selector(
    tmp_path: Path, photos: Path, cascade_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    thumbnail = PictureReader.thumbnail
    monkeypatch.setattr(PictureReader, "thumbnail", lambda own, view: made.append(own) or thumbnail(own, view))
    full, grids = load(save(tmp_path / "full", FULL)).pipeline, load(str(cascade_folder)).pipeline
    for pipeline in (full, grids):
        answer_seconds(pipeline, str(photos / "0.png"))
    assert made == [grids.reader]  # a cascade over grids reads the whole picture as its thumbnail


def test_samples_are_even() -> None:
    assert sample_evenly(list("abcdefgh"), 3) == ["a", "c", "f"]
    assert sample_evenly(list("ab"), 3) == ["a", "b"]
    assert sample_evenly([], 3) == []
