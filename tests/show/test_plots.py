import math

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from lookwhere_cli.errors import UsageError
from lookwhere_cli.show.plots import EPOCH_TITLES, _figure, loss_curves


def history(steps, *names):
    return [
        {"step": step, **{name: place + math.exp(-step / 50) for place, name in enumerate(names)}}
        for step in range(steps)
    ]


@pytest.mark.parametrize(
    ("names", "panels"),
    [(("loss",), (1, 1)), (("loss", "cls", "map"), (3, 1)), (("loss", "cls", "patch", "map", "rate", "k"), (3, 2))],
)
def test_there_is_a_panel_for_each_curve_of_the_history(tmp_path, names, panels):
    loss_curves(history(200, *names), tmp_path / "curves.png", "m on photos")
    picture = Image.open(tmp_path / "curves.png")
    assert picture.size == (round(540 * panels[0]), round(375 * panels[1]))


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_short_histories_work(tmp_path, steps):
    loss_curves(history(steps, "loss", "rate"), tmp_path / "curves.png", "")
    drawn = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert (drawn.std() > 0) == (steps > 0)


def test_records_may_lack_values_and_nan_is_a_gap(tmp_path):
    records = [*history(3, "loss"), {"step": 3, "logits": float("nan")}, {"step": 4, "logits": 0.5}]
    loss_curves(records, tmp_path / "curves.png", "m on photos")
    assert Image.open(tmp_path / "curves.png").width == 1080


def test_an_existing_file_is_replaced_and_no_temporary_file_remains(tmp_path):
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    loss_curves(history(5, "loss"), path, "m on photos")
    Image.open(path).verify()
    assert [entry.name for entry in tmp_path.iterdir()] == ["curves.png"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"curves\.png"):
        loss_curves(history(5, "loss"), tmp_path / "no" / "curves.png", "m on photos")


def panels(epochs):
    figure = _figure(epochs, "epoch", EPOCH_TITLES, "signs of $x_2$")
    assert figure.get_suptitle() == "signs of $x_2$"
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_a_loss_that_is_the_total_is_drawn_once():
    epochs = [
        {"epoch": number, "score": 0.9, "loss": 1 / (number + 1), "task": 1 / (number + 1)} for number in range(5)
    ]
    assert list(panels(epochs)) == ["validation score (%)", "total loss"]
    both = [{**epoch, "task": epoch["loss"] / 2, "look": epoch["loss"] / 2} for epoch in epochs]
    assert list(panels(both)) == ["validation score (%)", "total loss", "task loss", "map loss"]


def test_scores_are_in_per_cent_and_end_at_100():
    axes = panels([{"epoch": number, "score": score} for number, score in enumerate((0.2, 0.97, 1.0))])
    low, high = axes["validation score (%)"].get_ylim()
    assert 0 <= low < 20 and high == 100
