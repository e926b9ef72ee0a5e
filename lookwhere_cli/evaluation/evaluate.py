"""How good a model is at several amounts of cells, next to chance, the centre, full ViTs and smaller pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from lookwhere_cli.amounts import ALL_CELLS, Amount
from lookwhere_cli.data.checks import drop_unusable_masks
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.evaluation.tiles import TiledPipeline
from lookwhere_cli.metrics.scores import Scores
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.scoring.choosers import CHOOSERS
from lookwhere_cli.scoring.costs import Costs, costs_of, mean_over, size_of_equal_macs
from lookwhere_cli.scoring.eval_set import EvalSet, ScoringTask, ShowProgress
from lookwhere_cli.scoring.passes import CellPolicy, StagePass
from lookwhere_cli.scoring.timing import Lap, answer_seconds, median_seconds, open_seconds, sample_evenly
from lookwhere_cli.scoring.variants import at_size, default_amount, with_k, with_thresholds
from lookwhere_cli.strategies.base import StagedStrategy
from lookwhere_cli.strategies.stages import DISABLED

if TYPE_CHECKING:
    from lookwhere_cli.evaluation.timm_classifier import TimmClassifier  # it imports torch

SHARES = tuple(map(Amount.share, (0.1, 0.25, 0.5, 1.0)))
TIMED = 16  # pictures whose time is measured


@dataclass(frozen=True)
class EvaluationRow:
    """A row of the table: how pictures were answered, how good the answers are, and what they cost.

    chosen_by: how cells were chosen: "selector", "random", "centre"; "all": not at all; "pruned at random": as the
    model does, but pruning drops random ones; "downscaled": all cells of a picture so small that it costs as much as k
    cells; "tiles": all cells of overlapping tiles, merged; "full": the full ViT; "teacher": a timm ViT. For a cascade:
    "confidence", each picture at its own exit, and "exit 1", "exit 2", ..., all pictures at that exit.
    k: the amount that was asked for; None for a cascade, "full" and "teacher".
    size: the grid holds about size x size pixels. coarse: the same for the coarse thumbnail; 0 without one.
    seconds: median per picture; None if it was not measured.
    """

    chosen_by: str
    k: Amount | None
    model: str
    size: int
    coarse: int
    costs: Costs
    scores: Scores
    seconds: float | None = None


@dataclass(frozen=True)
class EvaluationPlan:
    """What is measured.

    amounts: cells to read; the first makes the headline. A cascade ignores them. full: a full ViT. teacher: one by
    timm. timed: number of pictures whose time is measured. tiles: a full ViT on tiles, for boxes. at_random: the same
    model, pruned at random.
    """

    pipeline: Pipeline
    amounts: Sequence[Amount]
    full: Pipeline | None = None
    teacher: TimmClassifier | None = None
    timed: int = TIMED
    tiles: TiledPipeline | None = None
    at_random: Pipeline | None = None


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    pictures: number of pictures that could be read. failed: a sentence for each of the others. timed: number of
    pictures whose time was measured. decode: median seconds to open a picture, which no row includes.
    """

    plan: EvaluationPlan
    labelled: LabelledSet
    pictures: int
    failed: list[str]
    rows: list[EvaluationRow]
    timed: int
    decode: float | None

    @property
    def headline(self) -> EvaluationRow:
        """The selector's choice at the first of the amounts; for a cascade, what it does with its thresholds."""
        return self.rows[0]


@dataclass(frozen=True)
class _TimedRow:
    """A row, and how its time is measured; None if it is not."""

    row: EvaluationRow
    lap: Lap | None


def amounts_for(pipeline: Pipeline, requested: Sequence[Amount]) -> list[Amount]:
    """Return the requested amounts, else the model's own k and a few shares; each number of cells once, own k first.

    Raises UsageError for an amount other than all cells if the model has no selector.
    """
    if not pipeline.config.has_selector:
        if not all(amount.is_all for amount in requested):
            raise UsageError(f"The model {pipeline.info.name!r} has no selector and reads all cells; leave -k out.")
        return [ALL_CELLS]
    own, reading = default_amount(pipeline), pipeline.reader.reading
    ordered = sorted(requested or (own, *SHARES), key=lambda amount: amount != own)
    by_count: dict[int, Amount] = {}
    for amount in ordered:
        by_count.setdefault(amount.resolve((reading.size // reading.patch) ** 2), amount)
    return list(by_count.values())


def evaluate(
    plan: EvaluationPlan, labelled: LabelledSet, progress: ShowProgress, fail_fast: bool = False
) -> Evaluation:
    """Measure everything that is planned.

    Raises ModelError for a model that the data can't score, UsageError for a plan that can't be followed, DataError if
    no picture can be read or masks can't be used. fail_fast: raise PictureError for the first mask that can't be used,
    or its picture; for pictures without masks `progress` does that.
    """
    _check(plan, labelled)
    labelled, unusable = drop_unusable_masks(labelled, fail_fast)
    eval_set = EvalSet(labelled, progress)
    if isinstance(plan.pipeline.strategy, StagedStrategy):
        timed_rows = _stage_rows(plan.pipeline, eval_set)
    else:
        timed_rows = _policy_rows(plan, eval_set) + _randomly_pruned_rows(plan, eval_set)
        timed_rows += _downscaled_rows(plan, eval_set)
    timed_rows += _full_rows(plan, eval_set)
    paths = sample_evenly(eval_set.paths, plan.timed)
    seconds = median_seconds([one.lap for one in timed_rows], progress(paths, len(paths), "time"))
    (decode,) = median_seconds([partial(open_seconds, plan.pipeline)], paths)
    return Evaluation(
        plan,
        labelled,
        len(eval_set.sizes),
        unusable + eval_set.failed,
        [replace(one.row, seconds=measured) for one, measured in zip(timed_rows, seconds, strict=True)],
        len(paths),
        decode,
    )


def _check(plan: EvaluationPlan, labelled: LabelledSet) -> None:
    """Refuse models that the data can't score before masks are read."""
    ScoringTask(plan.pipeline, labelled)
    if plan.teacher is not None and not plan.pipeline.head.labels_pictures:
        raise UsageError("A timm ViT gives labels to pictures, not to pixels; leave --teacher out.")


def _policy_rows(plan: EvaluationPlan, eval_set: EvalSet) -> list[_TimedRow]:
    """Measure every amount with every chooser; all cells once."""
    policies = [
        CellPolicy(chooser, k) for k in plan.amounts for chooser in CHOOSERS if not k.is_all or chooser == "selector"
    ]
    scores = eval_set.score_policies(plan.pipeline, policies, "chosen cells")
    rows = []
    for policy, policy_scores in zip(policies, scores, strict=True):
        pipeline = with_k(plan.pipeline, policy.k)
        row = _row("all" if policy.k.is_all else policy.chooser, policy.k, pipeline, policy_scores, eval_set)
        rows.append(_TimedRow(row, partial(answer_seconds, pipeline) if policy.chooser == "selector" else None))
    return rows


def _randomly_pruned_rows(plan: EvaluationPlan, eval_set: EvalSet) -> list[_TimedRow]:
    """Measure every amount with pruning at random, if the model prunes."""
    if plan.at_random is None:
        return []
    scores = eval_set.score_policies(
        plan.at_random, [CellPolicy("selector", k) for k in plan.amounts], "pruned at random"
    )
    rows = []
    for k, own_scores in zip(plan.amounts, scores, strict=True):
        pipeline = with_k(plan.at_random, k)
        row = _row("pruned at random", k, pipeline, own_scores, eval_set)
        rows.append(_TimedRow(row, partial(answer_seconds, pipeline)))
    return rows


def _downscaled_rows(plan: EvaluationPlan, eval_set: EvalSet) -> list[_TimedRow]:
    """Measure, for every amount, all cells of a smaller picture at equal MACs; by the full ViT if there is one."""
    whole = plan.full or plan.pipeline
    sizes = list(eval_set.sizes.values())
    rows = []
    for k in plan.amounts:
        size = size_of_equal_macs(whole, costs_of(with_k(plan.pipeline, k), sizes).macs, sizes)
        if size < whole.reader.reading.size:
            rows.append(_all_cells_row("downscaled", k, at_size(whole, size), eval_set, f"downscaled to {size} px"))
    return rows


def _full_rows(plan: EvaluationPlan, eval_set: EvalSet) -> list[_TimedRow]:
    """Measure the full ViTs, on tiles and on whole pictures, if there are any."""
    rows = []
    if plan.tiles is not None:
        rows.append(_tiled_row(plan.tiles, eval_set))
    if plan.full is not None:
        rows.append(_all_cells_row("full", None, with_k(plan.full, ALL_CELLS), eval_set, "full ViT"))
    if plan.teacher is not None:
        rows.append(_teacher_row(plan.teacher, plan.pipeline, eval_set))
    return rows


def _tiled_row(tiles: TiledPipeline, eval_set: EvalSet) -> _TimedRow:
    """Measure a full ViT on tiles at full resolution."""
    task = ScoringTask(tiles.pipeline, eval_set.labelled)
    (scores,) = eval_set.score(task, 1, tiles.measure, f"tiles of {tiles.side} px")
    row = EvaluationRow("tiles", None, tiles.pipeline.info.name, tiles.side, 0, tiles.costs(), scores)
    return _TimedRow(row, tiles.seconds)


def _all_cells_row(chosen_by: str, k: Amount | None, pipeline: Pipeline, eval_set: EvalSet, title: str) -> _TimedRow:
    (scores,) = eval_set.score_policies(pipeline, [CellPolicy("selector", ALL_CELLS)], title)
    return _TimedRow(_row(chosen_by, k, pipeline, scores, eval_set), partial(answer_seconds, pipeline))


def _row(chosen_by: str, k: Amount | None, pipeline: Pipeline, scores: Scores, eval_set: EvalSet) -> EvaluationRow:
    reading, costs = pipeline.reader.reading, costs_of(pipeline, eval_set.sizes.values())
    return EvaluationRow(chosen_by, k, pipeline.info.name, reading.size, reading.coarse_size, costs, scores)


def _stage_rows(pipeline: Pipeline, eval_set: EvalSet) -> list[_TimedRow]:
    """Measure each picture at its own exit, if the cascade is calibrated, and all pictures at every exit.

    The first row is what the model does by default.
    """
    task, stage_pass = ScoringTask(pipeline, eval_set.labelled), StagePass(pipeline)
    ways = stage_pass.stages + 1
    scores = eval_set.score(task, ways, partial(stage_pass.measure, task.measure), "exits")
    last = stage_pass.stages - 1
    order: list[int | None] = [None] if pipeline.config.thresholds else []
    order += [last, *range(last)]
    return [_stage_row(stage, stage_pass, scores[-1 if stage is None else stage]) for stage in order]


def _stage_row(stage: int | None, stage_pass: StagePass, scores: Scores) -> _TimedRow:
    """Measure all pictures at one stage, counted from 0, or each at its own (None)."""
    pipeline, strategy = stage_pass.pipeline, stage_pass.strategy
    config, head, reading, exits = pipeline.config, pipeline.head, pipeline.reader.reading, stage_pass.exits
    costs = Costs(
        mean_over(exits, lambda exit_: strategy.stage_cells(exit_[0])[exit_[1] if stage is None else stage]),
        mean_over(exits, lambda exit_: strategy.stage_macs(exit_[0])[exit_[1] if stage is None else stage]),
        mean_over(exits, lambda exit_: head.count_full(config, exit_[0])),
    )
    chosen_by = "confidence" if stage is None else f"exit {stage + 1}"
    row = EvaluationRow(chosen_by, None, pipeline.info.name, reading.size, reading.coarse_size, costs, scores)
    timed = pipeline
    if stage is not None:
        later = stage_pass.stages - 1 - stage
        timed = with_thresholds(pipeline, (DISABLED,) * stage + (0.0,) * later)
    return _TimedRow(row, partial(answer_seconds, timed))


def _teacher_row(teacher: TimmClassifier, pipeline: Pipeline, eval_set: EvalSet) -> _TimedRow:
    """Measure a timm ViT. Raises ModelError if the number of its classes is not the model's."""
    labels = len(pipeline.config.labels)
    if teacher.classes != labels:
        raise ModelError(
            f"The teacher {teacher.name} has {teacher.classes} classes, but {pipeline.info.name!r} has {labels} "
            "labels; a teacher must have the same classes."
        )
    task = ScoringTask(pipeline, eval_set.labelled)
    (scores,) = eval_set.score(task, 1, partial(teacher.measure, task.measure), "teacher")
    costs = Costs(float(teacher.cells), float(teacher.macs), float(teacher.macs))
    row = EvaluationRow("teacher", None, teacher.name, teacher.size, 0, costs, scores)
    return _TimedRow(row, teacher.seconds)
