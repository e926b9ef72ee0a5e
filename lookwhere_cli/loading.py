"""From a model's name and a user's wishes to a predictor; what can't be is refused before any picture is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, TypedDict, get_args

from lookwhere_cli.adaptive import AdaptivePredictor, check_calibrated
from lookwhere_cli.amounts import Amount, AmountLike, PruneAmount, PruneLike
from lookwhere_cli.checkpoints.card import describe
from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.dvt_predictor import DVTPredictor
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.frame import Mode, Reading
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning.schedule import Pruning
from lookwhere_cli.predictor import Predictor


def load(
    model: str = DEFAULT_CLASSIFIER,
    *,
    k: AmountLike | None = None,
    size: int | None = None,
    coarse: int | None = None,
    prune: PruneLike | None = None,
    mode: Mode = "whole",
    thumbnail: Literal["antialias", "alias"] | None = None,
    top: int = 5,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int = 32,
    workers: int | None = None,
    max_pixels: int = Reading.max_pixels,
    background: tuple[int, int, int] = Reading.background,
) -> Predictor:
    """Load a model, ready to classify.

    Args:
        model: a bundled model's name, a published one's alias, a folder, or owner/name[@revision] on the Hub, which is
            fetched if it is not here yet.
        k: cells to read: a count (int: 1 is one cell) or a share of the picture's grid (float: 1.0 is all of it);
            "auto" for as many as each picture needs, by a model that was calibrated; by default the model's own.
        size: the grid holds about size x size pixels; a multiple of the model's patch, by default the model's own.
        coarse: the whole is also read at about so many pixels squared, beside the cells; a multiple of the patch, 0 for
            not at all, by default the model's own.
        prune: what is dropped of the cells while they are computed, by a model that was trained for it: so many tokens
            after each block (int; 0 for none), or as many as leave a share of the blocks' multiply-adds (float); by
            default as it was trained.
        mode: "whole" reads all of the picture at its own shape, "crop" the centre square, "stretch" all, squashed.
        thumbnail: "antialias", or "alias" as the published models were trained; by default the model's own.
        top: labels to keep of each answer.
        device: "auto", "cpu", "cuda", "cuda:1", "mps", ...
        dtype: "float32", "bfloat16" or "float16".
        batch_size: pictures that go through the model together.
        workers: threads that decode, by default one per core.
        max_pixels: a picture with more is refused.
        background: (red, green, blue), 0..255, behind what is transparent.

    Raises UsageError for a value that can't be, ModelError for a model that can't be used.
    """
    _check_one_of("mode", mode, get_args(Mode))
    _check_one_of("thumbnail", thumbnail, (None, "antialias", "alias"))
    loaded = load_model(model, device, dtype, describe)
    config = loaded.config
    size = _whole_patches("size", config.size if size is None else size, config.patch)
    fixed = config.k if k is None or k == "auto" else possible(parsed(k), size, config.patch)
    if prune is not None:
        loaded = _pruned(loaded, prune, config.prefix_tokens + fixed.resolve((size // config.patch) ** 2))
    coarse = config.coarse_size if coarse is None else _coarse(coarse, config)
    reading = Reading(
        config.patch,
        size,
        mode,
        config.crop_share,
        thumbnail or config.thumbnail_filter,
        max_pixels,
        background,
        coarse,
    )
    together = Together(
        top=_at_least_one("top", top),
        batch_size=_at_least_one("batch size", batch_size),
        workers=_at_least_one("number of workers", usable_cpus() if workers is None else workers),
    )
    if config.exits:
        _check_whole(loaded.name, config, reading, fixed)
        return DVTPredictor(loaded, reading, **together)
    if k == "auto":
        return _looking_closer(loaded, reading, together)
    return Predictor(loaded, reading, k=fixed, **together)


class Together(TypedDict):
    """What all predictors are told, whatever they read."""

    top: int
    batch_size: int
    workers: int


def _looking_closer(loaded: Loaded, reading: Reading, together: Together) -> AdaptivePredictor:
    predictor = AdaptivePredictor(loaded, reading, **together)
    check_calibrated(loaded)
    possible(predictor.k, reading.size, reading.patch)
    return predictor


def _check_whole(name: str, config: Config, reading: Reading, k: Amount) -> None:
    """Raise UsageError for what a cascade over grids can't do: read in part, or on grids without room to grow."""
    if reading.coarse_size or not k.is_all:
        raise UsageError(
            f"The model {name!r} is a cascade that reads all cells of each grid; leave -k and --coarse out."
        )
    if reading.size < config.patch * len(config.exits):
        raise UsageError(
            f"A size of {reading.size} leaves no room for {len(config.exits)} grids that grow; take at least "
            f"{config.patch * len(config.exits)}."
        )


def _check_one_of(what: str, value: str | None, known: Sequence[str | None]) -> None:
    if value not in known:
        raise UsageError(f"There is no {what} {value!r}; choose one of {', '.join(filter(None, known))}.")


def parsed(k: AmountLike) -> Amount:
    """The amount. Raises UsageError for none."""
    try:
        return Amount.parse(k)
    except ValueError as failure:
        raise UsageError(f"k: {failure}.") from failure


def possible(k: Amount, size: int, patch: int) -> Amount:
    """The k as given. Raises UsageError for one that no picture of this size can be read with."""
    cells = (size // patch) ** 2
    if not k.is_share and k.value > cells:
        raise UsageError(f"k = {k} is more than the {cells} cells of {size} x {size} pixels; give at most {cells}.")
    return k


def _pruned(loaded: Loaded, amount: PruneLike, tokens: int) -> Loaded:
    """The model, that drops another amount of so many tokens. Raises UsageError where it can't."""
    cropr = loaded.model.extractor.cropr if isinstance(loaded.model, LookWhere) else None
    if cropr is None:
        raise UsageError(
            f"The model {loaded.name!r} was never taught which cells to drop; leave --prune out, or teach one: "
            "lookwhere train --prune."
        )
    try:
        config = replace(loaded.config, prune=PruneAmount.parse(amount))
        assert config.prune is not None
        cropr.prune(Pruning(config.prune, config.prune_fusion, config.prune_norm), tokens)
    except ValueError as failure:
        raise UsageError(f"{failure}.") from failure
    loaded.model.config = config
    return replace(loaded, config=config)


def _coarse(size: int, config: Config) -> int:
    if not size:
        return 0
    _whole_patches("coarse size", size, config.patch)
    try:
        return replace(config, coarse_size=size).coarse_size
    except ValueError as failure:
        raise UsageError(f"{failure}.") from failure


def _whole_patches(what: str, size: int, patch: int) -> int:
    below = max(0, size // patch * patch)
    if size < patch or size != below:
        near = f"{below} or {below + patch}" if below else f"{patch}"
        raise UsageError(f"The {what} {size} is no multiple of the model's patch, {patch} pixels; take {near}.")
    return size


def _at_least_one(what: str, value: int) -> int:
    if value < 1:
        raise UsageError(f"The {what} is {value}; it must be at least 1.")
    return value
