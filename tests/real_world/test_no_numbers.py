"""What a model computes without numbers (NaN, infinity) is an error row, and no file ever holds NaN."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from lookwhere_cli.loading import load
from lookwhere_cli.options import Options
from lookwhere_cli.output.numbers import finite, to_json
from lookwhere_cli.runtimes.torch import TorchRuntime


@pytest.fixture
def failing(monkeypatch):
    """Every runtime answers NaN for the first picture of each batch."""

    def spoil(method):
        original = getattr(TorchRuntime, method)

        def spoiled(self, *arguments):
            output = original(self, *arguments)
            answer = output[0] if isinstance(output, tuple) else output
            answer[0] = np.nan
            return output

        monkeypatch.setattr(TorchRuntime, method, spoiled)

    return spoil


def strict(text: str):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_classify_gives_an_error_row(lookwhere, photos, failing):
    failing("answer")
    ran = lookwhere("classify", photos, "--format", "jsonl", "--batch-size", 1)
    rows = strict(ran.out)
    assert ran.code == 1 and len(rows) == 12
    assert all("computed no numbers (NaN or infinity); use --dtype float32" in row["error"] for row in rows)


@pytest.mark.parametrize("format", ["jsonl", "json", "csv", "text", "parquet"])
def test_no_format_holds_nan(lookwhere, photos, failing, format, tmp_path):
    failing("answer")
    out = tmp_path / "rows"
    assert lookwhere("classify", photos, "--format", format, "--out", out, "--batch-size", 1).code == 1
    assert b"nan," not in out.read_bytes().lower() and b": nan" not in out.read_bytes().lower()


def test_segment_writes_no_mask(lookwhere, segmenting_folder, photos, failing, tmp_path):
    failing("answer")
    out = tmp_path / "out"
    ran = lookwhere("segment", photos, "--model", segmenting_folder, "--out", out, "--batch-size", 1)
    assert ran.code == 1 and [file.name for file in out.iterdir()] == ["labelmap.txt"]


def test_features_leave_the_picture_out(lookwhere, photos, failing, tmp_path):
    from safetensors.numpy import load_file

    failing("pool")
    ran = lookwhere("features", photos, "--out", tmp_path / "f.safetensors", "--batch-size", 2)
    arrays = load_file(tmp_path / "f.safetensors") if ran.code != 1 else {}
    assert ran.code == 1 and not any(np.isnan(array).any() for array in arrays.values())


def test_explain_says_so(lookwhere, photos, failing):
    failing("answer_with_survivors")
    ran = lookwhere("explain", photos / "0.png", "--format", "jsonl")
    assert ran.code == 1 and "computed no numbers" in strict(ran.out)[0]["error"]


def test_evaluate_counts_it_as_failed(model_folder, photos):
    from lookwhere_cli.errors import PictureError
    from lookwhere_cli.scoring.eval_set import ScoringTask

    task = ScoringTask.__new__(ScoringTask)
    with pytest.raises(PictureError, match="computed no numbers"):
        task.measure(np.array([np.inf, 0], np.float32), "a.png")


def test_only_the_picture_of_a_batch_that_fails_is_left_out(model_folder, photos, files):
    predictor = load(str(model_folder), Options(device="cpu"))
    strategy = type(predictor.pipeline.strategy)
    answer = strategy.answer

    def spoiled(self, runtime, selected, *rest):
        outcome = answer(self, runtime, selected, *rest)
        for place, picture in enumerate(selected.batch.pictures):
            if picture.view.path.endswith("/3.png"):
                outcome.output[place] = np.inf
        return outcome

    strategy.answer = spoiled
    try:
        rows = list(predictor.classify(files))
    finally:
        strategy.answer = answer
    assert [row.path.endswith("/3.png") for row in rows] == [row.error is not None for row in rows]
    assert sum(row.error is not None for row in rows) == 1


def test_records_have_null_instead():
    values = {"a": [1.0, math.nan], "b": {"c": math.inf}, "d": (None, "NaN", 2)}
    assert finite(values) == {"a": [1.0, None], "b": {"c": None}, "d": [None, "NaN", 2]}
    assert strict(to_json(values)) == [finite(values)]
