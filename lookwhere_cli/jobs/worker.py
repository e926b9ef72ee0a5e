"""A predictor for other people's pipelines: picklable, from a batch of columns to a batch of columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.view import Picture
from lookwhere_cli.loading import load
from lookwhere_cli.options import Options
from lookwhere_cli.output import arrow_schema
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor

Columns: TypeAlias = dict[str, list[Any]]
INPUTS = ("image", "bytes", "path")
"""The columns that pictures are taken from; the first one that a batch has."""


class Worker:
    """Answers batches of pictures, for `ray.data.Dataset.map_batches` and its like.

        dataset.map_batches(Worker, fn_constructor_kwargs={"options": Options(k=0.25)}, batch_size=64, ...)

    Args:
        model: any name that `load` takes.
        options: how the model is used. With `workers` left at None, set it to the CPUs that a worker has.
        features: None for rows; "cls" or "dense" for features: a column of float32 vectors beside the row's.

    The model is loaded at the first batch, once for each process, so a Worker is small when it is pickled.
    """

    def __init__(
        self,
        model: str = DEFAULT_CLASSIFIER,
        options: Options | None = None,
        features: Literal["cls", "dense"] | None = None,
    ) -> None:
        self.model, self.options, self.features = model, options or Options(), features

    def __call__(self, batch: Mapping[str, Any]) -> Columns:
        """Return a row's fields as columns, a list each, for the pictures of a batch, in order.

        batch: has `image` (arrays: (height, width, 3) uint8, and what `Predictor.classify` takes besides), `bytes` (the
        content of picture files) or `path`; the first of them that it has is read. Beside images and bytes, `path`
        names the picture. Columns that are neither of these nor a row's come back unchanged. A picture that can't be
        read has `error`, and None in the others. Raises UsageError for a batch without pictures, and what `load`
        raises.
        """
        pictures, names = _pictures(batch)
        records = [self._named(record, name) for record, name in zip(self._records(pictures), names, strict=True)]
        fields = arrow_schema().names + ([self.features] if self.features else [])
        columns = {name: [record.get(name) for record in records] for name in fields}
        others = {name: list(values) for name, values in batch.items() if name not in (*INPUTS, *columns)}
        return others | columns

    def _records(self, pictures: Sequence[Picture]) -> Iterator[dict[str, Any]]:
        predictor = _loaded(self.model, self.options)
        if self.features is None:
            yield from (answer.row.to_dict() for answer in predictor.answers(pictures))
            return
        for one in predictor.features(pictures, dense=self.features == "dense"):
            array = getattr(one, self.features)
            yield one.row.to_dict() | ({} if array is None else {self.features: array.ravel()})

    def _named(self, record: dict[str, Any], name: str | None) -> dict[str, Any]:
        if name is None:
            return record
        return record | {"path": replace(Row(name)).to_dict()["path"]}


def _pictures(batch: Mapping[str, Any]) -> tuple[list[Picture], list[str | None]]:
    """Return the pictures of a batch, and the names to give them."""
    source = next((name for name in INPUTS if name in batch), None)
    if source is None:
        raise UsageError(
            f"The batch has no column {', '.join(INPUTS[:-1])} or {INPUTS[-1]}; it has {', '.join(batch)}."
        )
    pictures = [value if source == "image" else _plain(value) for value in batch[source]]
    names = batch["path"] if source != "path" and "path" in batch else [None] * len(pictures)
    return cast("list[Picture]", pictures), [None if name is None else str(name) for name in names]


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


@lru_cache(maxsize=1)
def _loaded(model: str, options: Options) -> Predictor:
    return load(model, options)
