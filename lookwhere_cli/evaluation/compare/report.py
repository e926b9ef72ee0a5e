"""What `compare` measured, as one JSON object: the file that table, plot and page are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lookwhere_cli.data.examples import Example
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.evaluation.compare.comparison import Comparison, Point, front
from lookwhere_cli.metrics.intervals import Score
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.text import printable

MOST = 60  # pictures that are told of
TELLING = ("full", "tome", "cropr", "lookwhere", "pruned", "auto", "dvt")
"""Methods whose answers are shown picture by picture."""
HALF = 0.5  # of the full ViT's MACs: where methods are set side by side


@dataclass(frozen=True)
class Cost:
    """What a setting takes on this machine; None: not taken.

    seconds: median per picture, one at a time. images_per_second: at the batch size that is best. memory: MiB above
    rest.
    """

    seconds: float | None = None
    images_per_second: float | None = None
    batch: int | None = None
    memory: float | None = None


def as_dict(comparison: Comparison, costs: Sequence[Cost], part: str, command: str) -> dict[str, Any]:
    """The comparison with numbers as they are: shares in 0..1, seconds, multiply-adds. docs/compare.md names all."""
    return {
        "command": command,
        "data": printable(str(comparison.labelled.root)),
        "split": part,
        "kind": comparison.labelled.kind,
        "metric": comparison.metric,
        "pictures": len(comparison.places),
        "failed": [printable(sentence) for sentence in comparison.failed],
        "device": str(comparison.points[0].entrant.predictors[0].loaded.device),
        "points": [
            _point(point, cost, best)
            for point, cost, best in zip(comparison.points, costs, front(comparison.points), strict=True)
        ],
        "differences": differences(comparison),
    }


def differences(comparison: Comparison) -> list[dict[str, Any]]:
    """The pictures on which the methods' shown settings disagree most, the most telling first.

    For labels: those with different answers, by how many of them there are. For masks: by how far the methods' shares
    of right pixels lie apart.
    """
    shown = representatives(comparison.points)
    apart = [_apart(shown, number) for number in range(len(comparison.places))]
    order = sorted((number for number, far in enumerate(apart) if far), key=lambda number: -apart[number])
    examples = [comparison.labelled.examples[place] for place in comparison.places]
    return [_difference(shown, number, comparison.labelled.classes, examples[number]) for number in order[:MOST]]


def representatives(points: Sequence[Point]) -> list[Point]:
    """For each method the setting that comes nearest to half of the first point's MACs."""
    wanted = HALF * points[0].macs
    found = []
    for method in TELLING:
        settings = [point for point in points if point.entrant.method == method]
        if settings:
            found.append(min(settings, key=lambda point: abs(point.macs - wanted)))
    return found


def _apart(shown: Sequence[Point], number: int) -> float:
    answers = [point.rows[number] for point in shown]
    if answers[0].labels:
        return len({row.labels[0].label for row in answers}) - 1.0
    shares = [_right(point, number) for point in shown]
    return max(shares) - min(shares)


def _right(point: Point, number: int) -> float:
    """The share of right pixels, or 1.0 for a right label and 0.0 for a wrong one."""
    counts = point.counts[number]
    if len(counts) == 1:
        return float(counts[0])
    right, true, _ = counts.reshape(3, -1).sum(axis=1)
    return float(right / true) if true else 0.0


def _difference(shown: Sequence[Point], number: int, classes: tuple[str, ...], example: Example) -> dict[str, Any]:
    return {
        "path": printable(example.path),
        "truth": None if example.mask else _name(shown[0], classes, example.classes[0]),
        "mask": example.mask and printable(example.mask),
        "answers": [
            {
                "method": point.entrant.method,
                "setting": point.entrant.setting,
                "right": _right(point, number),
                **_told(point.rows[number]),
                "left": _left(point.entrant.predictors[0], point.rows[number]),
            }
            for point in shown
        ],
    }


def _name(point: Point, classes: tuple[str, ...], index: int) -> str:
    """A class as the model calls it, which says more than a number."""
    labels = point.entrant.predictors[0].config.labels
    return printable(labels[match_classes(classes, labels)[index]])


def _told(row: Row) -> dict[str, Any]:
    whole = row.to_dict()
    return {name: whole[name] for name in ("labels", "k", "grid", "cells", "macs", "exit", "coarse") if name in whole}


def _left(predictor: Predictor, row: Row) -> list[list[int]] | None:
    """Of the row's cells, as [row, column], those that were never dropped; None where none are, or for a mask."""
    if predictor.config.prune is None or not row.labels:
        return None
    left = predictor.explain(row.path).left
    return None if left is None else [list(divmod(cell, row.grid[1])) for cell in sorted(left)]


def _point(point: Point, cost: Cost, best: bool) -> dict[str, Any]:
    entrant = point.entrant
    return {
        "method": entrant.method,
        "setting": entrant.setting,
        "model": printable(entrant.predictors[0].loaded.name),
        "revision": entrant.predictors[0].loaded.revision,
        "halves": len(entrant.predictors),
        "score": _score(point.score),
        "difference": point.difference and _score(point.difference),
        "macs": round(point.macs),
        "seconds": cost.seconds,
        "images_per_second": cost.images_per_second,
        "batch": cost.batch,
        "memory": cost.memory,
        "front": best,
    }


def _score(score: Score) -> dict[str, float | None]:
    return {name: None if value is None else round(float(value), 5) for name, value in score._asdict().items()}
