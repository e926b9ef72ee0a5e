"""Maps that are used again: for which frames, at what cost, and never for other pictures."""

import pickle

import numpy as np
import pytest

from lookwhere_cli import load
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.films.frames import FilmFrame
from lookwhere_cli.images.source import FilmMoment
from lookwhere_cli.macs.passes import count_selector
from lookwhere_cli.strategies.base import REUSED


def frame(number, brightness, path="made.mp4"):
    """A frame of which all of the right half is as bright as is said, with some noise that stays."""
    pixels = np.random.default_rng(0).integers(0, 30, (48, 48, 3), dtype=np.uint8)
    pixels[:, 24:] += np.uint8(brightness)
    return FilmFrame(pixels, path, FilmMoment(number / 25, number))


def rows_of(predictor, frames):
    return list(predictor.classify(iter(frames)))


def reused(rows):
    return [REUSED in (row.note or "") for row in rows]


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_frames_that_hardly_differ_have_the_map_of_the_first(batch, model_folder):
    """Differences are measured from the frame for which the selector ran, so that slow changes add up."""
    predictor = load(str(model_folder), reuse="2%", batch_size=batch)
    rows = rows_of(predictor, [frame(number, 4 * number) for number in range(6)])
    assert reused(rows) == [False, True, True, False, True, True]  # 4 of 255 on half of the picture are 0.8 %
    assert rows[1].cells == rows[0].cells and rows[4].cells == rows[3].cells
    selector = count_selector(predictor.config, predictor.pipeline.strategy.thumbnail_grid(rows[0].grid))
    assert {rows[0].macs - row.macs for row in rows} == {0, selector}
    assert [row.frame for row in rows] == list(range(6))


def test_the_answer_is_that_of_the_earlier_cells_on_the_new_pixels(model_folder):
    frames = [frame(0, 0), frame(1, 3)]
    plain = rows_of(load(str(model_folder)), frames)
    again = rows_of(load(str(model_folder), reuse=0.02), frames)
    probabilities = [[label.probability for label in rows[0].labels] for rows in (plain, again)]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-5) and reused(again) == [False, True]
    assert again[1].labels[0].probability != pytest.approx(again[0].labels[0].probability, abs=1e-5)


def test_only_frames_of_the_same_film_in_their_order_are_alike(model_folder):
    predictor = load(str(model_folder), reuse="2%")
    still = frame(0, 0).pixels
    assert reused(rows_of(predictor, [still, still, frame(0, 0), frame(0, 0, "other.mp4"), frame(1, 0)])) == [False] * 5
    assert reused(rows_of(predictor, [frame(0, 0), frame(1, 0)])) == [False, True]
    assert reused(rows_of(predictor, [frame(0, 0), frame(1, 0)])) == [False, True]  # a film that is read once more


def test_without_the_option_the_selector_runs_for_every_frame(model_folder):
    rows = rows_of(load(str(model_folder)), [frame(0, 0), frame(1, 0)])
    assert reused(rows) == [False, False] and rows[0].macs == rows[1].macs


def test_features_cost_less_too(model_folder):
    predictor = load(str(model_folder), reuse="2%")
    first, second = predictor.features([frame(0, 0), frame(1, 0)])
    assert second.row.macs < first.row.macs and REUSED in second.row.note
    np.testing.assert_array_equal(first.scores, second.scores)


def test_a_model_without_a_selector_has_no_map_to_use_again(cascade_folder):
    with pytest.raises(UsageError, match="has no selector, so there is no map to use again; leave --reuse out"):
        load(str(cascade_folder), reuse="1%")


@pytest.mark.parametrize("value", ["1", "0", "100%", "-1%", "abc", "", 0.0, 1.0, 2])
def test_other_shares_are_wrong_use(value, model_folder):
    with pytest.raises(UsageError, match="no share between 0 and 1"):
        load(str(model_folder), reuse=value)


def test_a_predictor_that_uses_maps_again_can_be_pickled(model_folder):
    strategy = load(str(model_folder), reuse=0.01).pipeline.strategy
    again = pickle.loads(pickle.dumps(strategy))
    assert (again.difference, again.selector_macs((6, 6))) == (0.01, strategy.selector_macs((6, 6)))
