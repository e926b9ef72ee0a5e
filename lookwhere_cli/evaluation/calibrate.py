"""Thresholds of a cascade for a budget, and the model's folder that has them."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhere_cli.card import describe
from lookwhere_cli.checkpoints.folder import Loaded, write_config
from lookwhere_cli.checkpoints.layout import CARD, RESULTS, TRAINING, WEIGHTS
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.data.splits import SPLIT_FILE
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.metrics.eval_set import Part, Tracked, part_of
from lookwhere_cli.models.cascade.stages import exits_of
from lookwhere_cli.models.cascade.thresholds import calibrate
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.staged import NEVER, StagedPredictor

KEPT = (WEIGHTS, TRAINING, SPLIT_FILE)
"""What is the same of a calibrated model. What was measured of it is not."""
ROUNDING = 1e-4
"""To this, probabilities do not depend on the batch."""
SECTION = "\n## Calibrated\n"


class Sure(NamedTuple):
    """What all stages say of the pictures that can be read, at `places` of those asked for.

    sure: how sure each is of each picture, 0..1. macs: multiply-adds by then. failed: a sentence for each other one.
    """

    places: Sequence[int]
    sure: Float[Tensor, "stages pictures"]
    macs: Float[Tensor, "stages pictures"]
    failed: tuple[str, ...] = ()

    def at(self, places: Container[int]) -> Sure:
        """The same of the pictures at these places alone."""
        kept = [number for number, place in enumerate(self.places) if place in places]
        return Sure([self.places[number] for number in kept], self.sure[:, kept], self.macs[:, kept])


@dataclass(frozen=True)
class Calibration:
    """Thresholds for all stages but the last, as a config has them, and what they came to.

    shares: of the pictures, that left at each stage. costs: mean multiply-adds of pictures that leave at each.
    macs: mean multiply-adds of the pictures, each leaving where it is sure. failed: a sentence for each left out.
    """

    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    costs: tuple[float, ...]
    macs: float
    pictures: int
    failed: tuple[str, ...]


def ask_all(predictor: StagedPredictor, paths: Sequence[str], tracked: Tracked) -> Sure:
    """Run all stages on all pictures. Raises UsageError where none can be read."""
    told = list(tracked(predictor.stages(paths), len(paths), "confidences"))
    read = [(place, one) for place, one in enumerate(told) if not isinstance(one, str)]
    failed = tuple(one for one in told if isinstance(one, str))
    if not read:
        raise UsageError(f"None of the {len(paths)} pictures can be read: {failed[0]}")
    sure, macs = (torch.tensor(one, dtype=torch.float64).mT for one in zip(*(one for _, one in read), strict=True))
    return Sure([place for place, _ in read], sure, macs, failed)


def calibration(told: Sure, budget: int | float) -> Calibration:
    """Thresholds for a budget: multiply-adds per picture (int), or a share of what the last stage costs (float).

    Raises UsageError for a budget that can't be met, and for too few pictures.
    """
    costs = tuple(told.macs.mean(dim=1).tolist())
    try:
        found = calibrate(told.sure, costs, budget if isinstance(budget, int) else budget * costs[-1])
    except ValueError as failure:
        raise UsageError(f"{failure}.") from failure
    thresholds = _eased(found.thresholds, told.sure)
    spent = told.macs.gather(0, exits_of(told.sure, thresholds)[None]).mean().item()
    return Calibration(thresholds, found.shares, costs, spent, len(told.places), told.failed)


def _eased(thresholds: Sequence[float], sure: Float[Tensor, "stages pictures"]) -> tuple[float, ...]:
    """A little below the least sure picture that leaves, at most half-way to the next, as rounding goes."""
    eased, going = [], torch.ones(sure.shape[1], dtype=torch.bool)
    for threshold, one in zip(thresholds, sure, strict=False):
        going &= one < threshold
        gap = threshold - one[going].max().item() if going.any() else 1.0
        eased.append(NEVER if math.isinf(threshold) else max(0.0, threshold - min(ROUNDING, gap / 2)))
    return tuple(eased)


def pictures_of(
    data: Path, label_column: str | None, split: Part | None, split_file: Path | None, folder: Path
) -> tuple[list[str], Part]:
    """The pictures' paths, and which part of the data they are; see `part_of`.

    Labels are needed only for a part: pictures in a folder without any are all taken. Raises UsageError, DataError.
    """
    try:
        labelled = read_examples(data, label_column=label_column)
    except UsageError:
        if data.is_file() or (data / "labels.csv").is_file() or split or split_file or label_column:
            raise
        return find_pictures([str(data)]), "all"
    labelled, part = part_of(labelled, split, split_file, folder)
    return [example.path for example in labelled.examples], part


def save_calibrated(loaded: Loaded, found: Calibration, out: Path, command: str) -> None:
    """Write the model's folder with the thresholds in its config and a word of them on its card, whole or not at all.

    Of a folder that is there already, the files of a model are replaced. Raises OutputError, and UsageError for a place
    that can't be.
    """
    config = replace(loaded.config, thresholds=found.thresholds, expected_macs=round(found.macs))
    unfinished = out.resolve().with_name(f".{out.resolve().name}.{os.getpid()}")
    try:
        unfinished.mkdir(parents=True)
    except OSError as failure:
        raise UsageError(f"--out {str(out)!r} can't be made ({failure.strerror}); choose another place.") from failure
    try:
        with writing(out):
            for name in KEPT:
                if (loaded.folder / name).is_file():
                    shutil.copyfile(loaded.folder / name, unfinished / name)
        write_config(unfinished, config)
        _write_card(loaded, describe(config), _told(found, command), unfinished)
        write_sums(unfinished)
        with writing(out):
            _put(unfinished, out.resolve())
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _put(new: Path, out: Path) -> None:
    if not out.is_dir():
        new.rename(out)
        return
    for file in new.iterdir():
        file.replace(out / file.name)
    (out / RESULTS).unlink(missing_ok=True)  # measured of other thresholds


def _write_card(loaded: Loaded, described: str, told: str, folder: Path) -> None:
    """The model's own, but for its description, and for what an earlier calibration said."""
    file = loaded.folder / CARD
    before = file.read_text(encoding="utf-8") if file.is_file() else f"# {loaded.name}\n\n{describe(loaded.config)}\n"
    kept = before.partition(SECTION)[0].replace(describe(loaded.config), described)
    with whole_file(folder / CARD) as stream, writing(folder / CARD):
        stream.write(f"{kept.rstrip()}\n{SECTION}\n{told}\n".encode())


def _told(found: Calibration, command: str) -> str:
    shares = ", ".join(f"{share:.1%}" for share in found.shares)
    return (
        f"On {found.pictures:,} pictures, of which {shares} left at each stage: {found.macs / 1e9:.3f} GMACs on "
        f"average, {found.macs / found.costs[-1]:.1%} of what running all stages takes.\n\n```\n{command}\n```"
    )
