"""The published layouts through ONNX equal the outputs of the authors' code, within the tolerances of torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.images.view import alias
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.vit import cut
from tests.parity.official_checkpoint import pictures
from tests.parity.test_lookwhere_parity import expected, model_of

pytest.importorskip("onnxscript")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", ["imagenet_224", "dinov2_518", "franca_518"])
def test_equals_the_authors_code(case: str, tmp_path: Path) -> None:
    from lookwhere_cli.checkpoints.exported import open_exported
    from lookwhere_cli.checkpoints.names import ModelLocation
    from lookwhere_cli.export.write import ExportOptions, export_model
    from lookwhere_cli.runtimes.onnx import open_onnx

    save_model(tmp_path / "model", model_of(case.split("_")[0]))
    export_model(load_model(str(tmp_path / "model"), "cpu"), tmp_path / "out", ExportOptions(), lambda what: None)
    found = open_exported(ModelLocation("exported", tmp_path / "out"))
    config = found.config
    runtime = open_onnx(config, {name: found.folder / file for name, file in found.record.graphs.items()}, "cpu")

    metadata, theirs = expected(case)
    size, count = int(metadata["size"]), int(metadata["pictures"])
    high, side = pictures(count, size), config.thumbnail_size
    grid = (size // config.patch, size // config.patch)
    # The authors' inputs are normalised; the graphs take pixels in 0..255.
    small = np.stack([alias(one.permute(1, 2, 0).numpy(), side, side) for one in high])
    selection = runtime.select(_pixels(small, config), grid)
    assert np.abs(selection.map - theirs["selector_map"].flatten(1).numpy()).max() <= 4e-5
    assert np.abs(selection.prefix_tokens - theirs["prefix_tokens"].numpy()).max() <= 4e-5

    cells = theirs["cells"].long().numpy()
    patches = cut(high, config.patch).permute(0, 1, 3, 4, 2).numpy()
    read = _pixels(np.take_along_axis(patches, cells[:, :, None, None, None], axis=1), config)
    rounded = read.round().clip(0, 255).astype(np.uint8)
    chosen = Chosen(rounded, cells, grid, selection.prefix_tokens)
    with torch.inference_mode():
        model = model_of(case.split("_")[0])
        normalised = torch.from_numpy((rounded.astype(np.float32) / 255 - config.mean) / config.std).float()
        tensors = Chosen(
            normalised.permute(0, 1, 4, 2, 3), torch.from_numpy(cells), grid, torch.from_numpy(selection.prefix_tokens)
        )
        ours = model.answer(tensors).numpy()
    assert np.abs(runtime.answer(chosen) - ours).max() <= 4e-5


def _pixels(normalised: np.ndarray, config) -> np.ndarray:
    std, mean = (np.array(values, np.float32) for values in (config.std, config.mean))
    return ((normalised * std + mean) * 255).astype(np.float32)
