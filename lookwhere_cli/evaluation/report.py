"""An evaluation as one JSON object: the file that tables and plots are made from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.evaluation.evaluate import Evaluation, EvaluationRow
from lookwhere_cli.metrics.intervals import Score
from lookwhere_cli.text import printable, shared_name

NOTHING = "(nothing)"
"""In a confusion matrix: where there is no box."""


def as_dict(evaluation: Evaluation, split: str, command: str) -> dict[str, Any]:
    """Return the evaluation with plain numbers: shares in 0..1, seconds, multiply-adds; see docs/evaluate.md."""
    pipeline, headline = evaluation.plan.pipeline, evaluation.headline
    labelled, scores = evaluation.labelled, headline.scores
    return {
        "command": command,
        "model": printable(shared_name(pipeline.info.name)),
        "revision": pipeline.info.revision,
        "data": printable(labelled.shared_root),
        "split": split,
        "kind": labelled.kind,
        "pictures": evaluation.pictures,
        "failed": [printable(labelled.shared_sentence(sentence)) for sentence in evaluation.failed],
        "metric": next(iter(scores.metrics)),
        "per_class": scores.class_metric,
        "classes": _classes(evaluation),
        "time": {
            "device": pipeline.runtime.device,
            "dtype": pipeline.runtime.dtype,
            "pictures": evaluation.timed,
            "decode": evaluation.decode,
        },
        "rows": [_row(row, labelled.classes, row is headline) for row in evaluation.rows],
        "confusion": None
        if scores.confusion is None
        else _confusion(scores.confusion, tuple(map(printable, pipeline.config.labels))),
    }


def _classes(evaluation: Evaluation) -> list[dict[str, Any]]:
    labels, names = evaluation.plan.pipeline.config.labels, evaluation.labelled.classes
    supports = evaluation.headline.scores.support
    return [
        {"name": printable(name), "label": printable(labels[index]), "support": int(support)}
        for name, index, support in zip(names, match_classes(names, labels), supports, strict=True)
    ]


def _row(row: EvaluationRow, classes: tuple[str, ...], is_headline: bool) -> dict[str, Any]:
    return {
        "chosen_by": row.chosen_by,
        "patches": None if row.k is None else str(row.k),
        "headline": is_headline,
        "model": printable(shared_name(row.model)),
        "size": row.size,
        "coarse": row.coarse,
        "cells": round(row.costs.cells, 2),
        "macs": round(row.costs.macs),
        "macs_full": round(row.costs.macs_full),
        "seconds": row.seconds,
        "scores": {name: _score(score) for name, score in row.scores.metrics.items()},
        "classes": {
            printable(name): _rounded(value) for name, value in zip(classes, row.scores.per_class, strict=True)
        },
    }


def _score(score: Score) -> dict[str, float | None]:
    return {name: _rounded(value) for name, value in score._asdict().items() if value is not None}


def _rounded(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None


def _confusion(counts: Int[ndarray, "labels labels"], labels: tuple[str, ...]) -> dict[str, Any]:
    """Return the labels that occur, and the non-zero counts as [truth, answer, count].

    A row and a column more than there are labels stand for nothing: boxes that are missed, and those that are invented.
    """
    labels = (*labels, NOTHING)
    used = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    small = counts[np.ix_(used, used)]
    return {
        "labels": [labels[index] for index in used],
        "counts": [[int(truth), int(answer), int(small[truth, answer])] for truth, answer in np.argwhere(small)],
    }
