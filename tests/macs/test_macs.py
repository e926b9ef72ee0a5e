"""Multiply-adds equal what torch counts, for several shapes and k."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lookwhere_cli.checkpoints.published import lookwhere as published
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Chosen, Coarse
from lookwhere_cli.models.pruning.tome import ToMe
from tests.models.small import DETECTING, KINDS, LABELLED, SMALL, noise, small, some_cells


def counted(run) -> int:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        run()
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coarse_grid", [None, (4, 3)])
@pytest.mark.parametrize(("grid", "thumbnail", "k"), [((6, 6), (3, 3), 9), ((5, 7), (2, 4), 1), ((9, 4), (3, 2), 36)])
def test_the_macs_of_a_pass_are_what_torch_counts(
    kind: str, grid: tuple[int, int], thumbnail: tuple[int, int], k: int, coarse_grid: tuple[int, int] | None
) -> None:
    config = KINDS[kind]
    model = small(config)
    thumbnails = noise(1, 3, thumbnail[0] * config.patch, thumbnail[1] * config.patch)
    patches, cells = noise(1, k, 3, config.patch, config.patch), some_cells(1, k, grid[0] * grid[1])

    def select() -> torch.Tensor:
        return model.select(thumbnails, grid).prefix_tokens

    prefix = select()
    coarse = coarse_grid and Coarse(noise(1, 12, 3, config.patch, config.patch), coarse_grid)
    also = 12 if coarse else 0
    ours = passes.count_image(config, grid, thumbnail, k, also)
    assert ours.selector == counted(select)
    assert ours.extractor == counted(lambda: model.extract(Chosen(patches, cells, grid, prefix, coarse)))
    assert ours.head == (counted(lambda: model.logits(noise(1, config.dim))) if config.labels else 0)
    dense = passes.count_dense(config, grid, thumbnail, k, config.dim, also)
    assert dense.extractor == counted(lambda: model.extract_dense(Chosen(patches, cells, grid, prefix, coarse)))
    assert dense.spread == min(5, k) * grid[0] * grid[1] * config.dim
    assert dense.total == dense.selector + dense.extractor + dense.spread


@pytest.mark.parametrize("points", [1, 2, 4])
@pytest.mark.parametrize("coarse_grid", [None, (4, 3)])
@pytest.mark.parametrize("pruning", [{}, {"extractor_depth": 5, "prune": 3, "prune_fusion": True}])
def test_the_macs_of_finding_boxes_are_what_torch_counts(
    points: int, coarse_grid: tuple[int, int] | None, pruning: dict[str, int]
) -> None:
    config = replace(DETECTING, detect_points=points, **pruning)
    model, k, also = small(config), 9, 12 if coarse_grid else 0
    coarse = coarse_grid and Coarse(noise(1, 12, 3, config.patch, config.patch), coarse_grid)
    chosen = Chosen(
        noise(1, k, 3, config.patch, config.patch), some_cells(1, k, 36), (6, 6), noise(1, 1, config.dim), coarse
    )
    ours = passes.count_detect(config, (6, 6), (3, 3), k, also)
    assert ours.selector == counted(lambda: model.select(noise(1, 3, 12, 12), (6, 6)))
    assert ours.extractor + ours.head == counted(lambda: model.answer(chosen))
    assert ours.head == counted(lambda: model.detector(noise(1, k, config.dim), chosen.cells, (6, 6)))


def test_cells_that_pruning_drops_are_not_asked_for_boxes() -> None:
    config = replace(DETECTING, extractor_depth=5, prune=3)
    chosen = Chosen(noise(1, 20, 3, 4, 4), some_cells(1, 20, 36), (6, 6), noise(1, 1, config.dim))
    ours = passes.count_detect(config, (6, 6), (3, 3), 20)
    assert ours.extractor + ours.head == counted(lambda: small(config).answer(chosen))


def test_the_full_macs_of_boxes_are_all_tokens_in_all_blocks_and_the_head_at_every_cell() -> None:
    plain = replace(DETECTING, task="classify", labels=())
    head = counted(lambda: small(DETECTING).detector(noise(1, 36, 24), torch.arange(36)[None], (6, 6)))
    assert passes.count_full(DETECTING, (6, 6)) == passes.count_full(plain, (6, 6)) + head


def test_the_full_macs_are_those_of_timms_forward_pass() -> None:
    from lookwhere_cli.checkpoints.timm_package import import_timm

    timm = import_timm()
    vit = timm.models.VisionTransformer(
        img_size=24, patch_size=4, embed_dim=24, depth=3, num_heads=3, mlp_ratio=2, num_classes=3
    ).eval()
    assert passes.count_full(LABELLED, (6, 6)) == counted(lambda: vit(noise(1, 3, 24, 24)))


def test_the_published_figure_is_ours_plus_what_the_authors_code_computes_and_does_not_use() -> None:
    config = published.imagenet_config(tuple(map(str, range(1000))))
    k, unused = 128, 256 - 128
    unused_embedding = unused * 3 * config.patch**2 * config.dim
    dense = passes.count_dense(config, (16, 16), (11, 11), k, channels=0)
    registers = config.registers * (2 * config.dim**2 + 2 * (5 + k) * config.dim + 2 * config.dim * config.hidden)
    cls = passes.count_image(config, (16, 16), (11, 11), k)
    one_token = (cls.extractor - passes._extractor(config, k, returned=0)) + registers
    assert (cls.selector + cls.head + dense.extractor + one_token + unused_embedding) / 1e9 == pytest.approx(
        14.83, abs=0.005
    )


MACS = sorted(path.stem for path in Path(passes.__file__).parent.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize(
    "module",
    [*(f"macs.{name}" for name in MACS), "models.config", "models.chosen", "models.pruning.schedule", "models.spread"],
)
def test_counting_and_configs_load_no_torch(module: str) -> None:
    script = f"import sys, lookwhere_cli.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_fewer_cells_take_fewer_macs() -> None:
    costs = [passes.count_image(SMALL, (6, 6), (3, 3), k).total for k in range(1, 37)]
    assert costs == sorted(set(costs))


@pytest.mark.parametrize("rate", [0, 3])
def test_merged_cells_are_all_asked_for_boxes(rate: int) -> None:
    config = replace(DETECTING, selector_depth=0, prefix="own", k=1.0)
    model = small(config)
    model.extractor.cropr = ToMe(config, rate)
    chosen = Chosen(noise(1, 36, 3, 4, 4), torch.arange(36)[None], (6, 6), torch.zeros(1, 1, config.dim))
    assert passes.count_merged(config, (6, 6), rate).total == counted(lambda: model.answer(chosen))
