"""`lookwhere detect --window`: boxes of pictures that are read in windows, and overlays on their overviews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lookwhere_cli.cli.box_output import BoxRequest, PictureFiles, box_rows
from lookwhere_cli.cli.cards import window_card
from lookwhere_cli.cli.results import terminal_output
from lookwhere_cli.cli.window_explain import ExplainRun
from lookwhere_cli.cli.window_options import Manners, WindowRequest
from lookwhere_cli.cli.window_results import ResumableRun, write_in_windows
from lookwhere_cli.cli.window_resume import PictureKeys
from lookwhere_cli.options import Options
from lookwhere_cli.text import counted
from lookwhere_cli.windows.journal import WindowJournal, command_key

if TYPE_CHECKING:
    from lookwhere_cli.predictor import Predictor


def detect_in_windows(
    predictor: Predictor,
    windows: WindowRequest,
    settings: Options,
    request: BoxRequest,
    files: PictureFiles | None,
    pictures: Sequence[str],
    in_terminal: bool,
    overwrite: bool,
    manners: Manners,
) -> None:
    """Write the boxes of pictures, or rows and the overlays that are missing, and exit with 1 if something failed.

    files: where overlays go. in_terminal: whether results are shown as cards.
    """
    labels = predictor.config.labels
    if files is not None:
        assert request.out is not None
        command = command_key(map(PictureKeys(predictor, windows, settings), pictures))
        journal = WindowJournal(request.out, with_cells=True, command=command)
        overlays = files.overlays(anew=journal.is_own)  # those of an earlier run may lack windows
        out = request.out if overlays else None
        answering = ResumableRun(predictor, windows, settings, out, overwrite, journal, files=[])
        drawing = ExplainRun(answering, overlays, None, str)
        what = f"the overlays of {counted(len(overlays), 'picture')}"
        write_in_windows(drawing, pictures, box_rows(request, labels), manners, what)
        return
    run = ResumableRun(predictor, windows, settings, request.file, overwrite)
    shown = terminal_output(window_card) if in_terminal and not windows.rows else None
    write_in_windows(run, pictures, shown or box_rows(request, labels), manners)
