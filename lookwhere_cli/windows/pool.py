"""The row of a whole picture, from its windows."""

from __future__ import annotations

from dataclasses import replace

from lookwhere_cli.heads.merge_windows import Place
from lookwhere_cli.heads.pooling import WindowHead
from lookwhere_cli.images.frame import Grid
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.source import Source
from lookwhere_cli.images.view import View
from lookwhere_cli.output.rows import Row
from lookwhere_cli.pipeline import Answer
from lookwhere_cli.text import counted
from lookwhere_cli.windows.plan import WindowPlan
from lookwhere_cli.windows.run import WindowAnswer, result_fields


class WholePicture:
    """Collects the windows of a picture.

    `k`, `macs` and `seconds` are sums over windows, `macs` and `seconds` with what planning took; `macs_full` is what
    the full ViT would take on all cells of all windows, also of those that are skipped. Labels and boxes: see the pools
    in `heads`.
    """

    def __init__(self, source: Source, plan: WindowPlan) -> None:
        """Raises UsageError for a head that finds what can't be pooled."""
        self._source, self._plan = source, plan
        head = plan.pipeline.head
        self._pool = head.pool() if isinstance(head, WindowHead) else None
        self._margin = plan.pipeline.reader.reading.patch / 2 * max(plan.size.scale)
        self._k = self._failed = self._read = 0
        self._macs, self._seconds, self._error = plan.macs, plan.seconds, ""

    def add(self, answered: WindowAnswer) -> None:
        """Add a window."""
        row, window = answered.row, answered.window
        if row.error is not None:
            self._failed += 1
            self._error = self._error or row.error
            return
        self._read += 1
        self._k += row.k
        self._macs += row.macs
        self._seconds += row.seconds
        if self._pool is not None and answered.answer.result is not None:
            self._pool.add(answered.answer.result, Place(window.box, window.content, self._margin))

    def state(self) -> str:
        """Return what was pooled as text, but for what rows of windows tell; see `restore`."""
        return "" if self._pool is None else self._pool.state()

    def restore(self, state: str) -> None:
        """Take up what another run had pooled; the windows are added, too, with the results that rows tell."""
        if self._pool is not None:
            self._pool.restore(state)

    def finish(self) -> Answer:
        """Return the row of the whole picture, a view of it, and the pooled result in the form of the head.

        The row has `error` if no window could be read, and `windows` tells how many of several could not.
        """
        pipeline = self._plan.pipeline
        view = View(self._source, pipeline.reader.reading)
        counts = replace(self._plan.counts, failed=self._failed)
        if self._failed and not self._read:
            error = f"{in_message(view.path)}: none of its windows can be read; the first one: {self._error}"
            return Answer(Row(view.path, windows=counts, error=error))
        row = replace(self._row(view), windows=counts)
        if self._pool is None:
            return Answer(row, view)
        result = self._pool.finish(view.size)
        row = row.noted(pipeline.head.row_fields(result).get("note"))
        return Answer(replace(row, **result_fields(pipeline.head, result)), view, result)

    def _row(self, view: View) -> Row:
        plan, pipeline = self._plan, self._plan.pipeline
        return Row(
            path=view.path,
            width=view.size[1],
            height=view.size[0],
            model=pipeline.info.name,
            revision=pipeline.info.revision,
            k=self._k,
            grid=_whole_grid(plan),
            macs=self._macs,
            macs_full=plan.counts.total * pipeline.head.count_full(pipeline.config, plan.window_grid),
            seconds=self._seconds,
            note="; ".join((*view.notes, *plan.notes, *self._own_notes())) or None,
        )

    def _own_notes(self) -> list[str]:
        notes = []
        if not self._plan.counts.read:
            notes.append("no window was read: all are blank, or outside of the regions of interest")
        if self._failed:
            notes.append(f"{counted(self._failed, 'window')} can't be read; the first one: {self._error}")
        return notes


def _whole_grid(plan: WindowPlan) -> Grid:
    """Return the grid of the whole picture with cells as large as those of the windows."""
    rows, columns = plan.window_grid
    (height, width), (high, wide) = plan.grid.size, plan.size.shape
    return max(1, round(height / high * rows)), max(1, round(width / wide * columns))
