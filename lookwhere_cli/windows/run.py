"""The windows of a picture, answered one after the other."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple, cast

from lookwhere_cli.heads.base import Head
from lookwhere_cli.heads.pooling import WindowHead
from lookwhere_cli.images.source import Source
from lookwhere_cli.output.rows import Row
from lookwhere_cli.pipeline import Answer
from lookwhere_cli.windows.plan import Answering, Window, WindowPlan
from lookwhere_cli.windows.source import window_sources


class WindowAnswer(NamedTuple):
    """A window and its answer.

    The row has `window`; its width, height, grid and cells are those of the window. Boxes, in row and result, are in
    full-resolution pixels of the whole picture. A window that can't be read has a row with `error`.
    """

    window: Window
    answer: Answer

    @property
    def row(self) -> Row:
        """The window's row."""
        return self.answer.row


def answer_windows(predictor: Answering, source: Source, plan: WindowPlan) -> Iterator[WindowAnswer]:
    """Yield the answer of each window of a plan, in reading order.

    Threads read ahead within the predictor's budget of memory. A window that can't be read has a row with `error`, and
    the others go on. Memory does not grow with the number of windows, unless the caller keeps the answers.
    """
    windows = plan.windows
    pictures = window_sources(source, (window.box for window in windows))
    answering = type(predictor)(plan.pipeline)
    with closing(cast("Generator[Answer]", answering.answers(pictures))) as answers:
        for window, answer in zip(windows, answers, strict=True):
            yield WindowAnswer(window, _placed(answer, window, plan.pipeline.head))


def _placed(answer: Answer, window: Window, head: Head) -> Answer:
    left, top, right, bottom = (int(edge) for edge in window.box)
    row = replace(answer.row, window=(left, top, right, bottom))
    if answer.view is None or not isinstance(head, WindowHead):
        return answer._replace(row=row)
    result = head.moved(answer.result, left, top)
    return answer._replace(row=replace(row, **result_fields(head, result)), result=result)


def result_fields(head: Head, result: Any) -> dict[str, Any]:
    """Return the fields of a row that tell a result, without those that add to what the row has."""
    return {name: value for name, value in head.row_fields(result).items() if name not in ("note", "macs")}
