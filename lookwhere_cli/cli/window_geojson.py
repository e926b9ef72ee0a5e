"""`--format geojson` of `classify`: a polygon for each window."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from lookwhere_cli.cli.output import open_rows, open_writer, row_format
from lookwhere_cli.cli.results import ResultOutput, rows_output
from lookwhere_cli.cli.window_options import WindowRequest
from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.show.console import make_console

if TYPE_CHECKING:
    from lookwhere_cli.images.source import Source
    from lookwhere_cli.output.geo.placement import Placement
    from lookwhere_cli.output.geo.writers import WindowGeoJsonWriter

GEOJSON = "geojson"
LabelFormat = Literal["text", "json", "jsonl", "csv", "parquet", "geojson"]


def label_format(out: Path | None, format: LabelFormat | None, windows: WindowRequest | None) -> str:
    """Return the format of labels; see `row_format`. Raises UsageError, also for GeoJSON without rows of windows."""
    is_geojson = format == GEOJSON or (format is None and out is not None and out.suffix.lower() == ".geojson")
    if not is_geojson:
        return row_format(out, format)
    if windows is None or not windows.rows:
        missing = "--window auto --window-rows" if windows is None else "--window-rows"
        raise UsageError(f"GeoJSON of labels has a polygon for each window; add {missing}, or choose another format.")
    return GEOJSON


def label_output(out: Path | None, format: str, columns: CsvColumns) -> AbstractContextManager[ResultOutput]:
    """Write each result's row in a format of `label_format`; see `rows_output`."""
    return _geojson_output(out) if format == GEOJSON else rows_output(out, format, columns)


@contextmanager
def _geojson_output(out: Path | None) -> Iterator[ResultOutput]:
    from lookwhere_cli.windows.placing import placement_of

    console = make_console(stderr=True)
    progress = console.is_terminal and (out is not None or not sys.stdout.isatty())
    place: list[Placement] = []

    def locate(source: Source) -> None:
        """Take the placement of the picture whose windows come next."""
        place[:] = [placement_of(source)]

    with open_writer(open_rows(out, GEOJSON), _writer, out or "standard output") as write:
        yield ResultOutput(lambda result: write(result.row, *place), console, progress, True, locate)


def _writer(stream: BinaryIO) -> WindowGeoJsonWriter:
    from lookwhere_cli.output.geo.writers import WindowGeoJsonWriter
    from lookwhere_cli.show.colours import colour_of_class

    return WindowGeoJsonWriter(stream, colour_of_class)
