"""The tables of `lookwhere models`: all models, and all facts about one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from rich.cells import cell_len
from rich.table import Column, Table

from lookwhere_cli.show.scores import TITLES
from lookwhere_cli.show.tables import JsonObject
from lookwhere_cli.text import on_one_line

GAP = 2  # columns of text between the columns of a table
LISTED_LABELS = 5


def models_table(models: Sequence[JsonObject], width: int) -> Table:
    """Return a row for each model, with as many columns as fit into `width` columns of text, the first ones first."""
    titles = list(_COLUMNS)
    cells = [[on_one_line(text) for text in _row(model)] for model in models]
    widths = [max(map(cell_len, (title, *column))) for title, *column in zip(titles, *cells, strict=True)]
    fitting = sum(end - GAP <= width for end in accumulate(length + GAP for length in widths))
    shown = max(1, fitting)
    # A name is there to be typed, so it stays in one piece where it can.
    columns = (Column(title, overflow="fold") for title in titles[:shown])
    table = Table(*columns, box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for row in cells:
        table.add_row(*row[:shown])
    return table


def facts_table(model: JsonObject) -> Table:
    """Return a row for each fact about one model."""
    table = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, GAP, 0, 0))
    for fact, value in _facts(model):
        table.add_row(fact, value)
    return table


def _row(model: JsonObject) -> list[str]:
    """Return a model's cells; a damaged one has those that could be read."""
    if "task" in model:
        return [write(model) for write in _COLUMNS.values()]
    return [model["name"], _where(model), "damaged", *[""] * (len(_COLUMNS) - 3)]


def _facts(model: JsonObject) -> Iterator[tuple[str, str]]:
    yield "model", model["name"]
    yield "where", model.get("folder") or f"on the Hub; to fetch it: lookwhere models pull {model['name']}"
    if "commit" in model:
        yield "commit", model["commit"]
    if origin := model["origin"]:
        yield "converted from", f"{origin['repository']}, {origin['file']}, SHA-256 {origin['sha256']}"
    if export := model.get("export"):
        opset = f", operators {export['opset']}" if export["opset"] else ""
        yield "exported from", f"{export['source']}, revision {export['revision']}"
        yield "files", f"{', '.join(export['files'])} ({export['weights']}{opset})"
    if model["bytes"] is not None:
        yield "size", f"{_megabytes(model)} MB"
    yield "task", model["task"]
    yield "labels", _labels(model["labels"])
    yield "pixels", f"{model['size']}, thumbnail {model['thumbnail_size']} ({model['thumbnail_filter']})"
    coarse = f", and all of it at {model['coarse_size']} pixels" if model["coarse_size"] else ""
    yield "cells read", f"{_cells(model)}{coarse}"
    yield from model["method"].items()
    yield "GMACs", _gmacs(model)
    yield "licence", model["terms"] or _licence(model)
    if not model["results"]:
        yield "results", "not recorded"
    for place, result in enumerate(model["results"]):
        pictures = f" ({result['pictures']} pictures)" if result["pictures"] else ""
        yield "" if place else "results", f"{_result(result)}{pictures}"


def _labels(labels: Sequence[str]) -> str:
    """Return the number of labels and the first of them, and how many more there are."""
    if not labels:
        return "none"
    more = f" and {len(labels) - LISTED_LABELS} more" if len(labels) > LISTED_LABELS else ""
    return f"{len(labels)}: {', '.join(labels[:LISTED_LABELS])}{more}"


def _megabytes(model: JsonObject) -> str:
    return "" if model["bytes"] is None else f"{model['bytes'] / 1e6:.1f}"


def _where(model: JsonObject) -> str:
    return f"{model['where']} {model.get('commit', '')[:8]}".rstrip()


def _cells(model: JsonObject) -> str:
    return f"{model['k']} of {model['cells']}"


def _gmacs(model: JsonObject) -> str:
    return f"{model['macs'] / 1e9:.2f} of {model['macs_full'] / 1e9:.2f}"


def _licence(model: JsonObject) -> str:
    return model["license"] or "not stated"


def _result(result: JsonObject) -> str:
    metric = TITLES.get(result["metric"], result["metric"])
    return f"{result['data']} {metric} {100 * result['value']:.1f} %"


def _first_result(model: JsonObject) -> str:
    if "results" not in model:
        return "damaged"
    results = model["results"]
    more = f", {len(results) - 1} more" if len(results) > 1 else ""
    return f"{_result(results[0])}{more}" if results else "not recorded"


_COLUMNS: dict[str, Callable[[JsonObject], str]] = {
    "Model": lambda model: model["name"],
    "Where": _where,
    "Task": lambda model: model["task"],
    "k": _cells,
    "GMACs": _gmacs,
    "Licence": _licence,
    "Results": _first_result,
    "MB": _megabytes,
    "Labels": lambda model: str(len(model["labels"])),
    "Pixels": lambda model: str(model["size"]),
}
"""The columns, by title, those that narrow terminals show first."""
