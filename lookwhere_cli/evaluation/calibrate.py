"""Thresholds of a cascade for a budget, and the model's folder with them."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from lookwhere_cli.card import describe
from lookwhere_cli.checkpoints.configs import write_config
from lookwhere_cli.checkpoints.layout import CARD, RESULTS, TRAINING, WEIGHTS
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.data.splits import SPLIT_FILE
from lookwhere_cli.encodings import encode_text
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.pipeline import ModelInfo, Pipeline
from lookwhere_cli.scoring.eval_set import ShowProgress
from lookwhere_cli.scoring.passes import StagePass
from lookwhere_cli.scoring.splits import Part, select_split
from lookwhere_cli.scoring.variants import staged_strategy
from lookwhere_cli.strategies.stages import DISABLED, stages_reached
from lookwhere_cli.strategies.thresholds import find_thresholds
from lookwhere_cli.text import counted, shared_name

COPIED = (WEIGHTS, TRAINING, SPLIT_FILE)
"""Files that calibration does not change. Measured results are not copied: they hold for other thresholds."""
TOLERANCE = 1e-4
"""Probabilities may differ by as much when other pictures share the batch."""
SECTION = "\n## Calibrated\n"


class StageConfidences(NamedTuple):
    """The confidence of every stage in each picture that can be read.

    places: of these pictures among those that were asked for. confidences: 0..1. macs: multiply-adds by then, earlier
    stages included. failed: a sentence for each picture that can't be read.
    """

    places: Sequence[int]
    confidences: Float64[ndarray, "stages pictures"]
    macs: Float64[ndarray, "stages pictures"]
    failed: tuple[str, ...] = ()

    def at(self, places: Container[int]) -> StageConfidences:
        """Keep only the pictures at these places; `failed` is empty."""
        indices = [index for index, place in enumerate(self.places) if place in places]
        return StageConfidences(
            [self.places[index] for index in indices], self.confidences[:, indices], self.macs[:, indices]
        )


@dataclass(frozen=True)
class Calibration:
    """Thresholds for all stages but the last, and what they lead to on the calibration pictures.

    shares: share of the pictures that leaves at each stage. costs: mean multiply-adds of a picture that leaves at each
    stage. macs: mean multiply-adds of the pictures. failed: a sentence for each picture that can't be read.
    """

    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    costs: tuple[float, ...]
    macs: float
    pictures: int
    failed: tuple[str, ...]


def measure_confidences(pipeline: Pipeline, paths: Sequence[str], progress: ShowProgress) -> StageConfidences:
    """Run all stages on all pictures.

    Raises ModelError for a model with a single stage, UsageError if no picture can be read.
    """
    results = list(progress(StagePass(pipeline).confidences(paths), len(paths), "confidences"))
    read = [(place, one) for place, one in enumerate(results) if not isinstance(one, str)]
    failed = tuple(one for one in results if isinstance(one, str))
    if not read:
        raise UsageError(f"None of the {counted(len(paths), 'picture')} can be read: {failed[0]}")
    return StageConfidences(
        [place for place, _ in read],
        np.array([one.confidences for _, one in read], np.float64).T,
        np.array([one.macs for _, one in read], np.float64).T,
        failed,
    )


def calibrate(measured: StageConfidences, budget: int | float) -> Calibration:
    """Find thresholds for a budget: multiply-adds per picture (int), or a share of what the last stage costs (float).

    Raises UsageError for a budget that can't be met, and for too few pictures.
    """
    costs = tuple(measured.macs.mean(axis=1).tolist())
    try:
        found = find_thresholds(measured.confidences, costs, budget if isinstance(budget, int) else budget * costs[-1])
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    thresholds = _lowered(found.thresholds, measured.confidences)
    reached = stages_reached(measured.confidences, thresholds)
    macs = float(np.take_along_axis(measured.macs, reached[None], axis=0).mean())
    return Calibration(thresholds, found.shares, costs, macs, len(measured.places), measured.failed)


def _lowered(thresholds: Sequence[float], confidences: Float64[ndarray, "stages pictures"]) -> tuple[float, ...]:
    """Lower each threshold a little, so that the least certain picture that leaves still leaves in another batch.

    A threshold moves by at most half of the distance to the next picture. An infinite one becomes DISABLED.
    """
    lowered: list[float] = []
    remaining = np.ones(confidences.shape[1], dtype=np.bool_)
    for threshold, confidence in zip(thresholds, confidences, strict=False):
        remaining &= confidence < threshold
        gap = threshold - float(confidence[remaining].max()) if remaining.any() else 1.0
        lowered.append(DISABLED if math.isinf(threshold) else max(0.0, threshold - min(TOLERANCE, gap / 2)))
    return tuple(lowered)


def pictures_of(
    data: Path, label_column: str | None, split: Part | None, split_file: Path | None, folder: Path
) -> tuple[list[str], Part]:
    """Return the paths of the pictures to calibrate on, and the name of their split; see `select_split`.

    Labels are needed only to select a split: a folder of pictures without labels is taken whole.
    Raises UsageError or DataError for data that can't be read.
    """
    try:
        labelled = read_examples(data, label_column=label_column)
    except UsageError:
        if data.is_file() or (data / "labels.csv").is_file() or split or split_file or label_column:
            raise
        return find_pictures([str(data)]), "all"
    labelled, part = select_split(labelled, split, split_file, folder)
    return [example.path for example in labelled.examples], part


def save_calibrated(pipeline: Pipeline, calibration: Calibration, out: Path, command: str) -> None:
    """Write a copy of the model's folder with the thresholds in its config and on its card, whole or not at all.

    command: the command line, for the card. Files of a model that already lie in `out` are replaced.
    Raises UsageError if the folder can't be created, OutputError if writing fails.
    """
    stages = staged_strategy(pipeline).config
    config = replace(stages, thresholds=calibration.thresholds, expected_macs=round(calibration.macs))
    unfinished = out.resolve().with_name(f".{out.resolve().name}.{os.getpid()}")
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"--out {str(out)!r} can't be created ({error.strerror}); choose another folder.") from error
    try:
        with writing(out):
            for name in COPIED:
                if (pipeline.info.folder / name).is_file():
                    shutil.copyfile(pipeline.info.folder / name, unfinished / name)
        write_config(unfinished, config)
        _write_card(pipeline.info, pipeline.config, config, _section(calibration, command), unfinished)
        write_sums(unfinished)
        with writing(out):
            _move(unfinished, out.resolve())
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _move(folder: Path, out: Path) -> None:
    if not out.is_dir():
        folder.rename(out)
        return
    for file in folder.iterdir():
        file.replace(out / file.name)
    (out / RESULTS).unlink(missing_ok=True)  # they were measured with other thresholds


def _write_card(info: ModelInfo, before: Config, after: Config, section: str, folder: Path) -> None:
    """Write the model's own card with a new description, and the section in place of an earlier calibration's."""
    file = info.folder / CARD
    text = file.read_text(encoding="utf-8") if file.is_file() else f"# {shared_name(info.name)}\n\n{describe(before)}\n"
    text = text.partition(SECTION)[0].replace(describe(before), describe(after))
    with whole_file(folder / CARD) as stream, writing(folder / CARD):
        stream.write(encode_text(f"{text.rstrip()}\n{SECTION}\n{section}\n"))


def _section(calibration: Calibration, command: str) -> str:
    shares = ", ".join(f"{share:.1%}" for share in calibration.shares)
    return (
        f"On {counted(calibration.pictures, 'picture')}, of which {shares} left at each stage: "
        f"{calibration.macs / 1e9:.3f} GMACs on average, {calibration.macs / calibration.costs[-1]:.1%} of the cost "
        "of all stages.\n\n"
        f"```\n{command}\n```"
    )
