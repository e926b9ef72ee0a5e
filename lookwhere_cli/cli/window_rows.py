"""Rows of pictures whose masks are finished, kept beside the file of rows until that is whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lookwhere_cli.cli.results import ResultOutput
from lookwhere_cli.cli.summary import say_done
from lookwhere_cli.cli.window_options import WindowRequest
from lookwhere_cli.cli.window_resume import PictureKeys, begin_journal
from lookwhere_cli.options import Options
from lookwhere_cli.output.files import is_device
from lookwhere_cli.output.rows import Row
from lookwhere_cli.segmenter import Segmented, Segmenter
from lookwhere_cli.windows.exact import row_to_json
from lookwhere_cli.windows.journal import WindowJournal


class KeptRows:
    """What is kept of a file of rows, so that a stopped run leaves none out.

    A mask that exists is skipped, and its picture's rows come from here. rows: the file, or None. keys: of all pictures
    that the command names.
    """

    def __init__(self, rows: Path | None, keys: Mapping[str, str]) -> None:
        self.file, self.keys = rows, keys
        self._journal = None if rows is None or is_device(rows) else WindowJournal(rows, with_cells=True)
        self._section = ""

    def begin(self, pending: Iterable[str], overwrite: bool, quiet: bool) -> bool:
        """Use what a stopped run of the same command left; return whether rows of pictures are there that are done.

        pending: pictures whose masks are to be written. Raises UsageError for a file of rows that exists, unless such a
        run left it, or it is to be overwritten.
        """
        if self._journal is None or self.file is None:
            return False
        sentences = begin_journal(self._journal, self.keys.values(), [self.file], overwrite)
        for sentence in sentences:
            say_done(sentence, quiet)
        return bool(self._finished(set(pending)))

    @contextmanager
    def kept(self, destination: AbstractContextManager[ResultOutput], pending: Iterable[str]) -> Iterator[ResultOutput]:
        """Write the rows of pictures that are done to a destination; what is written then is kept."""
        with destination as output:
            if self._journal is None:
                yield output
                return
            for key in self._finished(set(pending)):
                section = [one for one in self._journal.sections(key) if one.marked][-1]
                for place in section.places[: section.marked]:
                    output.write(Segmented(self._journal.row(place)))

            def write(result: Any) -> None:
                """Write a result, and keep its row."""
                output.write(result)
                self._keep(result.row)

            yield output._replace(write=write)

    def end(self, is_written: bool) -> None:
        """Remove what was kept, if the file of rows is whole."""
        if self._journal is not None:
            (self._journal.remove if is_written else self._journal.leave)()

    def _finished(self, pending: set[str]) -> list[str]:
        """Return the keys of the pictures whose rows are kept, but for those that are pending."""
        if self._journal is None:
            return []
        done = dict.fromkeys(key for picture, key in self.keys.items() if picture not in pending)
        return [key for key in done if self._journal.windows_of(key)]

    def _keep(self, row: Row) -> None:
        """Keep a row; with that of the whole picture, all of its rows count as finished."""
        key = self.keys.get(row.path)
        if self._journal is None or key is None:
            return
        if key != self._section:
            self._journal.write({"picture": key, "plan": {}})
            self._section = key
        self._journal.write({"number": 0, "row": row_to_json(row, with_cells=True)})
        if row.window is None and row.error is None:
            self._journal.write({"mark": ""}, is_mark=True)


def kept_rows_of(
    segmenter: Segmenter, windows: WindowRequest | None, settings: Options, pictures: Sequence[str], rows: Path | None
) -> KeptRows:
    """Return what is kept of a command's file of rows; nothing for pictures that are read as a whole."""
    if windows is None:
        return KeptRows(None, {})
    key = PictureKeys(segmenter.predictor, windows, settings)
    return KeptRows(rows, {picture: key(picture) for picture in pictures})
