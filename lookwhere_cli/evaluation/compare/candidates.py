"""What a comparison compares: trained models, each in several settings, and baselines that need no training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lookwhere_cli.amounts import Amount
from lookwhere_cli.card import describe
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.errors import ModelError
from lookwhere_cli.evaluation.calibrate import StageConfidences, calibrate, measure_confidences
from lookwhere_cli.evaluation.compare.comparison import HALVES, Candidate, half_of
from lookwhere_cli.evaluation.random_pruning import pruned_at_random
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.loading import load, predictor_of
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.tome import ToMe
from lookwhere_cli.options import OptionChanges, Options
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.scoring.eval_set import ShowProgress
from lookwhere_cli.scoring.variants import at_size, default_amount, with_looks, with_thresholds
from lookwhere_cli.strategies.base import AmountStrategy, StagedStrategy
from lookwhere_cli.strategies.registry import fixed_strategy
from lookwhere_cli.strategies.stages import DISABLED
from lookwhere_cli.strategies.thresholds import LEAST_PICTURES

LOOKS = 2
SMALLER = (0.85, 0.7, 0.5)  # sides of smaller pictures, as shares of the model's own size


@dataclass(frozen=True)
class ComparisonSettings:
    """The settings in which models are tried, all of them shares: of the cells, of the blocks' MACs, of the MACs of
    the last stage.
    """

    amounts: Sequence[float]
    prunes: Sequence[float]
    budgets: Sequence[float]


@dataclass(frozen=True)
class CandidateMaker:
    """Makes the candidates of each method.

    options: the fields of `Options` that all models are loaded with.
    """

    settings: ComparisonSettings
    labelled: LabelledSet
    options: OptionChanges
    progress: ShowProgress

    def make(self, models: Mapping[str, str]) -> list[Candidate]:
        """Return the full ViT, the baselines that are made of it, and the candidates of all methods with a model.

        models: a model's name or folder for each method that has one; there must be one for `full`. A model with a
        selector is also tried with two looks, if there are pictures enough to calibrate it.
        Raises ModelError for a model of another method, UsageError as `calibrate` does.
        """
        candidates = list(self._baselines(models["full"]))
        for method, make in (("cropr", self._cropr), ("lookwhere", self._lookwhere), ("pruned", self._pruned)):
            if method in models:
                candidates += make(models[method])
        if "lookwhere" in models and self._can_look_twice:
            candidates += self._cascade("auto", "again", self._restarting(models["lookwhere"]))
        if "auto" in models:
            candidates += self._cascade("auto", "adding", self._adding(models["auto"]))
        if "dvt" in models:
            candidates += self._cascade("dvt", "", self._grids(models["dvt"]))
        return candidates

    def _baselines(self, model: str) -> Iterator[Candidate]:
        """The full ViT: on whole pictures, on smaller ones, dropping cells at random, merging cells."""
        full = load(model, **self.options)
        config, strategy = full.config, full.pipeline.strategy
        if config.has_selector or config.prune is not None or not isinstance(strategy, AmountStrategy):
            raise ModelError(f"The model {model!r} is not a full ViT; train one with --method full.")
        yield Candidate("full", "", [full], self.options)
        whole = full.pipeline.reader.reading.size
        sizes = (max(config.patch, round(share * whole / config.patch) * config.patch) for share in SMALLER)
        for size in dict.fromkeys(sizes):
            yield Candidate("smaller", f"{size} px", [Predictor(at_size(full.pipeline, size))])
        for share in self.settings.prunes:
            options = Options(**self.options | {"prune": share})  # type: ignore[arg-type] # Options reads these forms
            yield Candidate("random", _macs(share), [pruned_at_random(model, options)])
        for share in self.settings.prunes:
            rate = _merging_rate(config, share)
            if rate is not None:
                yield Candidate("tome", f"r = {rate}", [self._merging(model, rate)])

    def _lookwhere(self, model: str) -> Iterator[Candidate]:
        own = default_amount(load(model, **self.options).pipeline)
        shares = list(map(Amount.share, self.settings.amounts))
        amounts = sorted({own, *shares}, key=lambda k: k.value) if own.is_share else [*shares, own]
        for k in amounts:
            yield _candidate("lookwhere", str(k), model, {**self.options, "k": k.value})

    def _pruned(self, model: str) -> Iterator[Candidate]:
        for k in self.settings.amounts:
            for share in self.settings.prunes:
                options: OptionChanges = {**self.options, "k": k, "prune": share}
                yield _candidate("pruned", f"{_percent(k)}, {_macs(share)}", model, options)

    def _cropr(self, model: str) -> Iterator[Candidate]:
        for share in self.settings.prunes:
            yield _candidate("cropr", _macs(share), model, {**self.options, "prune": share})

    @property
    def _can_look_twice(self) -> bool:
        """True if there are two amounts to look with, and enough pictures with one label to calibrate on."""
        examples = self.labelled.examples
        enough = TRAINING_HEADS[self.labelled.kind].has_one_label and len(examples) // HALVES >= LEAST_PICTURES * LOOKS
        return enough and len(self.settings.amounts) >= LOOKS and all(len(example.classes) == 1 for example in examples)

    def _restarting(self, model: str) -> Pipeline:
        """A model that was trained for one look: the second one reads all its cells anew, so it may read the most."""
        amounts = self.settings.amounts
        looks = [Amount.share(min(amounts)), Amount.share(max(amounts))]
        return with_looks(load(model, **self.options).pipeline, looks)

    def _adding(self, model: str) -> Pipeline:
        pipeline = load(model, **self.options).pipeline
        if not pipeline.config.looks:
            raise ModelError(f"The model {model!r} has no second look; train one with --second-look.")
        return with_looks(pipeline, pipeline.config.looks)

    def _grids(self, model: str) -> Pipeline:
        pipeline = load(model, **self.options).pipeline
        if not isinstance(pipeline.strategy, StagedStrategy):
            raise ModelError(f"The model {model!r} is not a cascade over grids; train one with --method dvt.")
        return pipeline

    def _cascade(self, method: str, looks: str, pipeline: Pipeline) -> Iterator[Candidate]:
        """Every budget above the cost of the first stage, and all stages for all pictures."""
        paths = [example.path for example in self.labelled.examples]
        measured = measure_confidences(pipeline, paths, self.progress)
        first, *_, last = measured.macs.mean(axis=1).tolist()
        for budget in self.settings.budgets:
            if budget * last > first:
                setting = ", ".join(filter(None, (looks, f"budget {_percent(budget)}")))
                yield Candidate(method, setting, calibrate_halves(pipeline, measured, budget))
        uncalibrated = with_thresholds(pipeline, (DISABLED,) * (len(measured.macs) - 1))
        yield Candidate(method, ", ".join(filter(None, (looks, "all stages"))), [Predictor(uncalibrated)])

    def _merging(self, model: str, rate: int) -> Predictor:
        """The full ViT with `rate` cells merged in each block."""
        options = Options(**self.options)  # type: ignore[arg-type] # Options reads these forms
        loaded = load_model(model, options.device, options.dtype, describe)
        # The extractor calls whatever module is in this place; both kinds return the same.
        loaded.lookwhere.extractor.cropr = ToMe(loaded.config, rate)  # type: ignore[assignment]

        def count_macs(config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int) -> int:
            """Return a picture's multiply-adds: all cells are read, and their tokens merged, whatever k is."""
            return passes.count_merged(config, grid, rate).total

        strategy = replace(fixed_strategy(loaded.config, coarse_size=0), count_macs=count_macs)
        return Predictor(replace(predictor_of(loaded, options).pipeline, strategy=strategy))


def calibrate_halves(pipeline: Pipeline, measured: StageConfidences, budget: float) -> list[Predictor]:
    """Return, for each half of the pictures, the cascade with thresholds from the other half. Raises UsageError."""
    others = [half_of(measured.places, 1 - half) for half in range(HALVES)]
    calibrations = (calibrate(measured.at(places), budget) for places in others)
    return [Predictor(with_thresholds(pipeline, calibration.thresholds)) for calibration in calibrations]


def _candidate(method: str, setting: str, model: str, options: OptionChanges) -> Candidate:
    """Raises ModelError for a model with a selector that the method does not have, or the other way round."""
    predictor = load(model, **options)
    has_selector = predictor.config.has_selector
    if has_selector != (method != "cropr"):
        raise ModelError(
            f"The model {model!r} has {'a' if has_selector else 'no'} selector, so it can't be the one for {method}."
        )
    return Candidate(method, setting, [predictor], options)


def _merging_rate(config: Config, share: float) -> int | None:
    """Return the lowest rate of merging that keeps to a share of the full ViT's MACs; None if none does."""
    limit = share * passes.count_merged(config, config.grid, 0).total
    rates = range(1, config.grid[0] * config.grid[1])
    return next((rate for rate in rates if passes.count_merged(config, config.grid, rate).total <= limit), None)


def _macs(share: float) -> str:
    return f"{_percent(share)} of MACs"


def _percent(share: float) -> str:
    return f"{100 * share:.4g}%"
