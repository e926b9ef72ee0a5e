"""Each subject at a tiny setting: that it runs, and that its figures fit together. Never how fast anything is."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lookwhere_cli.bench import memory, model, weights
from lookwhere_cli.bench.folder import folder
from lookwhere_cli.bench.full import full_vit
from lookwhere_cli.bench.peak import at_peak, at_rest
from lookwhere_cli.bench.photographs import made
from lookwhere_cli.bench.process import run
from lookwhere_cli.bench.record import Limit, Record
from lookwhere_cli.bench.settings import Settings
from lookwhere_cli.bench.start import imported, start
from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.macs import passes
from tests.models.small import KINDS, LABELLED, noise, small


@pytest.fixture
def settings(model_folder: Path, photos: Path) -> Settings:
    return Settings(str(model_folder), tuple(sorted(photos.iterdir())), "cpu", rounds=1)


def well_formed(records: Sequence[Record], subject: str) -> None:
    assert records
    assert len({record.what for record in records}) == len(records)
    for record in records:
        assert record.subject == subject
        assert record.value >= 0
        assert (record.against is None) == (record.ratio is None)


@pytest.mark.slow  # a dozen processes
def test_start(settings: Settings) -> None:
    records = list(start(settings))
    well_formed(records, "start")
    helped, heavy, importing, classify = records
    assert (helped.unit, heavy.value, heavy.met) == ("s", 0, True)
    assert classify.ratio == pytest.approx(classify.value / importing.value)


def test_imports_are_counted() -> None:
    assert imported("json", "-c", "import json") > imported("json.decoder", "-c", "import json") == 1
    assert imported("json", "-c", "pass") == 0


def test_a_command_that_fails_is_told() -> None:
    with pytest.raises(LookWhereError, match="ended with 3: no way"):
        run((sys.executable, "-c", "import sys; print('no way', file=sys.stderr); sys.exit(3)"))


def test_model(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "HIGH", 32)
    records = list(model.model(settings))
    well_formed(records, "model")
    for full, ours in zip(records[::2], records[1::2], strict=True):
        assert ours.against == full.what
        assert ours.ratio == pytest.approx(full.value / ours.value)
    sizes = [LABELLED.size, 32] * 2
    counts = [18, 16] * 2  # half of 6 x 6, a quarter of 8 x 8
    for size, k, ours in zip(sizes, counts, records[1::2], strict=True):
        grid = (size // LABELLED.patch,) * 2
        assert f"{size} px" in ours.what
        assert f"k = {k} " in ours.what
        assert (
            ours.macs_ratio == passes.count_full(LABELLED, grid) / passes.count_image(LABELLED, grid, (3, 3), k).total
        )


def test_published(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "DINOV2", replace(KINDS["replace"], patch=14))
    records = list(model.published(replace(settings, device="cpu")))
    well_formed(records, "published")
    full, at_518, many_full, many, _, *at_994, dense = records
    assert at_518.ratio == pytest.approx(full.value / at_518.value)
    assert "518 px, 8 pictures" in many.what and many.ratio == pytest.approx(many_full.value / many.value)
    limits = [record.limit for record in (at_518, many, *at_994)]
    assert limits == [Limit("at least", least) for least in (9.3, 9.3, 18, 31, 57)]
    assert dense.limit == Limit("at most", 1.1)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_the_full_vit_costs_what_macs_full_says(kind: str) -> None:
    config, grid = KINDS[kind], (5, 7)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        full_vit(config, grid)(noise(1, 3, grid[0] * config.patch, grid[1] * config.patch))
    assert counter.get_total_flops() / 2 == passes.count_full(config, grid)


def test_the_full_vit_is_the_extractors_own() -> None:
    """Given the extractor's weights, timm's model says what ours says of all cells."""
    ours = small(LABELLED)
    theirs = full_vit(LABELLED, LABELLED.grid)
    weights = {name: value for name, value in ours.extractor.state_dict().items() if not name.startswith("handover")}
    theirs.load_state_dict(weights | {f"head.{name}": value for name, value in ours.head.state_dict().items()})
    pictures = noise(2, 3, LABELLED.size, LABELLED.size)
    cells = pictures.unflatten(3, (6, 4)).unflatten(2, (6, 4)).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    tokens = ours.extractor.encode(
        torch.cat([ours.extractor.prefix().expand(2, -1, -1), ours.extractor.embed(cells, LABELLED.grid)], dim=1)
    )
    torch.testing.assert_close(theirs(pictures), ours.logits(tokens[:, 0]), atol=1e-4, rtol=1e-4)


def test_folder(settings: Settings) -> None:
    records = list(folder(settings))
    well_formed(records, "folder")
    decode, alone, whole = records
    assert whole.ratio == pytest.approx(whole.value * (1 / decode.value + 1 / alone.value))
    assert whole.limit == Limit("at least", 0.9)


@pytest.mark.slow  # a picture of 100 megapixels
def test_memory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SIDE", 3000)
    monkeypatch.setattr(memory, "GIANTS", {"JPEG": {}})
    monkeypatch.setattr(memory, "FEW", 2)
    monkeypatch.setattr(memory, "MANY", 14)  # more than there are
    records = list(memory.memory(settings))
    well_formed(records, "memory")
    giant, many = records
    assert giant.what == "one JPEG of 9 megapixels"
    assert giant.value < 9e6 * 3 / 2**20  # the whole picture's pixels would take more
    assert many.what == "14 pictures"
    assert 0.9 < many.ratio < 1.2


def test_a_peak_stays_when_what_was_held_is_gone() -> None:
    told = run((sys.executable, "-c", _HOLDING)).stdout
    before, after, peak = json.loads(told)
    assert after < before + 50
    assert peak > before + 90


_HOLDING = """
from lookwhere_cli.bench.peak import at_peak, at_rest
before = at_rest()
held = bytearray(b"x") * (100 << 20)
del held
print([before, at_rest(), at_peak()])
"""


def test_rest_lies_below_the_peak() -> None:
    assert 0 < at_rest() <= at_peak()


def test_photographs_are_made_alike_each_time(tmp_path: Path, photos: Path) -> None:
    sources = sorted(photos.iterdir())
    folders = [tmp_path / name for name in ("a", "b")]
    for one in folders:
        one.mkdir()
    first, second = (made(sources, 14, one) for one in folders)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len({path.read_bytes() for path in first}) == 14
    shapes = set()
    for path in first:
        with Image.open(path) as picture:
            shapes.add(picture.size)
            assert picture.format == "JPEG"
    assert {(500, 375), (375, 500)} < shapes


def test_weights(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "LAYOUTS", {weights.NAME: LABELLED})
    monkeypatch.setattr(weights, "find_cached", lambda wanted: None)
    records = list(weights.weights(settings))
    well_formed(records, "weights")
    whole, ready, touched, peak = records
    assert ready.ratio == pytest.approx(ready.value / whole.value)
    assert touched.value > 0 and peak.ratio is not None
