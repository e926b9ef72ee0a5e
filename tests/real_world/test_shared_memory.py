"""Training in a container with little shared memory, as Docker gives by default, goes on instead of hanging."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from lookwhere_cli.cli import app
from lookwhere_cli.errors import DataError
from lookwhere_cli.training.loop import DataLoader, Run

LITTLE = "mount -t tmpfs -o size=2m tmpfs /dev/shm"


def has_private_mounts():
    unshare = shutil.which("unshare")
    return unshare and subprocess.run([unshare, "-m", "sh", "-c", LITTLE], capture_output=True).returncode == 0


@pytest.mark.slow
def test_training_with_two_megabytes(tmp_path, model_folder):
    if not has_private_mounts():
        pytest.skip("a private /dev/shm takes rights that this process does not have")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(16):
            array = rng.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(array).save(tmp_path / "set" / name / f"{number}.png")
    command = f"{sys.executable} -m lookwhere_cli train {tmp_path / 'set'} --out {tmp_path / 'model'} "
    command += f"--model {model_folder} --epochs 2 --batch-size 16 --size 240 --workers 2 --device cpu"
    ran = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{LITTLE}; exec {command}"],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert app is not None


def refusing(failure):
    def fail(self):
        raise failure

    return fail


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_processes_that_can_not_be_started_are_an_error_with_a_remedy(monkeypatch, failure, reason):
    monkeypatch.setattr(DataLoader, "__iter__", refusing(failure))
    with pytest.raises(DataError) as caught:
        next(loading())
    assert str(caught.value) == (
        f"The 3 processes that prepare batches need shared memory in /dev/shm ({reason}); add --workers 0, or give the "
        "container more (docker run --shm-size 1g)."
    )


def test_shared_memory_that_fills_up_is_an_error_with_a_remedy(monkeypatch):
    full = RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    def batches(self):
        yield torch.zeros(1)
        raise full

    monkeypatch.setattr(DataLoader, "__iter__", batches)
    arriving = loading()
    next(arriving)
    with pytest.raises(DataError, match=r"need shared memory in /dev/shm \(it is full\); add --workers 0"):
        next(arriving)


def loading():
    run = Run.__new__(Run)
    run.workers, run._batches = 3, torch.utils.data.TensorDataset(torch.zeros(5))
    return run._load(range(2), lambda: False)
