"""How a run over pictures in windows goes on from what a stopped run of the same command has kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lookwhere_cli.checkpoints.configs import config_digest
from lookwhere_cli.cli.summary import listed, say_done
from lookwhere_cli.cli.window_options import WindowRequest
from lookwhere_cli.options import Options
from lookwhere_cli.output.files import check_free
from lookwhere_cli.text import counted, on_one_line
from lookwhere_cli.windows.journal import WindowJournal, command_key, picture_key
from lookwhere_cli.windows.kept import KeptArrays

if TYPE_CHECKING:
    from lookwhere_cli.predictor import Predictor


class PictureKeys:
    """Tells what identifies a picture, with the model and all options that decide its rows.

    settings: how the model is used.
    """

    def __init__(self, predictor: Predictor, request: WindowRequest, settings: Options) -> None:
        self._info, self._request = predictor.info, request
        self._config = config_digest(predictor.info.folder)
        self._settings = replace(settings, batch_size=1, workers=None, memory=None, device="auto")

    def __call__(self, picture: str) -> str:
        """Return the key of a picture."""
        info, options = self._info, self._request.options
        regions = None if options.roi is None else picture_key(options.roi)
        model = (info.name, info.revision, self._config)
        return picture_key(picture, *model, self._settings, options, regions, self._request.rows)


def begin_journal(journal: WindowJournal, keys: Iterable[str], files: Sequence[Path], overwrite: bool) -> list[str]:
    """Keep what an earlier run left of these pictures, and drop what is of others; return sentences about both.

    files: what the command writes. Raises UsageError for one that exists, unless it is what a stopped run of the same
    command left, or is to be overwritten.
    """
    wanted = set(keys)
    journal.command = command_key(wanted)
    was_there, done = journal.path.exists(), sum(map(journal.windows_of, wanted))
    is_own = bool(done) or journal.is_own
    for file in () if is_own else files:
        check_free(file, overwrite)
    sentences = []
    if journal.keep_only(wanted) or (was_there and not is_own):
        sentences.append(f"What {journal.path} has of other pictures, models or options is not used.")
    if done:
        sentences.append(f"Going on from {journal.path}: {counted(done, 'window')} {_is(done)} finished.")
    return sentences


def say_kept(kept: KeptArrays, quiet: bool) -> None:
    """Say that a run goes on from what an earlier one kept, or that this is of other options."""
    if kept.is_usable and len(kept.numbers):
        say_done(f"Going on from {kept.path}.", quiet)
    elif kept.is_usable is False:
        say_done(f"What {kept.path} has of other options or another file is not used.", quiet)


def say_outdated(path: Path, picture: str, quiet: bool) -> None:
    """Say that the windows of a picture that an earlier run kept lie elsewhere."""
    say_done(f"What {path} has of {on_one_line(picture)} is of windows in other places, and not used.", quiet)


def kept_sentence(paths: Sequence[Path]) -> str:
    """Return the sentence about files of finished windows; empty if there are none."""
    names = [str(path) for path in paths if path.exists()]
    if not names:
        return ""
    return f"The windows that are finished are in {listed(names)}; the same command goes on from there."


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
