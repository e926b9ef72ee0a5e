"""From a model's name and options to a predictor. Impossible options are refused before a picture is opened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from lookwhere_cli.amounts import Amount, PruneAmount
from lookwhere_cli.card import describe
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.options import OptionChanges, Options
from lookwhere_cli.pipeline import ModelInfo, Pipeline
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.runtimes.torch import runtime_of
from lookwhere_cli.sizes import check_multiple_of_patch
from lookwhere_cli.strategies.registry import strategy_for
from lookwhere_cli.stream import StreamOptions

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.folder import Loaded


def load(
    model: str = DEFAULT_CLASSIFIER, options: Options | None = None, **changes: Unpack[OptionChanges]
) -> Predictor:
    """Load a model, ready to answer pictures.

    Args:
        model: the name of a bundled model, an alias of a published one, a folder, or owner/name[@revision] on the Hub,
            which is fetched if it is not here yet.
        options: how the model is used; see `Options`, whose fields may also be given one by one:
            load(k=0.25), load("my-model", size=384, k="10%", device="cuda").
        **changes: fields of `Options` that replace those of `options`.

    Raises UsageError for an impossible option, ModelError for a model that can't be used.
    """
    chosen = replace(options or Options(), **changes)  # type: ignore[arg-type] # Options reads these forms
    loaded = load_model(model, chosen.device, chosen.dtype, describe)
    return predictor_of(loaded, chosen)


def predictor_of(loaded: Loaded, options: Options) -> Predictor:
    """Put a loaded model and a user's options together. Raises UsageError for options that don't fit the model."""
    if options.prune is not None:
        loaded = _with_pruning(loaded, options.prune, options)
    reading = reading_for(loaded.config, options)
    strategy = strategy_for(loaded.name, loaded.config, options.k, reading)
    head = head_of(loaded.config).with_options(options, loaded.name)
    pipeline = Pipeline(
        runtime_of(loaded.model, loaded.device, loaded.dtype),
        strategy,
        head,
        PictureReader(reading, strategy.thumbnail_grid),
        ModelInfo(loaded.name, loaded.revision, loaded.folder),
        StreamOptions(options.batch_size, options.workers or usable_cpus(), options.memory),
    )
    return Predictor(pipeline)


def reading_for(config: Config, options: Options) -> Reading:
    """Return how pictures are read for a model. Raises UsageError for sizes that are not made of whole patches."""
    size = check_multiple_of_patch("size", config.size if options.size is None else options.size, config.patch)
    return Reading(
        config.patch,
        size,
        options.mode,
        config.crop_share,
        options.thumbnail or config.thumbnail_filter,
        options.max_pixels,
        options.background,
        _coarse_size(config, options.coarse),
    )


def _with_pruning(loaded: Loaded, amount: PruneAmount, options: Options) -> Loaded:
    """Return the model with another amount of tokens to drop. Raises UsageError if it has no pruning modules."""
    config = loaded.config
    if not (isinstance(loaded.model, LookWhere) and loaded.model.extractor.cropr):
        raise UsageError(
            f"The model {loaded.name!r} was not trained with pruning modules; leave --prune out, or train one: "
            "lookwhere train --prune."
        )
    k = options.k if isinstance(options.k, Amount) else config.k
    cells = (reading_for(config, options).size // config.patch) ** 2
    try:
        config = replace(config, prune=amount)
        loaded.model.set_pruning(config, config.prefix_tokens + k.resolve(cells))
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    return replace(loaded, config=config)


def _coarse_size(config: Config, size: int | None) -> int:
    """Return the side of the coarse thumbnail in pixels. Raises UsageError for one that the model can't read."""
    if not size:
        return config.coarse_size if size is None else 0
    check_multiple_of_patch("coarse size", size, config.patch)
    try:
        return replace(config, coarse_size=size).coarse_size
    except ValueError as error:
        raise UsageError(f"{error}.") from error
