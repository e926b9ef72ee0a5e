"""Boxes: a detector against the full ViT, and what decoding and merging boxes take of a picture's time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from numpy import ndarray

from lookwhere_cli.bench.full import full_vit
from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.bench.timing import alternate
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER, DEFAULT_DETECTOR
from lookwhere_cli.checkpoints.placement import device_named
from lookwhere_cli.heads.detect import SCORED_FROM, DetectHead
from lookwhere_cli.heads.merge import merge_boxes
from lookwhere_cli.loading import load
from lookwhere_cli.macs import passes
from lookwhere_cli.models.candidates import BOX, CLASSES, POINT
from lookwhere_cli.predictor import Predictor

BOXES = 300
CANDIDATES = 5000
THINGS = 1000  # that the candidates are of
KINDS = 4
WIDE, HIGH = 1360, 800  # pixels of the picture on which the candidates lie


class Candidates(NamedTuple):
    """Boxes (left, top, right, bottom) in pixels, their scores 0..1, and the indices of their classes."""

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    classes: Int64[ndarray, " n"]


def boxes(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure a detector, the bundled one unless another model than the default is given, on a picture of noise."""
    name = DEFAULT_DETECTOR if settings.model == DEFAULT_CLASSIFIER else settings.model
    predictor = load(name, device=settings.device, conf=SCORED_FROM, max_boxes=BOXES)
    predictor.pipeline.head.check("detect", name)
    yield against_full(predictor, settings)
    yield decoding(predictor, settings.rounds)
    yield merging(settings.rounds)


@torch.inference_mode()
def against_full(predictor: Predictor, settings: BenchSettings) -> Measurement:
    """Measure the whole way from decoded pixels to boxes against the full ViT alone, on a picture of the model's."""
    config, grid = predictor.config, predictor.config.grid
    place = device_named(settings.device)
    vit = full_vit(config, grid).to(place)
    pixels = torch.randn(1, 3, grid[0] * config.patch, grid[1] * config.patch, device=place)
    picture = _noise(grid[0] * config.patch, grid[1] * config.patch)
    runs = {"full": lambda: vit(pixels).cpu(), "boxes": lambda: list(predictor.answers([picture]))}
    seconds = alternate(runs, settings.rounds)
    k = config.k.resolve(grid[0] * grid[1])
    macs = predictor.pipeline.head.count_macs(config, grid, config.thumbnail_grid, k, 0)
    return Measurement(
        "boxes",
        f"{predictor.info.name}, {grid[1] * config.patch} x {grid[0] * config.patch} px, pixels to boxes",
        1000 * seconds["boxes"],
        "ms",
        against=f"the full ViT: {1000 * seconds['full']:.0f} ms",
        ratio=seconds["full"] / seconds["boxes"],
        macs_ratio=passes.count_full(config, grid) / macs,
        limit=Limit("at least", 12),
    )


def decoding(predictor: Predictor, rounds: int) -> Measurement:
    """Measure decoding and merging down to at most 300 boxes as a share of a picture's whole time."""
    head, config = predictor.pipeline.head, predictor.config
    assert isinstance(head, DetectHead)
    picture = _noise(config.grid[0] * config.patch, config.grid[1] * config.patch)
    view = predictor.pipeline.reader.open(picture)
    output = _made_output(predictor)
    kept = len(head.decode(output, view).detections.boxes)
    runs = {"decode": lambda: head.decode(output, view), "whole": lambda: list(predictor.answers([picture]))}
    seconds = alternate(runs, rounds)
    return Measurement(
        "boxes",
        f"decoding and merging {len(output):,} candidates to {kept} boxes",
        1000 * seconds["decode"],
        "ms",
        against=f"a picture: {1000 * seconds['whole']:.0f} ms",
        ratio=seconds["decode"] / seconds["whole"],
        limit=Limit("at most", 0.03),
    )


def merging(rounds: int) -> Measurement:
    """Measure the merging of 5,000 candidates."""
    made = made_candidates(CANDIDATES)
    seconds = alternate({"merge": lambda: merge_boxes(*made, limit=CANDIDATES)}, rounds)["merge"]
    what = f"merging {CANDIDATES:,} candidates"
    return Measurement("boxes", what, 1000 * seconds, "ms", limit=Limit("at most", 50))


def made_candidates(count: int) -> Candidates:
    """Make candidates around things of 16 to 128 pixels, as points of a detector find them."""
    random = np.random.default_rng(0)
    centres = random.uniform((0, 0), (WIDE, HIGH), (THINGS, 2))
    sizes = random.uniform(16, 128, (THINGS, 2))
    things = random.integers(0, THINGS, count)
    shifts = random.normal(0, 0.1, (count, 2)) * sizes[things]
    middle, half = centres[things] + shifts, sizes[things] * random.uniform(0.4, 0.6, (count, 1))
    edges = np.concatenate((middle - half, middle + half), axis=1).astype(np.float32)
    return Candidates(edges, random.uniform(0, 1, count).astype(np.float32), things % KINDS)


def _made_output(predictor: Predictor) -> Float32[ndarray, "candidates numbers"]:
    """Make what the extractor returns of a picture on which things are everywhere, one class at each point."""
    config = predictor.config
    k = config.k.resolve(config.grid[0] * config.grid[1])
    made = made_candidates(k * config.detect_points**2)
    scale = np.array([config.grid[1] / WIDE, config.grid[0] / HIGH] * 2, np.float32)
    output = np.full((len(made.boxes), CLASSES.start + len(config.labels)), -10, np.float32)
    output[:, BOX] = made.boxes * scale
    output[:, POINT] = (output[:, BOX][:, :2] + output[:, BOX][:, 2:]) / 2
    output[np.arange(len(output)), CLASSES.start + made.classes % len(config.labels)] = 4 * made.scores - 1
    return output


def _noise(height: int, width: int) -> UInt8[ndarray, "height width 3"]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
