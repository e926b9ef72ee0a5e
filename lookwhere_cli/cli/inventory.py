"""The tables of `lookwhere models`: all models, and all facts about one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Column, Table

from lookwhere_cli.checkpoints.cache import cached_models, find_cached
from lookwhere_cli.checkpoints.folder import read_config
from lookwhere_cli.checkpoints.layout import PUBLISHED_FILES, WEIGHTS
from lookwhere_cli.checkpoints.names import HubName, ModelLocation
from lookwhere_cli.checkpoints.published.lookwhere import LAYOUTS
from lookwhere_cli.checkpoints.records import read_origin, read_results
from lookwhere_cli.checkpoints.resolve import bundled_models, resolve
from lookwhere_cli.errors import ModelError
from lookwhere_cli.macs import passes
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.size import stored_bytes
from lookwhere_cli.strategies.registry import default_strategy

COLUMNS = ("Where", "MB", "Task", "Labels", "Pixels", "k", "GMACs", "Results")


def list_models() -> tuple[Table, list[ModelError]]:
    """Return a row for each model (bundled models, then aliases, then the rest of the cache), and what is damaged."""
    problems: list[ModelError] = []
    # A name is there to be typed, so it stays in one piece.
    others = (Column(name, overflow="fold") for name in COLUMNS)
    table = Table(Column("Model", no_wrap=True), *others, box=None, pad_edge=False)
    for model in bundled_models():
        table.add_row(model.name, "bundled", *_row(model.folder, problems))
    cached = {str(model): find_cached(model) for model in _cached_models(problems)}
    for alias in PUBLISHED_FILES:
        if alias not in cached:
            config = LAYOUTS[alias]
            table.add_row(alias, "on the Hub", f"{stored_bytes(config) / 1e6:.1f}", *_shape(config), "not recorded")
    for name, location in cached.items():
        if location is not None:
            table.add_row(name, f"cached {(location.commit or '')[:8]}", *_row(location.folder, problems))
    return table, problems


def model_facts(name: str) -> Table:
    """Return all that is known of one model, a row for each fact; a model that is not here is described by its layout.

    Raises ModelError.
    """
    model = resolve(name)
    location = model if isinstance(model, ModelLocation) else find_cached(model)
    table = Table.grid(padding=(0, 2))
    for fact, value in _facts(name, model, location):
        table.add_row(fact, value)
    return table


def _facts(name: str, model: ModelLocation | HubName, location: ModelLocation | None) -> Iterator[tuple[str, str]]:
    yield "model", name
    if location is None:
        yield "where", f"on the Hub; to fetch it: lookwhere models pull {name}"
        yield from _facts_of_config(_published_config(model))
        return
    config = read_config(location.folder)
    yield "where", str(location.folder)
    if location.commit is not None:
        yield "commit", location.commit
    origin = read_origin(location.folder)
    if origin:
        yield "converted from", f"{origin['repository']}, {origin['file']}, SHA-256 {origin['sha256']}"
    yield "size", f"{_megabytes(location.folder)} MB"
    yield from _facts_of_config(config)
    yield "results", _results(location.folder)


def _facts_of_config(config: Config) -> Iterator[tuple[str, str]]:
    task, labels, pixels, k, gmacs = _shape(config)
    yield "task", task
    yield "labels", f"{labels}{': ' + ', '.join(config.labels[:5]) + ', ...' if config.labels else ''}"
    yield "pixels", f"{pixels}, thumbnail {config.thumbnail_size} ({config.thumbnail_filter})"
    yield "cells read", k + (f", and all of it at {config.coarse_size} pixels" if config.coarse_size else "")
    yield from default_strategy(config).facts()
    yield "GMACs", gmacs
    yield "licence", config.license or "not stated"


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


def _row(folder: Path, problems: list[ModelError]) -> list[str]:
    """Return a table's cells from the size on; add to `problems` what is damaged in the folder."""
    try:
        cells = [_megabytes(folder), *_shape(read_config(folder))]
    except ModelError as problem:
        problems.append(problem)
        return ["damaged"]
    try:
        return [*cells, _results(folder)]
    except ModelError as problem:
        problems.append(problem)
        return [*cells, "damaged"]


def _shape(config: Config) -> tuple[str, str, str, str, str]:
    cells = config.grid[0] * config.grid[1]
    k = config.k.resolve(cells)
    gmacs = f"{default_strategy(config).default_macs() / 1e9:.2f} of {passes.count_full(config, config.grid) / 1e9:.2f}"
    return config.task, f"{len(config.labels)}", f"{config.size}", f"{k} of {cells}", gmacs


def _results(folder: Path) -> str:
    accuracy = read_results(folder).get("accuracy", {})
    return ", ".join(f"{name} {share:.1%}" for name, share in accuracy.items()) or "not recorded"


def _megabytes(folder: Path) -> str:
    return f"{(folder / WEIGHTS).stat().st_size / 1e6:.1f}"
