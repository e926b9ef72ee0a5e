"""Passes over pictures: what is said does not depend on what shares a batch, and sizes of equal cost are equal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.loading import load
from lookwhere_cli.metrics import passes
from lookwhere_cli.metrics.choosers import CHOOSERS
from lookwhere_cli.metrics.passes import (
    Look,
    Measured,
    Read,
    at_size,
    lap,
    mean_macs,
    median_seconds,
    probabilities,
    run,
    size_of_equal_macs,
)
from lookwhere_cli.predictor import Predictor

SHAPES = [(40, 60), (60, 40), (50, 50), (30, 90)]


def said(predictor, looks, paths):
    return [torch.stack(one.outcomes) for one in run(predictor, looks, probabilities, paths)]


def test_the_selectors_pass_says_what_classify_says(model_folder: Path, photos: Path) -> None:
    predictor, paths = load(str(model_folder), k=0.25), find_pictures([str(photos)])
    answers = said(predictor, [Look("selector", 0.25), Look("selector", 1.0)], paths)
    for answer, row in zip(answers, predictor.classify(paths), strict=True):
        for label in row.labels:
            assert float(answer[0, label.index]) == pytest.approx(label.probability, abs=1e-5)
        assert (answer[0] != answer[1]).any()


def test_nothing_depends_on_what_shares_a_batch(model_folder: Path, photos: Path) -> None:
    looks, paths = [Look(by, 5) for by in CHOOSERS], find_pictures([str(photos)])
    together = said(load(str(model_folder), batch_size=5), looks, paths)
    alone = said(load(str(model_folder), batch_size=1), looks, paths[::-1])[::-1]
    assert torch.allclose(torch.stack(together), torch.stack(alone), atol=1e-5)
    assert len(torch.stack(together)[0].unique(dim=0)) == len(CHOOSERS)


def test_what_is_read_coarsely_comes_with_every_look(
    model_folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = find_pictures([str(photos)])
    looks = [Look("selector", 0.25), Look("random", 0.25)]
    plain = said(load(str(model_folder)), looks, paths)
    together = said(load(str(model_folder), coarse=16), looks, paths)
    monkeypatch.setattr(passes, "TOKENS", 1)
    parts = said(load(str(model_folder), coarse=16, batch_size=1), looks, paths)
    assert torch.allclose(torch.stack(together), torch.stack(parts), atol=1e-5)
    assert (torch.stack(plain) != torch.stack(together)).any(dim=2).all()
    for answer, row in zip(together, load(str(model_folder), k=0.25, coarse=16).classify(paths), strict=True):
        for label in row.labels:
            assert float(answer[0, label.index]) == pytest.approx(label.probability, abs=1e-5)


def test_a_smaller_picture_is_read_by_its_cells_alone(model_folder: Path) -> None:
    assert at_size(load(str(model_folder), coarse=16), 20).reading.coarse_size == 0


def test_a_picture_that_cant_be_read_is_a_sentence_in_its_place(model_folder: Path, photos: Path) -> None:
    predictor = load(str(model_folder))
    found = list(run(predictor, [Look("selector", 1.0)], probabilities, [str(photos / "0.png"), "none.png"]))
    assert isinstance(found[0], Measured)
    assert found[0].size == (40, 60)
    assert isinstance(found[1], str)
    assert "none.png" in found[1]


@pytest.mark.parametrize("k", [0.1, 0.25, 0.5, 7])
def test_a_smaller_picture_of_equal_macs(model_folder: Path, k: float) -> None:
    predictor = load(str(model_folder))
    wanted = mean_macs(predictor, k, SHAPES)
    size = size_of_equal_macs(predictor, wanted, SHAPES)
    every = {side: mean_macs(at_size(predictor, side), 1.0, SHAPES) for side in range(4, 25, 4)}
    ratios = {side: max(spent / wanted, wanted / spent) for side, spent in every.items()}
    assert ratios[size] == min(ratios.values())
    assert at_size(predictor, size).reading.size == size


def test_mean_macs_are_the_mean_of_the_rows(model_folder: Path, photos: Path) -> None:
    predictor = load(str(model_folder), k=0.25)
    rows = list(predictor.classify(find_pictures([str(photos)])))
    sizes = [(row.height, row.width) for row in rows]
    assert mean_macs(predictor, 0.25, sizes) == pytest.approx(sum(row.macs for row in rows) / len(rows))


def test_laps_take_turns_and_the_first_is_not_counted() -> None:
    heard: list[tuple[str, str]] = []

    def lap_of(name: str, seconds: list[float]):
        def one(path: str) -> float:
            heard.append((name, path))
            return seconds.pop(0)

        return one

    laps = [lap_of("a", [100, 1, 2, 3, 4]), None, lap_of("b", [100, 5, 5, 5, 7])]
    assert median_seconds(laps, ["x", "y"]) == [2.5, None, 5]
    assert heard == [*[("a", "x"), ("b", "x")] * 3, *[("a", "y"), ("b", "y")] * 2]
    assert median_seconds(laps, []) == [None, None, None]


def test_a_lap_is_of_the_time_that_it_takes(model_folder: Path, photos: Path) -> None:
    for coarse in (0, 16):
        predictor = load(str(model_folder), coarse=coarse)
        assert 0 < lap(predictor, Look("selector", 0.25), probabilities, str(photos / "0.png")) < 10


def test_a_lap_reads_what_classify_reads(model_folder: Path, photos: Path) -> None:
    predictor, given = load(str(model_folder), k=0.25, coarse=16), []

    def answer(predictor: Predictor, read: Read) -> list[torch.Tensor]:
        given.extend(probabilities(predictor, read))
        return given

    with torch.inference_mode():
        lap(predictor, Look("selector", 0.25), answer, str(photos / "0.png"))
    for label in predictor.classify(photos / "0.png").labels:
        assert float(given[0][label.index]) == pytest.approx(label.probability, abs=1e-5)
