"""How good a model is at several k, beside chance, the centre, the full ViT and a smaller picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

from lookwhere_cli.amounts import ALL_CELLS, Amount
from lookwhere_cli.data.checks import drop_unusable
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.evaluation.timm_classifier import Full
from lookwhere_cli.macs import passes
from lookwhere_cli.metrics.choosers import CHOOSERS
from lookwhere_cli.metrics.eval_set import Field, Task, Tracked, task_for
from lookwhere_cli.metrics.exits import Exits
from lookwhere_cli.metrics.passes import (
    Look,
    at_size,
    evenly,
    grids_of,
    lap,
    mean_macs,
    median_seconds,
    size_of_equal_macs,
)
from lookwhere_cli.metrics.scores import Scores
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.staged import StagedPredictor

SHARES = tuple(map(Amount.share, (0.1, 0.25, 0.5, 1.0)))
TIMED = 16  # pictures whose time is taken
Lap = Callable[[str], float]


@dataclass(frozen=True)
class Line:
    """A line of the table: how pictures were read, how good the answers were, what it cost.

    by: who chose the cells: "selector", "random" or "centre"; "all": nobody; "downscaled": all cells of a picture so
    small that it costs as much as k cells; "full": the full ViT; "teacher": one of timm's. Of a cascade:
    "confidence", each picture's own exit, and "exit 1", "exit 2", ..., that one for all. k: the amount as asked; None
    for a cascade and the last two. cells, macs, macs_full (the full ViT's on the same grid): means per picture.
    size: the grid holds about size x size pixels. coarse: the same of the whole that is read beside the cells; 0: none.
    seconds: median per picture, where it was taken.
    """

    by: str
    k: Amount | None
    model: str
    size: int
    coarse: int
    cells: float
    macs: float
    macs_full: float
    scores: Scores
    seconds: float | None = None


@dataclass(frozen=True)
class Contest:
    """Who is measured, at which k, and the full ViTs beside it.

    amounts: counts or shares, of which the first makes the headline; without effect for a cascade.
    """

    predictor: Predictor
    amounts: Sequence[Amount]
    full: Predictor | None = None
    teacher: Full | None = None
    timed: int = TIMED


@dataclass(frozen=True)
class Evaluation:
    """What was measured. failed: a sentence for each picture that could not be read.

    timed: so many pictures' time was taken. decode: median seconds until a picture is open; no line includes it.
    """

    contest: Contest
    labelled: LabelledSet
    pictures: int
    failed: list[str]
    lines: list[Line]
    timed: int
    decode: float | None

    @property
    def headline(self) -> Line:
        """The model's choice at the first of the amounts; of a cascade, what it does with its thresholds."""
        return self.lines[0]


def amounts_for(predictor: Predictor, asked: Sequence[Amount]) -> list[Amount]:
    """What is asked for, else the model's own k and a few shares; each amount once, the model's own first.

    Raises UsageError for an amount that a model without a selector would have to choose.
    """
    if not predictor.config.selector_depth:
        if not all(amount.is_all for amount in asked):
            raise UsageError(f"The model {predictor.loaded.name!r} has no selector and reads all cells; leave -k out.")
        return [ALL_CELLS]
    cells = (predictor.reading.size // predictor.config.patch) ** 2
    wanted = sorted(asked or (predictor.k, *SHARES), key=lambda amount: amount != predictor.k)
    different: dict[int, Amount] = {}
    for amount in wanted:
        different.setdefault(amount.resolve(cells), amount)
    return list(different.values())


def evaluate(contest: Contest, labelled: LabelledSet, tracked: Tracked) -> Evaluation:
    """Measure everything.

    Raises DataError where no picture can be read or a mask does not fit, ModelError for a model of another task.
    """
    broken: list[str] = []
    if labelled.kind == "masks":
        _check_masks(contest)
        labelled, broken = drop_unusable(labelled)
    field = Field(labelled, tracked)
    if isinstance(contest.predictor, StagedPredictor):
        entries = _left(contest.predictor, field)
    else:
        entries = _chosen(contest, field) + _downscaled(contest, field)
    entries += _full(contest, field)
    timed = evenly(field.paths, contest.timed)
    seconds = median_seconds([entry.lap for entry in entries], tracked(timed, len(timed), "time"))
    return Evaluation(
        contest,
        labelled,
        len(field.sizes),
        broken + field.failed,
        [replace(entry.line, seconds=one) for entry, one in zip(entries, seconds, strict=True)],
        len(timed),
        _decoding(contest.predictor, timed),
    )


def _check_masks(contest: Contest) -> None:
    if contest.predictor.reading.mode == "crop":
        raise UsageError("--crop leaves pixels without a class; measure masks on whole or stretched pictures.")
    if contest.teacher is not None:
        raise UsageError("A timm ViT gives a picture its labels, no mask; leave --teacher out.")


@dataclass(frozen=True)
class _Entry:
    line: Line
    lap: Lap | None
    """The seconds of one picture."""


def _chosen(contest: Contest, field: Field) -> list[_Entry]:
    """Every amount by every chooser; all cells once."""
    predictor = contest.predictor
    task = task_for(field.labelled, predictor.config, predictor.loaded.name)
    looks = [Look(by, k) for k in contest.amounts for by in CHOOSERS if not k.is_all or by == "selector"]
    scores = field.scores(predictor, looks, task, "chosen cells")
    return [
        _entry("all" if look.k.is_all else look.by, look.k, predictor, look, task, one, field)
        for look, one in zip(looks, scores, strict=True)
    ]


def _left(predictor: StagedPredictor, field: Field) -> list[_Entry]:
    """Each picture's own exit, where there are thresholds, and every exit for all; the first is what the model does."""
    exits, task = Exits(predictor), task_for(field.labelled, predictor.config, predictor.loaded.name)
    scores = field.scored(exits, exits.outcomes, task, "exits")
    order: list[int | None] = [None] if predictor.config.thresholds else []
    order += [exits.count - 1, *range(exits.count - 1)]
    return [_left_at(exit_, exits, scores[exits.count if exit_ is None else exit_]) for exit_ in order]


def _left_at(exit_: int | None, exits: Exits, scores: Scores) -> _Entry:
    by = "confidence" if exit_ is None else f"exit {exit_ + 1}"
    name, reading = exits.predictor.loaded.name, exits.predictor.reading
    costs = exits.cells(exit_), exits.macs(exit_), exits.macs_full()
    line = Line(by, None, name, reading.size, reading.coarse_size, *costs, scores)
    return _Entry(line, partial(exits.lap, exit_))


def _downscaled(contest: Contest, field: Field) -> list[_Entry]:
    """For every amount, all cells of a smaller picture at equal MACs, by the full ViT where there is one."""
    reader = contest.full or contest.predictor
    task = task_for(field.labelled, reader.config, reader.loaded.name)
    sizes, look = list(field.sizes.values()), Look("selector", ALL_CELLS)
    entries = []
    for k in contest.amounts:
        size = size_of_equal_macs(reader, mean_macs(contest.predictor, k, sizes), sizes)
        if size < reader.reading.size:
            smaller = at_size(reader, size)
            scores = field.scores(smaller, [look], task, f"downscaled to {size} px")
            entries.append(_entry("downscaled", k, smaller, look, task, scores[0], field))
    return entries


def _entry(
    by: str, k: Amount | None, predictor: Predictor, look: Look, task: Task, scores: Scores, field: Field
) -> _Entry:
    grids = grids_of(predictor, list(field.sizes.values()))
    line = Line(
        by,
        k,
        predictor.loaded.name,
        predictor.reading.size,
        predictor.reading.coarse_size,
        sum(times * look.k.resolve(rows * columns) for (rows, columns), times in grids.items()) / grids.total(),
        mean_macs(predictor, look.k, list(field.sizes.values())),
        sum(times * passes.count_full(predictor.config, grid) for grid, times in grids.items()) / grids.total(),
        scores,
    )
    return _Entry(line, None if by in ("random", "centre") else partial(lap, predictor, look, task.answer))


def _full(contest: Contest, field: Field) -> list[_Entry]:
    """The full ViT and timm's, where there are any."""
    entries = []
    if contest.full is not None:
        task = task_for(field.labelled, contest.full.config, contest.full.loaded.name)
        look = Look("selector", ALL_CELLS)
        scores = field.scores(contest.full, [look], task, "full ViT")[0]
        entries.append(_entry("full", None, contest.full, look, task, scores, field))
    if contest.teacher is not None:
        entries.append(_teachers(contest.teacher, contest.predictor, field))
    return entries


def _teachers(teacher: Full, predictor: Predictor, field: Field) -> _Entry:
    """Raises ModelError where its classes can't be the model's labels."""
    if teacher.classes != len(predictor.config.labels):
        raise ModelError(
            f"The teacher {teacher.name} has {teacher.classes} classes, but {predictor.loaded.name!r} has "
            f"{len(predictor.config.labels)} labels; a teacher must have the same ones."
        )
    scores = field.teachers_scores(teacher.run, task_for(field.labelled, predictor.config, predictor.loaded.name))
    spent = float(teacher.macs)
    line = Line("teacher", None, teacher.name, teacher.size, 0, float(teacher.cells), spent, spent, scores)
    return _Entry(line, teacher.lap)


def _decoding(predictor: Predictor, paths: Sequence[str]) -> float | None:
    """Median seconds until a picture is open."""
    laps = []
    for path in paths:
        started = time.perf_counter()
        predictor.view(path)
        laps.append(time.perf_counter() - started)
    return median(laps) if laps else None
