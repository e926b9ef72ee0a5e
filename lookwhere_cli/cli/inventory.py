"""What `lookwhere models` tells of the models that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Column, Table

from lookwhere_cli.checkpoints.cache import cached, cached_models
from lookwhere_cli.checkpoints.card import cost
from lookwhere_cli.checkpoints.folder import read_config, read_results
from lookwhere_cli.checkpoints.names import PUBLISHED_FILES, WEIGHTS, HubName, Place, bundled, resolve
from lookwhere_cli.checkpoints.published.convert import read_origin
from lookwhere_cli.checkpoints.published.lookwhere import LAYOUTS
from lookwhere_cli.errors import ModelError
from lookwhere_cli.macs import passes as macs
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.size import stored_bytes

COLUMNS = ("Where", "MB", "Task", "Labels", "Pixels", "k", "GMACs", "Results")


def table() -> Table:
    """A line for each model: bundled ones first, then aliases, then what else is cached."""
    # A name is there to be typed, so it stays in one piece.
    others = (Column(name, overflow="fold") for name in COLUMNS)
    lines = Table(Column("Model", no_wrap=True), *others, box=None, pad_edge=False)
    for model in bundled():
        lines.add_row(model.name, "bundled", *_line(model.folder))
    seen = {str(wanted): cached(wanted) for wanted in cached_models()}
    for alias in PUBLISHED_FILES:
        if alias not in seen:
            config = LAYOUTS[alias]
            lines.add_row(alias, "on the Hub", f"{stored_bytes(config) / 1e6:.1f}", *_shape(config), "not recorded")
    for name, place in seen.items():
        if place is not None:
            lines.add_row(name, f"cached {(place.commit or '')[:8]}", *_line(place.folder))
    return lines


def details(name: str) -> Table:
    """All that is known of one model, a line for each fact; of one that was not pulled, what its layout says."""
    wanted = resolve(name)
    place = wanted if isinstance(wanted, Place) else cached(wanted)
    facts = Table.grid(padding=(0, 2))
    for fact, value in _facts(name, wanted, place):
        facts.add_row(fact, value)
    return facts


def _facts(name: str, wanted: Place | HubName, place: Place | None) -> Iterator[tuple[str, str]]:
    yield "model", name
    if place is None:
        yield "where", f"on the Hub; to fetch it: lookwhere models pull {name}"
        yield from _of_config(_known_config(wanted))
        return
    config = read_config(place.folder)
    yield "where", str(place.folder)
    if place.commit is not None:
        yield "commit", place.commit
    origin = read_origin(place.folder)
    if origin:
        yield "converted from", f"{origin['repository']}, {origin['file']}, SHA-256 {origin['sha256']}"
    yield "size", f"{_megabytes(place.folder)} MB"
    yield from _of_config(config)
    yield "results", _results(place.folder)


def _of_config(config: Config) -> Iterator[tuple[str, str]]:
    task, labels, pixels, k, gmacs = _shape(config)
    yield "task", task
    yield "labels", f"{labels}{': ' + ', '.join(config.labels[:5]) + ', ...' if config.labels else ''}"
    yield "pixels", f"{pixels}, thumbnail {config.thumbnail_size} ({config.thumbnail_filter})"
    yield "cells read", k + (f", and all of it at {config.coarse_size} pixels" if config.coarse_size else "")
    if config.exits:
        yield "exits", ", ".join(f"{rows} x {columns}" for rows, columns, *_ in config.exits)
        yield "thresholds", ", ".join(f"{one:.4g}" for one in config.thresholds) or "none: the last exit answers all"
    if config.looks:
        cells = config.grid[0] * config.grid[1]
        yield "looks", f"{', '.join(f'{k.resolve(cells)}' for k in config.looks)} cells, with -k auto"
        yield "thresholds", ", ".join(f"{one:.4g}" for one in config.thresholds) or "none; see lookwhere calibrate"
    yield "GMACs", gmacs
    yield "licence", config.license or "not stated"


def _known_config(wanted: Place | HubName) -> Config:
    if wanted.name not in LAYOUTS:
        raise ModelError(
            f"{wanted.name!r} is not in the cache, so only the Hub knows it; lookwhere models pull {wanted}"
        )
    return LAYOUTS[wanted.name]


def _line(folder: Path) -> list[str]:
    return [_megabytes(folder), *_shape(read_config(folder)), _results(folder)]


def _shape(config: Config) -> tuple[str, str, str, str, str]:
    cells = config.grid[0] * config.grid[1]
    k = config.k.resolve(cells)
    gmacs = f"{cost(config) / 1e9:.2f} of {macs.full(config, config.grid) / 1e9:.2f}"
    return config.task, f"{len(config.labels)}", f"{config.size}", f"{k} of {cells}", gmacs


def _results(folder: Path) -> str:
    accuracy = read_results(folder).get("accuracy", {})
    return ", ".join(f"{name} {share:.1%}" for name, share in accuracy.items()) or "not recorded"


def _megabytes(folder: Path) -> str:
    return f"{(folder / WEIGHTS).stat().st_size / 1e6:.1f}"
