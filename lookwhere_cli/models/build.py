"""From a config to a model."""

from __future__ import annotations

from typing import TypeAlias

from lookwhere_cli.models.cascade.dvt import DVT
from lookwhere_cli.models.cascade.shapes import shapes_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere

Model: TypeAlias = LookWhere | DVT


def build_model(config: Config) -> Model:
    """Make the model that a config describes, with fresh weights. Raises ValueError for exits that do not grow."""
    return DVT(config, shapes_of(config)) if config.exits else LookWhere(config)
