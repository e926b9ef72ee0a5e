"""What was measured, as one JSON object: the file that tables and plots are made from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.evaluation.evaluate import Evaluation, Line
from lookwhere_cli.metrics.intervals import Score
from lookwhere_cli.text import printable


def as_dict(evaluation: Evaluation, part: str, command: str) -> dict[str, Any]:
    """The evaluation with numbers as they are: shares in 0..1, seconds, multiply-adds. docs/evaluate.md names all."""
    predictor, headline = evaluation.contest.predictor, evaluation.headline
    labelled, scores = evaluation.labelled, headline.scores
    return {
        "command": command,
        "model": printable(predictor.loaded.name),
        "revision": predictor.loaded.revision,
        "data": printable(str(labelled.root)),
        "split": part,
        "kind": labelled.kind,
        "pictures": evaluation.pictures,
        "failed": [printable(sentence) for sentence in evaluation.failed],
        "metric": next(iter(scores.figures)),
        "per_class": scores.each,
        "classes": _classes(evaluation),
        "time": {
            "device": str(predictor.loaded.device),
            "dtype": str(predictor.loaded.dtype).removeprefix("torch."),
            "pictures": evaluation.timed,
            "decode": evaluation.decode,
        },
        "rows": [_row(line, labelled.classes, line is headline) for line in evaluation.lines],
        "confusion": None
        if scores.confusion is None
        else _confusion(scores.confusion, tuple(map(printable, predictor.config.labels))),
    }


def _classes(evaluation: Evaluation) -> list[dict[str, Any]]:
    labels, names = evaluation.contest.predictor.config.labels, evaluation.labelled.classes
    supports = evaluation.headline.scores.support
    return [
        {"name": printable(name), "label": printable(labels[index]), "support": int(support)}
        for name, index, support in zip(names, match_classes(names, labels), supports, strict=True)
    ]


def _row(line: Line, classes: tuple[str, ...], headline: bool) -> dict[str, Any]:
    return {
        "chosen_by": line.by,
        "patches": None if line.k is None else str(line.k),
        "headline": headline,
        "model": printable(line.model),
        "size": line.size,
        "coarse": line.coarse,
        "cells": round(line.cells, 2),
        "macs": round(line.macs),
        "macs_full": round(line.macs_full),
        "seconds": line.seconds,
        "scores": {name: _score(score) for name, score in line.scores.figures.items()},
        "classes": {
            printable(name): _number(value) for name, value in zip(classes, line.scores.per_class, strict=True)
        },
    }


def _score(score: Score) -> dict[str, float | None]:
    return {name: _number(value) for name, value in score._asdict().items() if value is not None}


def _number(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None


def _confusion(counts: Int[ndarray, "labels labels"], labels: tuple[str, ...]) -> dict[str, Any]:
    """Labels that occur, and how often each of them was taken for which: [truth, answer, count]."""
    used = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    small = counts[np.ix_(used, used)]
    return {
        "labels": [labels[index] for index in used],
        "counts": [[int(truth), int(answer), int(small[truth, answer])] for truth, answer in np.argwhere(small)],
    }
