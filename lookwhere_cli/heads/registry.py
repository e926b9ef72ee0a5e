"""The head that a model's config asks for."""

from __future__ import annotations

from collections.abc import Callable

from lookwhere_cli.heads.base import Head
from lookwhere_cli.heads.classify import ClassifyHead
from lookwhere_cli.heads.detect import DetectHead
from lookwhere_cli.heads.features import FeaturesHead
from lookwhere_cli.heads.segment import SegmentHead
from lookwhere_cli.models.config import Config

HEADS: dict[str, Callable[[Config], Head]] = {
    "classify": ClassifyHead,
    "segment": SegmentHead,
    "detect": DetectHead,
    "features": FeaturesHead,
}
"""By the config's task."""


def head_of(config: Config) -> Head:
    """Make the head of a model; one without labels computes features, whatever its task."""
    return HEADS[config.task if config.labels else "features"](config)
