"""A training that diverges ends with exit 1 and keeps the last finite weights; no file holds NaN."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from lookwhere_cli.checkpoints.numbers import not_finite
from lookwhere_cli.training.loop import Run
from tests.cli.test_train import FAST, folders  # noqa: F401 - a fixture
from tests.training.test_loop import ToyPlan


def spoil_after(monkeypatch, step: int, value: float) -> None:
    """Let a weight become `value` in a step."""
    original = Run._step

    def spoiled(run, number, batch):
        numbers = original(run, number, batch)
        if number == step:
            with torch.no_grad():
                for model in (run.model, run.average.module):
                    next(model.parameters()).view(-1)[0] = value
        return numbers

    monkeypatch.setattr(Run, "_step", spoiled)


def check_finite(out) -> None:
    for file in out.iterdir():
        if file.suffix == ".safetensors":
            assert not not_finite(load_file(file))
        if file.suffix in (".json", ".csv"):
            assert "nan" not in file.read_text().lower().replace("finance", "")
        if file.suffix == ".pt":
            state = torch.load(file, weights_only=True)
            assert not not_finite({**state["model"], **state["average"]})


@pytest.mark.parametrize(("value", "step"), [(float("nan"), 2), (float("nan"), 4), (1e6, 5), (float("inf"), 5)])
def test_the_weights_of_the_best_epoch_are_kept(lookwhere, folders, tmp_path, monkeypatch, value, step):  # noqa: F811
    out = tmp_path / "out"
    spoil_after(monkeypatch, step + 1 if value == 1e6 else step, value)
    ran = lookwhere("train", folders, "--out", out, *FAST, "--epochs", 3)
    if ran.code == 0:  # a large weight may be averaged away, as long as all that is saved is finite
        assert value == 1e6
    else:
        assert ran.code == 1 and "The training diverged" in ran.err and "Try a lower --lr" in ran.err
    check_finite(out)
    if (out / "model.safetensors").exists():
        assert lookwhere("models", "verify", out).code == 0


@pytest.mark.parametrize("rate", ["1e8", "1e6", "1e4"])
def test_a_rate_that_is_far_too_high(lookwhere, folders, tmp_path, rate):  # noqa: F811
    out = tmp_path / "out"
    ran = lookwhere("train", folders, "--out", out, *FAST, "--epochs", 3, "--lr", rate)
    check_finite(out)
    assert (ran.code == 1) == ("diverged" in ran.err)
    if (out / "model.safetensors").exists():
        picture = next(folders.rglob("*.png"))
        used = lookwhere("classify", picture, "--model", out, "--format", "jsonl")
        assert "NaN" not in used.out and json.loads(used.out)


def test_finite_steps_since_the_last_checkpoint_are_kept(tmp_path, monkeypatch):
    from lookwhere_cli.errors import DataError

    spoil_after(monkeypatch, 5, float("nan"))
    run = Run(ToyPlan(save_every=4), tmp_path, 0, "cpu")
    with pytest.raises(DataError, match=r"The training diverged: the loss is nan at step 6.*keeps step 4"):
        list(run.train())
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert not not_finite(state["line"]) and len(state["log"]) == 4


def test_a_gradient_that_is_none_changes_no_weight(tmp_path, monkeypatch):
    from lookwhere_cli.errors import DataError

    run = Run(ToyPlan(save_every=4), tmp_path, 0, "cpu")
    clip, calls = run.accelerator.clip_grad_norm_, []

    def clipped(*arguments):
        calls.append(arguments)
        return clip(*arguments) * (float("inf") if len(calls) == 7 else 1)

    monkeypatch.setattr(run.accelerator, "clip_grad_norm_", clipped)
    with pytest.raises(DataError, match=r"the gradient is inf at step 6.*keeps step 6"):
        list(run.train())
    assert len(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["log"]) == 6
