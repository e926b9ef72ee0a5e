"""A model that drops cells at random, where learned pruning would drop those that matter least."""

from __future__ import annotations

from dataclasses import replace

from lookwhere_cli.card import describe
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.base import ScoredHead
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.loading import predictor_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.random import random_cropr
from lookwhere_cli.models.pruning.schedule import pruning_of
from lookwhere_cli.options import Options
from lookwhere_cli.predictor import Predictor

SEED = 0


def pruned_at_random(model: str, options: Options) -> Predictor:
    """Load a model that drops cells at random between its blocks, as many as `options.prune` or the model itself says.

    A model without pruning modules of its own gets a schedule, too; if its head needs a token for each cell, the last
    block gets all cells back. Raises UsageError for an impossible schedule, ModelError as `load`.
    """
    loaded = load_model(model, options.device, options.dtype, describe)
    config = loaded.config
    if config.prune is None:
        config = replace(config, prune=options.prune, prune_fusion=_is_dense(config))
    pruning = pruning_of(config)
    assert pruning is not None, "a model without pruning modules needs options.prune"
    try:
        cropr = random_cropr(config, pruning, SEED)
    except ValueError as error:
        raise UsageError(f"{error}; give larger shares with --prune.") from error
    loaded.lookwhere.extractor.cropr = cropr
    loaded.lookwhere.config = config
    return predictor_of(replace(loaded, config=config), options)


def _is_dense(config: Config) -> bool:
    head = head_of(config)
    return isinstance(head, ScoredHead) and head.is_dense
