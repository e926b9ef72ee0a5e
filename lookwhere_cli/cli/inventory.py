"""What is known of models, as JSON objects: those that `lookwhere models list` and `models show` print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookwhere_cli.checkpoints.cache import cached_models, find_cached
from lookwhere_cli.checkpoints.configs import read_config
from lookwhere_cli.checkpoints.exported import check_present, is_exported, read_record
from lookwhere_cli.checkpoints.layout import PUBLISHED_FILES, WEIGHTS
from lookwhere_cli.checkpoints.names import HubName, ModelLocation
from lookwhere_cli.checkpoints.published.lookwhere import LAYOUTS
from lookwhere_cli.checkpoints.records import TOP1, read_origin, read_results, read_terms
from lookwhere_cli.checkpoints.resolve import bundled_models, resolve
from lookwhere_cli.errors import ModelError
from lookwhere_cli.macs import passes
from lookwhere_cli.models.config import Config
from lookwhere_cli.strategies.registry import default_strategy
from lookwhere_cli.text import printable

BUNDLED, CACHED, FOLDER, ON_HUB = "bundled", "cached", "folder", "on the Hub"


def list_models() -> tuple[list[dict[str, Any]], list[ModelError]]:
    """Return the facts about each model, and what is damaged: bundled models, then aliases, then the rest of the cache.

    A damaged model has "error" and lacks the facts that could not be read.
    """
    problems: list[ModelError] = []
    found = [_entry(model, BUNDLED, problems) for model in bundled_models()]
    cached = {str(model): find_cached(model) for model in _cached_models(problems)}
    found += [_published(alias, LAYOUTS[alias]) for alias in PUBLISHED_FILES if alias not in cached]
    found += [{**_entry(one, CACHED, problems), "name": name} for name, one in cached.items() if one is not None]
    return found, problems


def model_facts(name: str) -> dict[str, Any]:
    """Return all that is known of one model; a model that is not here is described by its layout. Raises ModelError."""
    model = resolve(name)
    location = model if isinstance(model, ModelLocation) else find_cached(model)
    if location is None:
        return _published(name, _published_config(model))
    problems: list[ModelError] = []
    where = CACHED if location.commit else BUNDLED if location in bundled_models() else FOLDER
    facts = {**_entry(location, where, problems), "name": printable(name)}
    if problems:
        raise problems[0]
    return facts


def _entry(location: ModelLocation, where: str, problems: list[ModelError]) -> dict[str, Any]:
    """Return the facts about a model on this machine; add to `problems` what is damaged in its folder."""
    folder = location.folder
    facts: dict[str, Any] = {"name": printable(location.name), "where": where, "folder": printable(str(folder))}
    facts |= {"commit": location.commit} if location.commit else {}
    try:
        config = read_config(folder)
        facts |= _facts_of_export(folder) if is_exported(folder) else {"bytes": (folder / WEIGHTS).stat().st_size}
        facts |= {**_facts_of_config(config), "terms": read_terms(folder)}
        facts["results"] = _results(folder)
        facts["origin"] = read_origin(folder) or None
    except ModelError as problem:
        problems.append(problem)
        facts["error"] = printable(str(problem))
    return facts


def _facts_of_export(folder: Path) -> dict[str, Any]:
    """Return the facts about an exported model's files. Raises ModelError if some are missing."""
    record = read_record(folder)
    check_present(folder, record)
    return {
        "bytes": sum((folder / file).stat().st_size for file in record.graphs.values()),
        "export": {
            "format": record.format,
            "weights": record.weights,
            "opset": record.opset or None,
            "source": printable(record.source),
            "revision": printable(record.revision),
            "files": list(record.graphs.values()),
            "verified": record.verified,
        },
    }


def _published(name: str, config: Config) -> dict[str, Any]:
    return {
        "name": name,
        "where": ON_HUB,
        "bytes": _stored_bytes(config),
        **_facts_of_config(config),
        "terms": None,
        "origin": None,
        "results": [],
    }


def _stored_bytes(config: Config) -> int | None:
    """Return the size of a model that is not here; None where there is no torch to build it with."""
    try:
        from lookwhere_cli.models.size import stored_bytes
    except ImportError:
        return None
    return stored_bytes(config)


def _facts_of_config(config: Config) -> dict[str, Any]:
    strategy = default_strategy(config)
    return {
        "task": config.task,
        "labels": list(map(printable, config.labels)),
        "size": config.size,
        "thumbnail_size": config.thumbnail_size,
        "thumbnail_filter": config.thumbnail_filter,
        "coarse_size": config.coarse_size or None,
        "k": config.k.resolve(config.cells),
        "cells": config.cells,
        "macs": strategy.default_macs(),
        "macs_full": passes.count_full(config, config.grid),
        "method": dict(strategy.facts()),
        "license": config.license and printable(config.license),
    }


def _published_config(model: ModelLocation | HubName) -> Config:
    if model.name not in LAYOUTS:
        raise ModelError(f"{model.name!r} is not in the cache; fetch it to see more: lookwhere models pull {model}")
    return LAYOUTS[model.name]


def _cached_models(problems: list[ModelError]) -> Sequence[HubName]:
    try:
        return cached_models()
    except ModelError as problem:
        problems.append(problem)
        return ()


def _results(folder: Path) -> list[dict[str, Any]]:
    """Return what was measured of the model: the data set, the metric, its value in 0..1, the number of pictures."""
    results = read_results(folder)
    pictures = results.get("pictures", {})
    return [
        {"data": printable(data), "metric": results.get("metric", TOP1), "value": value, "pictures": pictures.get(data)}
        for data, value in results.get("accuracy", {}).items()
    ]
