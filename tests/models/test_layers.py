"""GELU, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys

import torch
import torch.nn.functional as F

from lookwhere_cli.models.layers import gelu
from tests.models.small import noise

PASS = """
from tests.models.small import SMALL, noise, small, some_cells, chosen_at
from lookwhere_cli.models.vit import cut
model = small(SMALL)
selection = model.select(noise(2, 3, 12, 12), (6, 6))
model.answer(chosen_at(cut(noise(2, 3, 24, 24), 4), some_cells(2, 9, 36), (6, 6), selection.prefix_tokens))
"""


def test_gelu_is_torchs() -> None:
    x = 3 * noise(2, 5, 7)
    torch.testing.assert_close(gelu(x), F.gelu(x), atol=2e-6, rtol=0)
    assert gelu(x).is_contiguous()


def test_no_code_is_compiled_for_the_shapes_of_a_batch() -> None:
    """OneDNN reports every kernel that it runs."""
    ran = subprocess.run(
        [sys.executable, "-c", PASS],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"ONEDNN_VERBOSE": "1"},
    )
    assert "exec,cpu" not in ran.stdout
