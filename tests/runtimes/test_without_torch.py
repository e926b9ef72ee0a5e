"""All but a runtime works without torch: where another library computes the model, torch need not be installed."""

import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, NoTorch())

from pathlib import Path
import numpy as np
from lookwhere_cli.amounts import Amount
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.models.config import Config
from lookwhere_cli.pipeline import ModelInfo, Pipeline
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.segmenter import Segmenter
from lookwhere_cli.strategies.registry import strategy_for
from lookwhere_cli.stream import StreamOptions
from tests.runtimes.fake import FakeRuntime

picture = np.zeros((24, 24, 3), np.uint8)
picture[:, 12:] = 20, 220, 20
picture[8:12, 8:12] = 250, 0, 0


def predictor(**fields):
    config = Config(
        patch=4, dim=24, heads=3, extractor_depth=3, selector_depth=2, grid=(6, 6), thumbnail_grid=(3, 3), hidden=48,
        labels=("red", "green", "blue"), **fields
    )
    reading = Reading(4, 24)
    strategy = strategy_for("fake", config, Amount.share(0.5), reading)
    reader = PictureReader(reading, strategy.thumbnail_grid)
    info = ModelInfo("fake", "1", Path("."))
    return Predictor(Pipeline(FakeRuntime(config), strategy, head_of(config), reader, info, StreamOptions()))
"""
ANSWERS = {
    "classify": """
        row = predictor().classify(picture)
        assert (row.labels[0].label, row.k, row.error) == ("green", 18, None)
        assert {column for _, column in row.cells} == {3, 4, 5} and row.macs < row.macs_full
        rows = list(predictor().classify([picture, b"no picture", picture]))
        assert [bool(row.error) for row in rows] == [False, True, False]
    """,
    "explain": """
        explanation = predictor().explain(picture)
        assert explanation.scores.shape == (6, 6) and explanation.row.labels[0].label == "green"
        assert explanation.predictions[36][0].label == "green" and explanation.macs[18] == explanation.row.macs
    """,
    "segment": """
        model = predictor(task="segment", decoder_channels=8, decoder_scale=2)
        (answer,) = Segmenter(model).segment([picture])
        assert answer.classes.shape == (24, 24) and (answer.classes[:, 16:] == 1).all()
        assert answer.row.shares[0].share > 0.4
    """,
    "features": """
        pooled, = predictor().features([picture])
        assert pooled.cls.argmax() == 1
        dense, = predictor().features([picture], dense=True)
        assert dense.dense.shape == (6, 6, 3) and (dense.dense.argmax(-1) == 1).all()
    """,
    "the command line": """
        import lookwhere_cli.cli.app
    """,
}


@pytest.mark.parametrize("what", ANSWERS)
def test_it_works_where_torch_can_not_be_imported(what: str) -> None:
    script = SCRIPT + textwrap.dedent(ANSWERS[what]) + "\nassert 'torch' not in sys.modules\n"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
