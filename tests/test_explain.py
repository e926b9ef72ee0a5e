from dataclasses import replace

import numpy as np
import pytest

from lookwhere_cli import load
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.errors import PictureError
from lookwhere_cli.runtimes.torch import TorchRuntime
from tests.models.small import DETECTING, small


@pytest.fixture
def predictor(model_folder):
    return load(str(model_folder), device="cpu")


@pytest.fixture
def passes(monkeypatch):
    """Counts the passes of the extractor: the number of pictures and cells of each."""
    counted = []
    answer = TorchRuntime.answer
    monkeypatch.setattr(
        TorchRuntime, "answer", lambda self, chosen: counted.append(chosen.cells.shape) or answer(self, chosen)
    )
    return counted


def close(labels, others):
    assert [label.index for label in labels] == [label.index for label in others]
    assert [b.probability for b in labels] == pytest.approx([b.probability for b in others], abs=1e-5)


def test_an_explanation_agrees_with_the_row(predictor, files):
    explanation, row = predictor.explain(files[0]), predictor.classify(files[0])
    assert replace(explanation.row, seconds=0.0) == replace(row, seconds=0.0)
    assert explanation.scores.shape == row.grid and explanation.scores.dtype == np.float32
    assert sorted(explanation.order) == list(range(35))
    assert [divmod(cell, 7) for cell in explanation.order[: row.k]] == list(row.cells)
    ordered = explanation.scores.ravel()[list(explanation.order)]
    assert (np.diff(ordered) <= 0).all()
    assert explanation.predictions[row.k] == explanation.row.labels
    assert list(explanation.predictions) == list(explanation.macs) == [1, 3, 8, 17, 26, 35]
    assert explanation.picture == files[0] and explanation.survivors is None and explanation.looks == ()


def test_its_seconds_are_those_of_its_steps(predictor, files):
    explanation = predictor.explain(files[0])
    assert list(explanation.seconds) == ["open", "thumbnail", "select", "patches", "extract"]
    assert all(seconds > 0 for seconds in explanation.seconds.values())
    assert explanation.row.seconds == pytest.approx(sum(explanation.seconds.values()))


def test_only_the_row_is_computed_until_more_is_asked_for(predictor, files, passes):
    first = predictor.explain(files[0])
    assert passes == [(1, 18), (1, 17)]  # warming up with the model's own grid, then the row
    predictor.explain(files[1])
    assert passes[2:] == [(1, 17)]
    assert len(first.predictions) == 6 and first.predictions is first.predictions
    assert sorted(passes[3:]) == [(1, 1), (1, 3), (1, 8), (1, 26), (1, 35)]


def test_predictions_at_several_k_are_those_of_that_k(predictor, files, model_folder):
    explanation = predictor.explain(files[3])
    for k, labels in explanation.predictions.items():
        alone = load(str(model_folder), k=k).classify(files[3])
        close(labels, alone.labels)
        assert explanation.macs[k] == alone.macs


def test_with_a_coarse_thumbnail_it_agrees_too(model_folder, files):
    predictor = load(str(model_folder), coarse=16)
    explanation, row = predictor.explain(files[0]), predictor.classify(files[0])
    assert (explanation.row.coarse, explanation.row.macs) == (row.coarse, row.macs)
    for k, labels in explanation.predictions.items():
        alone = load(str(model_folder), coarse=16, k=k).classify(files[0])
        assert explanation.macs[k] == alone.macs
        close(labels, alone.labels)


def test_a_model_that_segments_has_a_map_but_no_labels(segmenting_folder, files):
    explanation = load(str(segmenting_folder)).explain(files[0])
    assert explanation.row.labels == () and set(explanation.predictions.values()) == {()}
    assert explanation.scores.shape == explanation.row.grid


def test_explaining_what_can_not_be_read(predictor):
    with pytest.raises(PictureError, match=r"'nowhere\.jpg' is not there"):
        predictor.explain("nowhere.jpg")


def test_boxes_are_those_of_each_number_of_cells(tmp_path, files):
    folder = tmp_path / "detecting"
    save_model(folder, small(DETECTING), "")
    explanation = load(str(folder), conf=0.1).explain(files[0])
    (row,) = (answer.row for answer in load(str(folder), conf=0.1).answers(files[:1]))
    assert explanation.row.boxes == row.boxes and explanation.row.labels
    assert list(explanation.boxes) == list(explanation.predictions) and any(explanation.boxes.values())
    for k, boxes in explanation.boxes.items():
        (alone,) = (answer.row for answer in load(str(folder), conf=0.1, k=k).answers(files[:1]))
        assert [one.label for one in boxes] == [one.label for one in alone.boxes]
        for one, other in zip(boxes, alone.boxes, strict=True):
            assert one.box == pytest.approx(other.box, abs=0.01)
    told = explanation.to_dict()
    assert [len(at["boxes"]) for at in told["at"]] == [len(boxes) for boxes in explanation.boxes.values()]


def test_other_models_have_no_boxes(predictor, files):
    explanation = predictor.explain(files[0])
    assert explanation.boxes == {} and explanation.row.boxes is None
    assert not any("boxes" in at for at in explanation.to_dict()["at"])
