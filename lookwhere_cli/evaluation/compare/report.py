"""A comparison as one JSON object: the file that table, plot and page are made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookwhere_cli.data.examples import Example
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.evaluation.compare.comparison import Comparison, Point, pareto_front
from lookwhere_cli.metrics.intervals import Score
from lookwhere_cli.options import Options
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.text import printable, shared_name

MOST = 60  # pictures that are shown one by one
SHOWN_METHODS = ("full", "tome", "cropr", "lookwhere", "pruned", "auto", "dvt")
"""Methods whose answers are shown picture by picture."""
TYPICAL_SHARE = 0.5  # of the full ViT's MACs, at which methods are shown


@dataclass(frozen=True)
class MachineCosts:
    """What a candidate takes on this machine; None if it was not measured.

    seconds: median per picture, one at a time. images_per_second: at the best batch size, `batch`. memory: MiB above
    rest.
    """

    seconds: float | None = None
    images_per_second: float | None = None
    batch: int | None = None
    memory: float | None = None


def as_dict(comparison: Comparison, costs: Sequence[MachineCosts], split: str, command: str) -> dict[str, Any]:
    """Return the comparison with plain numbers: shares in 0..1, seconds, multiply-adds; see docs/compare.md."""
    points, labelled = comparison.points, comparison.labelled
    return {
        "command": command,
        "data": printable(labelled.shared_root),
        "split": split,
        "kind": labelled.kind,
        "metric": comparison.metric.name,
        "pictures": len(comparison.places),
        "failed": [printable(labelled.shared_sentence(sentence)) for sentence in comparison.failed],
        "device": points[0].candidate.predictor.pipeline.runtime.device,
        "points": [
            _point(point, cost, on_front)
            for point, cost, on_front in zip(points, costs, pareto_front(points), strict=True)
        ],
        "differences": differences(comparison),
    }


def differences(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the pictures on which the methods' typical settings disagree, the largest disagreement first.

    Disagreement is the number of different labels or, for masks, the range of the shares of correct pixels.
    """
    shown = typical_points(comparison.points)
    disagreement = [_disagreement(comparison, shown, number) for number in range(len(comparison.places))]
    order = sorted(filter(disagreement.__getitem__, range(len(disagreement))), key=lambda number: -disagreement[number])
    return [_difference(comparison, shown, number) for number in order[:MOST]]


def typical_points(points: Sequence[Point]) -> list[Point]:
    """Return, for each method, the setting whose MACs are nearest to half of the first point's."""
    macs = TYPICAL_SHARE * points[0].macs
    by_method: dict[str, list[Point]] = {}
    for point in points:
        by_method.setdefault(point.candidate.method, []).append(point)
    return [
        min(by_method[method], key=lambda point: abs(point.macs - macs))
        for method in SHOWN_METHODS
        if method in by_method
    ]


def _disagreement(comparison: Comparison, shown: Sequence[Point], number: int) -> float:
    rows = [point.rows[number] for point in shown]
    if rows[0].labels:
        return len({row.labels[0].label for row in rows}) - 1.0
    shares = [comparison.metric.correct_share(point.counts[number]) for point in shown]
    return max(shares) - min(shares)


def _difference(comparison: Comparison, shown: Sequence[Point], number: int) -> dict[str, Any]:
    example = comparison.labelled.examples[comparison.places[number]]
    return {
        "path": comparison.labelled.name(example),
        "truth": _truth(shown[0], comparison.labelled.classes, example),
        "mask": example.mask and comparison.labelled.name_of_file(example.mask),
        "boxes": _true_boxes(shown[0], comparison.labelled.classes, example),
        "answers": [
            {
                "method": point.candidate.method,
                "setting": point.candidate.setting,
                "right": comparison.metric.correct_share(point.counts[number]),
                **_row_fields(point.rows[number]),
                "left": _survivors(point.candidate.predictor, point.rows[number]),
            }
            for point in shown
        ],
    }


def _truth(point: Point, classes: tuple[str, ...], example: Example) -> str | None:
    """Return what a picture shows, in words; None for one with a mask."""
    if example.mask:
        return None
    if example.objects is None:
        return _label(point, classes, example.classes[0])
    counts = Counter(example.objects.classes[~example.objects.crowd].tolist())
    named = [f"{count} {_label(point, classes, index)}" for index, count in sorted(counts.items())]
    return ", ".join(named) or "nothing"


def _true_boxes(point: Point, classes: tuple[str, ...], example: Example) -> list[dict[str, Any]] | None:
    """Return the boxes that a picture truly has, without crowds, as those that were found; None for other data."""
    if example.objects is None:
        return None
    objects, indices = example.objects, match_classes(classes, point.candidate.predictor.config.labels)
    places = np.flatnonzero(~objects.crowd).tolist()
    kinds, boxes = objects.classes.tolist(), objects.boxes.tolist()
    return [
        {"label": _label(point, classes, kinds[place]), "index": int(indices[kinds[place]]), "box": boxes[place]}
        for place in places
    ]


def _label(point: Point, classes: tuple[str, ...], index: int) -> str:
    """Return the model's label for a class, since the data may have only its number."""
    labels = point.candidate.predictor.config.labels
    return printable(labels[match_classes(classes, labels)[index]])


def _row_fields(row: Row) -> dict[str, Any]:
    fields = row.to_dict()
    names = ("labels", "k", "grid", "cells", "macs", "exit", "coarse")
    boxes = {} if row.boxes is None else {"size": [row.width, row.height], "boxes": _confident(fields["boxes"])}
    return {name: fields[name] for name in names if name in fields} | boxes


def _confident(boxes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the boxes that are shown by default."""
    return [one for one in boxes if one["score"] >= Options.conf]


def _survivors(predictor: Predictor, row: Row) -> list[list[int]] | None:
    """Return the row's cells, as [row, column], that pruning never dropped; None if it drops none permanently."""
    if predictor.config.prune is None or not row.labels:
        return None
    survivors = predictor.explain(row.path).survivors
    return None if survivors is None else [list(divmod(cell, row.grid[1])) for cell in sorted(survivors)]


def _point(point: Point, costs: MachineCosts, on_front: bool) -> dict[str, Any]:
    candidate = point.candidate
    return {
        "method": candidate.method,
        "setting": candidate.setting,
        "model": printable(shared_name(candidate.predictor.info.name)),
        "revision": candidate.predictor.info.revision,
        "halves": len(candidate.predictors),
        "score": _score(point.score),
        "difference": point.difference and _score(point.difference),
        "macs": round(point.macs),
        "seconds": costs.seconds,
        "images_per_second": costs.images_per_second,
        "batch": costs.batch,
        "memory": costs.memory,
        "front": on_front,
    }


def _score(score: Score) -> dict[str, float | None]:
    return {name: None if value is None else round(float(value), 5) for name, value in score._asdict().items()}
