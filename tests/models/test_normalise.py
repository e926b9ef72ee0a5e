"""Pixels are normalised by the model's own mean and deviation, whatever form they have."""

from __future__ import annotations

from dataclasses import replace

import torch

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.normalise import Normaliser

CONFIG = replace(Config(), mean=(0.1, 0.5, 0.9), std=(0.2, 0.5, 1.0))
BYTES = torch.randint(0, 256, (2, 5, 3, 4, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CONFIG.mean, CONFIG.std))
    normalised = Normaliser(CONFIG)(BYTES)
    assert normalised.dtype == torch.float32
    torch.testing.assert_close(normalised, (BYTES / 255 - mean) / std)


def test_shares_of_white_give_the_same_as_bytes() -> None:
    torch.testing.assert_close(Normaliser(CONFIG, white=1)(BYTES / 255), Normaliser(CONFIG)(BYTES))


def test_the_result_has_the_dtype_that_is_asked_for() -> None:
    normaliser = Normaliser(CONFIG)
    for dtype in (torch.float32, torch.bfloat16, torch.float32):
        normalised = normaliser(BYTES, dtype)
        assert normalised.dtype == dtype
        torch.testing.assert_close(normalised.float(), normaliser(BYTES), rtol=0.02, atol=0.02)
