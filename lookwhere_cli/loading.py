"""From a model's name and options to a predictor. Impossible options are refused before a picture is opened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from lookwhere_cli.amounts import Amount, PruneAmount
from lookwhere_cli.checkpoints.exported import Exported, is_exported, open_exported
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.checkpoints.resolve import find
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import Pruning, check_schedule
from lookwhere_cli.options import AUTO, OptionChanges, Options
from lookwhere_cli.pipeline import ModelInfo, Pipeline
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.runtimes.base import Runtime
from lookwhere_cli.sizes import check_multiple_of_patch
from lookwhere_cli.strategies.registry import fixed_strategy, strategy_for
from lookwhere_cli.strategies.reuse import reusing
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
    location = find(model, card=_describe)
    if is_exported(location.folder):
        return _predictor_of_graphs(open_exported(location), chosen)
    if chosen.runtime == "onnx":
        raise UsageError(
            f"The model {model!r} is not exported; export it (lookwhere export {model} --out DIR) and name DIR, or "
            "leave --runtime out."
        )
    from lookwhere_cli.checkpoints.folder import load_folder  # it imports torch

    return predictor_of(load_folder(location, chosen.device, chosen.dtype), chosen)


def predictor_of(loaded: Loaded, options: Options) -> Predictor:
    """Put a loaded model and a user's options together. Raises UsageError for options that don't fit the model."""
    from lookwhere_cli.runtimes.torch import runtime_of

    if options.prune is not None:
        loaded = _with_pruning(loaded, options.prune, options)
    info = ModelInfo(loaded.name, loaded.revision, loaded.folder)
    return _predictor(runtime_of(loaded.model, loaded.device, loaded.dtype), info, loaded.config, options)


def _predictor_of_graphs(exported: Exported, options: Options) -> Predictor:
    """Put an exported model and a user's options together. Raises UsageError for options that don't fit the model."""
    from lookwhere_cli.runtimes.onnx import open_onnx

    _check_for_graphs(exported, options)
    config, folder = exported.config, exported.folder
    if options.prune is not None:
        config = _pruned_config(exported.name, config, options.prune, options)
    files = {name: folder / file for name, file in exported.record.graphs.items()}
    runtime = open_onnx(config, files, options.device, exported.record.weights)
    if reading_for(config, options).coarse_size and not runtime.reads_coarse:
        raise UsageError(
            f"The model {exported.name!r} was exported from one that reads no coarse thumbnail; leave --coarse out, or "
            f"use the model {exported.record.source!r}."
        )
    return _predictor(runtime, ModelInfo(exported.name, exported.revision, folder), config, options)


def _check_for_graphs(exported: Exported, options: Options) -> None:
    """Raise UsageError for options that only torch can follow, ModelError for graphs that are not for onnxruntime."""
    name, record = exported.name, exported.record
    if record.format != "onnx":
        raise ModelError(
            f"The model {name!r} was exported as programs for torch.export.load; to use it here, export it with "
            "--format onnx."
        )
    if options.runtime == "torch":
        raise UsageError(
            f"The model {name!r} is exported, so onnxruntime computes it; leave --runtime out, or name the model that "
            f"it was exported from, {record.source!r}."
        )
    if options.k == AUTO:
        raise UsageError(
            f"The exported model {name!r} reads a fixed number of cells; give one with -k, or use -k auto with the "
            f"model that it was exported from, {record.source!r}."
        )
    if options.dtype != "float32":
        raise UsageError(
            f"The exported model {name!r} computes in float32 whatever --dtype says; leave it out, or export with "
            "--half for smaller files."
        )


def _predictor(runtime: Runtime, info: ModelInfo, config: Config, options: Options) -> Predictor:
    reading = reading_for(config, options)
    strategy = strategy_for(info.name, config, options.k, reading)
    if options.reuse is not None:
        strategy = reusing(info.name, config, strategy, options.reuse)
    head = head_of(config).with_options(options, info.name)
    reader = PictureReader(reading, strategy.thumbnail_grid)
    stream = StreamOptions(options.batch_size, options.workers or usable_cpus(), options.memory)
    return Predictor(Pipeline(runtime, strategy, head, reader, info, stream))


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
        options.bands,
        options.stretch_range,
    )


def _with_pruning(loaded: Loaded, amount: PruneAmount, options: Options) -> Loaded:
    """Return the model with another amount of tokens to drop. Raises UsageError if it has no pruning modules."""
    config = _pruned_config(loaded.name, loaded.config, amount, options)
    loaded.lookwhere.set_pruning(config, _tokens(config, options))
    return replace(loaded, config=config)


def _pruned_config(model: str, config: Config, amount: PruneAmount, options: Options) -> Config:
    """Return the config with another amount of tokens to drop. Raises UsageError if that is impossible."""
    if config.prune is None:
        raise UsageError(
            f"The model {model!r} was not trained with pruning modules; leave --prune out, or train one: "
            "lookwhere train --prune."
        )
    try:
        config = replace(config, prune=amount)
        check_schedule(Pruning(amount, config.prune_fusion), config, _tokens(config, options))
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    return config


def _tokens(config: Config, options: Options) -> int:
    """Return the number of tokens that the first block has."""
    k = options.k if isinstance(options.k, Amount) else None
    reading = reading_for(config, options)
    side = reading.size // config.patch
    return config.prefix_tokens + fixed_strategy(config, k, reading.coarse_size).count((side, side))


def _describe(config: Config) -> str:
    """Return a converted model's card, by a module that few commands need."""
    from lookwhere_cli.card import describe

    return describe(config)


def _coarse_size(config: Config, size: int | None) -> int:
    """Return the side of the coarse thumbnail in pixels. Raises UsageError for one that the model can't read."""
    if not size:
        return config.coarse_size if size is None else 0
    check_multiple_of_patch("coarse size", size, config.patch)
    try:
        return replace(config, coarse_size=size).coarse_size
    except ValueError as error:
        raise UsageError(f"{error}.") from error
