"""What each command makes of a picture in a job: its row, and columns or files of the command's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.view import Picture
from lookwhere_cli.jobs.entries import Entry
from lookwhere_cli.jobs.masks import MASKS, MaskStore
from lookwhere_cli.jobs.plan import ShardPlan
from lookwhere_cli.output import arrow_schema
from lookwhere_cli.output.arrays import PARQUET_COLUMNS
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor


class Record(NamedTuple):
    """A picture's row, and what the file of rows has beside it, by column."""

    row: Row
    columns: dict[str, Any] = {}  # noqa: RUF012 - nothing changes it

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a Parquet file stores it."""
        return self.row.to_dict() | self.columns


class CommandWork(Protocol):
    """A command, with a model loaded for it."""

    def schema(self) -> Any:
        """Return pyarrow's schema of the records."""
        ...

    def records(self, entries: Sequence[Entry], pictures: Iterable[Picture]) -> Iterator[Record]:
        """Yield the record of each picture, in order."""
        ...


class RowWork:
    """Rows and nothing beside them. Raises ModelError for a model that can't do the command."""

    def __init__(self, predictor: Predictor, plan: ShardPlan) -> None:
        predictor.pipeline.head.check(plan.command, predictor.info.name)
        self._predictor = predictor

    def schema(self) -> Any:
        """Rows."""
        return arrow_schema()

    def records(self, entries: Sequence[Entry], pictures: Iterable[Picture]) -> Iterator[Record]:
        """Yield rows."""
        for answer in self._predictor.answers(pictures):
            yield Record(answer.row)


class FeatureWork:
    """Rows without labels, and vectors: `cls` or `dense`, and `map` if the settings say so."""

    def __init__(self, predictor: Predictor, plan: ShardPlan) -> None:
        self._predictor, self._is_dense = predictor, bool(plan.settings.get("dense"))
        self._names = ["dense" if self._is_dense else "cls", *(["map"] if plan.settings.get("maps") else [])]
        predictor.features([], self._is_dense)  # raises for a model without features

    def schema(self) -> Any:
        """Return the columns of `features --out FILE.parquet`."""
        import pyarrow

        rows = arrow_schema()
        fields = [rows.field(name) for name in PARQUET_COLUMNS]
        arrays = [(name, pyarrow.list_(pyarrow.float32())) for name in self._names]
        return pyarrow.schema([*fields, *map(pyarrow.field, *zip(*arrays, strict=True))], metadata=rows.metadata)

    def records(self, entries: Sequence[Entry], pictures: Iterable[Picture]) -> Iterator[Record]:
        """Yield rows with arrays, each as one list of numbers."""
        for one in self._predictor.features(pictures, self._is_dense):
            arrays = {"cls": one.cls, "dense": one.dense, "map": one.scores}
            columns = {name: array.ravel() for name in self._names if (array := arrays[name]) is not None}
            yield Record(one.row, columns)


class MaskWork:
    """Rows with shares; masks as files beside them, or as run lengths inside."""

    def __init__(self, predictor: Predictor, plan: ShardPlan) -> None:
        from lookwhere_cli.segmenter import Segmenter

        self._segmenter = Segmenter(predictor)
        self._masks: MaskStore = MASKS[plan.settings.get("format", "png")](plan.folder, self._segmenter.labels)

    def schema(self) -> Any:
        """Rows, and what the masks add."""
        rows = arrow_schema()
        for field in self._masks.fields():
            rows = rows.append(field)
        return rows

    def records(self, entries: Sequence[Entry], pictures: Iterable[Picture]) -> Iterator[Record]:
        """Yield rows, once their masks are written. A mask that can't be written is its picture's failure."""
        for entry, (row, classes, _) in zip(entries, self._segmenter.segment(pictures), strict=True):
            yield Record(row) if classes is None else self._written(entry, row, classes)

    def _written(self, entry: Entry, row: Row, classes: Any) -> Record:
        try:
            path, columns = self._masks.write(entry.stem or "", row, classes)
        except PictureError as error:
            return Record(Row(row.path, error=str(error)))
        return Record(replace(row, mask=path), columns)


WORKS: dict[str, Callable[[Predictor, ShardPlan], CommandWork]] = {
    "classify": RowWork,
    "detect": RowWork,
    "features": FeatureWork,
    "segment": MaskWork,
}
"""By command."""
