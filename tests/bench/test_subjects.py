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

from lookwhere_cli.bench import folder as folder_subject
from lookwhere_cli.bench import memory, model, weights
from lookwhere_cli.bench.boxes import boxes, made_candidates
from lookwhere_cli.bench.folder import folder
from lookwhere_cli.bench.full import full_vit
from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.peak import current_memory, peak_memory
from lookwhere_cli.bench.photographs import make_photographs
from lookwhere_cli.bench.process import measure_memory, run
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.bench.start import count_imported, start
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.heads.merge import merge_boxes
from lookwhere_cli.loading import load
from lookwhere_cli.macs import passes
from tests.models.small import DETECTING, KINDS, LABELLED, noise, small


@pytest.fixture
def settings(model_folder: Path, photos: Path) -> BenchSettings:
    return BenchSettings(str(model_folder), tuple(sorted(photos.iterdir())), "cpu", rounds=1)


def check_form(measurements: Sequence[Measurement], subject: str) -> None:
    assert measurements
    assert len({measurement.what for measurement in measurements}) == len(measurements)
    for measurement in measurements:
        assert measurement.subject == subject
        assert measurement.value >= 0
        assert (measurement.against is None) == (measurement.ratio is None)


@pytest.mark.slow  # a dozen processes
def test_start(settings: BenchSettings) -> None:
    measurements = list(start(settings))
    check_form(measurements, "start")
    help_page, torch_modules, importing, classify = measurements
    assert (help_page.unit, torch_modules.value, torch_modules.met) == ("s", 0, True)
    assert classify.ratio == pytest.approx(classify.value / importing.value)


def test_imports_are_counted() -> None:
    assert count_imported("json", "-c", "import json") > count_imported("json.decoder", "-c", "import json") == 1
    assert count_imported("json", "-c", "pass") == 0


def test_a_command_that_fails_is_an_error() -> None:
    with pytest.raises(LookWhereError, match="ended with 3: no way"):
        run((sys.executable, "-c", "import sys; print('no way', file=sys.stderr); sys.exit(3)"))


def test_model(settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "HIGH", 32)
    measurements = list(model.model(settings))
    check_form(measurements, "model")
    for full, ours in zip(measurements[::2], measurements[1::2], strict=True):
        assert ours.against == full.what
        assert ours.ratio == pytest.approx(full.value / ours.value)
    sizes = [LABELLED.size, 32] * 2
    counts = [18, 16] * 2  # half of 6 x 6, a quarter of 8 x 8
    for size, k, ours in zip(sizes, counts, measurements[1::2], strict=True):
        grid = (size // LABELLED.patch,) * 2
        assert f"{size} px" in ours.what
        assert f"k = {k} " in ours.what
        assert (
            ours.macs_ratio == passes.count_full(LABELLED, grid) / passes.count_image(LABELLED, grid, (3, 3), k).total
        )


@pytest.mark.slow
def test_published(settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "DINOV2", replace(KINDS["replace"], patch=14))
    measurements = list(model.published(replace(settings, device="cpu")))
    check_form(measurements, "published")
    full, at_518, many_full, many, _, *at_994, dense = measurements
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


def test_folder(settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_subject, "usable_cpus", lambda: 2)
    measurements = list(folder(settings))
    check_form(measurements, "folder")
    reading, one, two, model_alone, whole = measurements
    assert two.ratio == pytest.approx(two.value / one.value)
    assert two.limit == Limit("at least", 1.7)
    cutting = one if load(settings.model).pipeline.options.workers == 1 else two
    assert whole.ratio == pytest.approx(whole.value * (1 / reading.value + 1 / cutting.value + 1 / model_alone.value))
    assert whole.limit == Limit("at least", 0.9)


def test_one_cpu_can_not_cut_twice_as_fast(settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_subject, "usable_cpus", lambda: 1)
    assert list(folder(settings))[2].limit is None


def test_the_parts_of_a_folder_do_what_classify_does(settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = load(settings.model, batch_size=5)
    pipeline, outputs = predictor.pipeline, []
    batches = folder_subject.read(pipeline, settings.photographs)
    paths = [picture.view.path for batch in batches for picture in batch.pictures]
    assert sorted(paths) == sorted(map(str, settings.photographs))
    cells = [folder_subject.chosen_cells(pipeline, batch) for batch in batches]
    answer = type(pipeline.runtime).answer
    monkeypatch.setattr(
        type(pipeline.runtime), "answer", lambda own, chosen: outputs.append(answer(own, chosen)) or outputs[-1]
    )
    folder_subject.model_alone(pipeline, batches, cells)()
    labels = {
        path: pipeline.head.picture_labels(output)
        for path, output in zip(paths, (one for batch in outputs for one in batch), strict=True)
    }
    for row in predictor.classify(settings.photographs):
        assert [label.label for label in labels[row.path]] == [label.label for label in row.labels]


@pytest.mark.slow  # nine processes
def test_memory(settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SIDE", 3000)
    monkeypatch.setattr(memory, "GIANTS", {"JPEG": {}})
    monkeypatch.setattr(memory, "LARGE_SIDE", 300)
    monkeypatch.setattr(memory, "LARGE_COUNT", 3)
    monkeypatch.setattr(memory, "LARGE_SIZE", 32)
    monkeypatch.setattr(memory, "HUGE_SIDE", 400)
    monkeypatch.setattr(memory, "FEW", 2)
    monkeypatch.setattr(memory, "MANY", 14)  # more than there are
    measurements = list(memory.memory(settings))
    check_form(measurements, "memory")
    giant, large, huge, many = measurements
    assert giant.what == "one JPEG of 9 megapixels"
    assert giant.value < 9e6 * 3 / 2**20  # the whole picture's pixels would take more
    assert large.what == "3 PNGs of 300 x 300, --size 32" and large.limit == Limit("at most", 1.2 * 1024)
    assert huge.what == "4 PNGs of 400 x 400, 4 workers" and huge.limit == Limit("at most", 1.5 * 1024)
    assert many.what == "14 pictures" and many.limit == Limit("at most", 1.15)
    assert many.ratio is not None and 0.9 < many.ratio < 1.2


@pytest.mark.slow
def test_memory_is_that_of_the_pictures_asked_for(settings: BenchSettings, tmp_path: Path) -> None:
    with pytest.raises(LookWhereError, match="is empty"):
        (tmp_path / "empty.png").touch()
        measure_memory(settings.model, {"k": 3}, [settings.photographs[0], tmp_path / "empty.png"], 2)
    found = measure_memory(settings.model, {"k": 3}, [settings.photographs[0], tmp_path / "empty.png"], 1)
    assert 0 < found.before < found.rest <= found.peak


def test_a_peak_stays_after_memory_is_released() -> None:
    before, after, peak = json.loads(run((sys.executable, "-c", _HOLDING)).stdout)
    assert after < before + 50
    assert peak > before + 90


_HOLDING = """
from lookwhere_cli.bench.peak import current_memory, peak_memory
before = current_memory()
held = bytearray(b"x") * (100 << 20)
del held
print([before, current_memory(), peak_memory()])
"""


def test_current_memory_is_below_the_peak() -> None:
    assert 0 < current_memory() <= peak_memory()


def test_photographs_are_made_alike_each_time(tmp_path: Path, photos: Path) -> None:
    sources = sorted(photos.iterdir())
    folders = [tmp_path / name for name in ("a", "b")]
    for one in folders:
        one.mkdir()
    first, second = (make_photographs(sources, 14, one) for one in folders)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len({path.read_bytes() for path in first}) == 14
    shapes = set()
    for path in first:
        with Image.open(path) as picture:
            shapes.add(picture.size)
            assert picture.format == "JPEG"
    assert {(500, 375), (375, 500)} < shapes


def test_weights(settings: BenchSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "LAYOUTS", {weights.NAME: LABELLED})
    monkeypatch.setattr(weights, "find_cached", lambda wanted: None)
    measurements = list(weights.weights(settings))
    check_form(measurements, "weights")
    whole, ready, touched, peak = measurements
    assert ready.ratio == pytest.approx(ready.value / whole.value)
    assert touched.value > 0 and peak.ratio is not None


@pytest.mark.slow  # each function has a turn of a second
def test_boxes(tmp_path: Path) -> None:
    save_model(tmp_path / "detecting", small(DETECTING), "# detecting\n")
    measurements = list(boxes(BenchSettings(str(tmp_path / "detecting"), (), "cpu", rounds=1)))
    check_form(measurements, "boxes")
    assert [measurement.unit for measurement in measurements] == ["ms"] * 3


def test_made_candidates_are_boxes_of_a_few_things() -> None:
    made = made_candidates(5000)
    assert (made.boxes[:, 2:] > made.boxes[:, :2]).all()
    assert len(merge_boxes(*made, limit=5000).boxes) < 2500
