"""Who takes part in a comparison: trained models, each in several settings, and baselines that need no training."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from lookwhere_cli.adaptive import AdaptivePredictor, adaptive
from lookwhere_cli.amounts import ALL_CELLS, Amount, MacsShare
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.dvt_predictor import DVTPredictor
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.evaluation.calibrate import Sure, ask_all, calibration
from lookwhere_cli.evaluation.compare.comparison import HALVES, Entrant, half_of
from lookwhere_cli.images.frame import Grid
from lookwhere_cli.loading import load
from lookwhere_cli.macs import passes
from lookwhere_cli.metrics.eval_set import Tracked
from lookwhere_cli.metrics.passes import at_size
from lookwhere_cli.models.cascade.thresholds import LEAST
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning.cropr import Cropr
from lookwhere_cli.models.pruning.random import random_cropr
from lookwhere_cli.models.pruning.schedule import Pruning
from lookwhere_cli.models.pruning.tome import ToMe
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.staged import NEVER, StagedPredictor

LOOKS = 2
SEED = 0
SMALLER = (0.85, 0.7, 0.5)  # sides of smaller pictures, as shares of the model's own


@dataclass(frozen=True)
class Settings:
    """In what ways models are tried. All are shares: of the cells, of the blocks' MACs, of the last stage's MACs."""

    amounts: Sequence[float]
    prunes: Sequence[float]
    budgets: Sequence[float]


class Merging(Predictor):
    """A full ViT that merges alike cells in each block, without having been trained for it (ToMe)."""

    rate: int

    def macs(self, grid: Grid, k: int, dense: bool = False) -> int:
        """Multiply-adds for one picture, all cells read."""
        return passes.count_merged(self.config, grid, self.rate).total


def entrants(
    models: Mapping[str, str], settings: Settings, labelled: LabelledSet, tracked: Tracked, how: Mapping[str, Any]
) -> list[Entrant]:
    """All methods that have a model, the full ViT first, and the baselines that are made of the full ViT.

    models: a name or folder for each method that has one; `full` must be there. how: what `load` is told of all of
    them. Raises ModelError for a model of another method, UsageError as `calibration`.
    """
    makers = {"cropr": _cropr, "lookwhere": _lookwhere, "pruned": _pruned}
    found = [*_baselines(models["full"], settings, how)]
    for method, make in makers.items():
        if method in models:
            found += make(models[method], settings, how)
    given = (settings.budgets, labelled, tracked)
    if "lookwhere" in models and _may_look_again(settings, labelled):
        found += _cascade("auto", "again", _again(models["lookwhere"], settings, how), *given)
    if "auto" in models:
        found += _cascade("auto", "adding", _adding(models["auto"], how), *given)
    if "dvt" in models:
        found += _cascade("dvt", "", _dvt(models["dvt"], how), *given)
    return found


def _baselines(model: str, settings: Settings, how: Mapping[str, Any]) -> Iterator[Entrant]:
    """The full ViT, smaller pictures, cells that are dropped by chance, cells that are merged."""
    full = load(model, **how)
    if full.config.selector_depth or full.config.exits or full.config.prune is not None:
        raise ModelError(f"The model {model!r} is no full ViT; train one with --method full.")
    yield Entrant("full", "", [full], how)
    patch = full.config.patch
    sizes = dict.fromkeys(max(patch, round(share * full.reading.size / patch) * patch) for share in SMALLER)
    yield from (Entrant("smaller", f"{size} px", [at_size(full, size)]) for size in sizes)
    for share in settings.prunes:
        yield Entrant("random", f"{_told(share)} of MACs", [_by_chance(load(model, **how), share)])
    for share in settings.prunes:
        merging = _merging(load(model, **how), share)
        if merging is not None:
            yield Entrant("tome", f"r = {merging.rate}", [merging])


def _lookwhere(model: str, settings: Settings, how: Mapping[str, Any]) -> Iterator[Entrant]:
    own = load(model, **how).k
    shares = list(map(Amount.share, settings.amounts))
    amounts = sorted({own, *shares}, key=lambda k: k.value) if own.is_share else [*shares, own]
    yield from (_entrant("lookwhere", str(k), model, {**how, "k": k.value}) for k in amounts)


def _pruned(model: str, settings: Settings, how: Mapping[str, Any]) -> Iterator[Entrant]:
    for k in settings.amounts:
        for share in settings.prunes:
            told = f"{_told(k)}, {_told(share)} of MACs"
            yield _entrant("pruned", told, model, {**how, "k": k, "prune": share})


def _cropr(model: str, settings: Settings, how: Mapping[str, Any]) -> Iterator[Entrant]:
    for share in settings.prunes:
        yield _entrant("cropr", f"{_told(share)} of MACs", model, {**how, "prune": share})


def _entrant(method: str, setting: str, model: str, options: Mapping[str, Any]) -> Entrant:
    predictor = load(model, **options)
    chooses = predictor.config.selector_depth > 0
    if chooses != (method != "cropr"):
        raise ModelError(f"The model {model!r} has {'a' if chooses else 'no'} selector; it is none for {method}.")
    return Entrant(method, setting, [predictor], options)


def _told(k: float) -> str:
    return f"{100 * k:.4g}%"


def _may_look_again(settings: Settings, labelled: LabelledSet) -> bool:
    """Whether a model for one look can be tried with two: it takes two amounts, and pictures enough to calibrate on."""
    enough = len(labelled.examples) // HALVES >= LEAST * LOOKS
    return labelled.kind == "single" and len(settings.amounts) >= LOOKS and enough


def _again(model: str, settings: Settings, how: Mapping[str, Any]) -> AdaptivePredictor:
    """Two looks of a model that was trained for one: the second starts anew, and so reads all that it may."""
    return adaptive(load(model, **how), (min(settings.amounts), max(settings.amounts)))


def _adding(model: str, how: Mapping[str, Any]) -> AdaptivePredictor:
    """Raises ModelError for a model without a second look."""
    return adaptive(load(model, **how))


def _dvt(model: str, how: Mapping[str, Any]) -> DVTPredictor:
    cascade = load(model, **how)
    if not isinstance(cascade, DVTPredictor):
        raise ModelError(f"The model {model!r} is no cascade over grids; train one with --method dvt.")
    return cascade


def _cascade(
    method: str, looks: str, cascade: StagedPredictor, budgets: Sequence[float], labelled: LabelledSet, tracked: Tracked
) -> Iterator[Entrant]:
    """Every budget that is more than the first stage takes; and the last stage for all."""
    told = ask_all(cascade, [example.path for example in labelled.examples], tracked)
    first, *_, last = told.macs.mean(dim=1).tolist()
    for budget in budgets:
        if budget * last > first:
            setting = ", ".join(filter(None, (looks, f"budget {_told(budget)}")))
            yield Entrant(method, setting, calibrated(cascade, told, budget))
    always = (NEVER,) * (cascade.count - 1)
    yield Entrant(method, ", ".join(filter(None, (looks, "all stages"))), [_with_thresholds(cascade, always)])


def calibrated(cascade: StagedPredictor, told: Sure, budget: float) -> list[Predictor]:
    """For each half of the pictures the cascade with thresholds from the other half. Raises UsageError."""
    others = [half_of(told.places, 1 - half) for half in range(HALVES)]
    return [_with_thresholds(cascade, calibration(told.at(places), budget).thresholds) for places in others]


def _with_thresholds(cascade: StagedPredictor, thresholds: tuple[float, ...]) -> StagedPredictor:
    one = copy.copy(cascade)
    one.thresholds = thresholds
    return one


def _by_chance(predictor: Predictor, share: float) -> Predictor:
    """The full ViT, that drops cells by chance and keeps to a share of the blocks' MACs; scoring is counted with."""
    model, segments = predictor.loaded.model, predictor.config.task == "segment"
    assert isinstance(model, LookWhere)
    config = replace(predictor.config, prune=MacsShare(share), prune_fusion=segments)
    try:
        model.extractor.cropr = random_cropr(config, Pruning(MacsShare(share), segments), SEED)
    except ValueError as failure:
        raise UsageError(f"{failure}; give larger shares with --prune.") from failure
    model.config = config
    loaded = replace(predictor.loaded, config=config)
    one = copy.copy(predictor)
    one.loaded, one.config = loaded, config
    return one


def _merging(predictor: Predictor, share: float) -> Merging | None:
    """The full ViT at the least rate of merging that keeps within a share of its MACs; None where none does."""
    model, config, reading = predictor.loaded.model, predictor.config, predictor.reading
    assert isinstance(model, LookWhere)
    most = share * passes.count_merged(config, config.grid, 0).total
    rates = range(1, config.grid[0] * config.grid[1])
    rate = next((one for one in rates if passes.count_merged(config, config.grid, one).total <= most), None)
    if rate is None:
        return None
    model.extractor.cropr = cast(Cropr, ToMe(config, rate))  # it is called in the same place
    merging = Merging(
        predictor.loaded,
        reading,
        k=ALL_CELLS,
        top=predictor.top,
        batch_size=predictor.batch_size,
        workers=predictor.workers,
    )
    merging.rate = rate
    return merging
