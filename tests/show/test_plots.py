import math

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from lookwhere_cli.errors import UsageError
from lookwhere_cli.show.plots import loss_curves


def history(steps, *names):
    return [{"step": step, **{name: math.exp(-step / 50) for name in names}} for step in range(steps)]


@pytest.mark.parametrize(
    ("names", "panels"),
    [(("loss",), (1, 1)), (("loss", "cls", "map"), (3, 1)), (("loss", "cls", "patch", "map", "rate", "k"), (3, 2))],
)
def test_there_is_a_panel_for_each_curve_of_the_history(tmp_path, names, panels):
    loss_curves(history(200, *names), tmp_path / "curves.png")
    picture = Image.open(tmp_path / "curves.png")
    assert picture.size == (round(540 * panels[0]), round(375 * panels[1]))


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_short_histories_work(tmp_path, steps):
    loss_curves(history(steps, "loss", "rate"), tmp_path / "curves.png")
    drawn = np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))
    assert (drawn.std() > 0) == (steps > 0)


def test_records_may_lack_values_and_nan_is_a_gap(tmp_path):
    records = [*history(3, "loss"), {"step": 3, "logits": float("nan")}, {"step": 4, "logits": 0.5}]
    loss_curves(records, tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").width == 1080


def test_an_existing_file_is_replaced_and_no_temporary_file_remains(tmp_path):
    path = tmp_path / "curves.png"
    path.write_bytes(b"old")
    loss_curves(history(5, "loss"), path)
    Image.open(path).verify()
    assert [entry.name for entry in tmp_path.iterdir()] == ["curves.png"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"curves\.png"):
        loss_curves(history(5, "loss"), tmp_path / "no" / "curves.png")
