"""What the commands that train have in common: device, precision, output folder, progress."""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from lookwhere_cli.checkpoints.layout import CHECKPOINT, WEIGHTS
from lookwhere_cli.cli.output import LineTimer
from lookwhere_cli.cli.summary import duration
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.output.locks import locked_folder
from lookwhere_cli.show.console import PlainTextColumn, make_console, say
from lookwhere_cli.text import counted, shared_name

if TYPE_CHECKING:
    from lookwhere_cli.training.loop import Moment, Run


def device_type(device: str) -> str:
    """Return the type of a device, such as "cuda"; accelerate chooses among several of a type. Raises UsageError."""
    from lookwhere_cli.checkpoints.placement import device_named

    return device_named(device).type


def mixed_precision(dtype: str, device: str) -> str:
    """Return accelerate's name for a dtype; `auto` is bfloat16 on devices that compute faster in it."""
    import torch

    if dtype == "auto":
        on_gpu = device == "cuda"
        faster = torch.cuda.is_bf16_supported() if on_gpu else bool(torch.cpu.get_capabilities().get("avx512_bf16"))
        dtype = "bfloat16" if faster else "float32"
    return "bf16" if dtype == "bfloat16" else "no"


def check_area(area: tuple[float, float], most: float = 1) -> tuple[float, float]:
    """Return a range of shares. Raises UsageError unless the shares are above 0, at most `most`, and in order."""
    if not 0 < area[0] <= area[1]:
        raise UsageError(f"--area {area[0]:g} {area[1]:g} is not a range of shares; write two, as in 0.3 1.")
    if area[1] > most:
        raise UsageError(f"--area {area[0]:g} {area[1]:g} goes beyond {most:g}; write two, as in 0.3 1.")
    return area


def check_points(points: int) -> int:
    """Return the points along a side of a cell. Raises UsageError for a number that models do not have."""
    from lookwhere_cli.models.config import POINTS

    if points not in POINTS:
        raise UsageError(f"--points is {points}; it must be one of {', '.join(map(str, POINTS))}.")
    return points


def refuse_finished_run(out: Path) -> None:
    """Raise UsageError for an output folder with a model but no checkpoint, which a run would overwrite."""
    if (out / WEIGHTS).exists() and not (out / CHECKPOINT).exists():
        raise UsageError(f"--out {out} holds a finished model and no checkpoint to resume; choose another folder.")


def create_run_dir(out: Path) -> Path:
    """Create the output folder and return it, kept for this run until `training_into` ends.

    Raises UsageError if that fails, if another run has it, and as `refuse_finished_run` does.
    """
    refuse_finished_run(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} can't be created ({error.strerror}); choose another place.") from None
    _keep(out)
    return out


_kept = ExitStack()
"""The lock on the folder that is trained into."""


def _keep(out: Path) -> None:
    """Lock the folder for this run; the first of its processes does so for all."""
    if is_main_process():
        _kept.close()
        _kept.enter_context(locked_folder(out))


class _ReportedInterrupt(KeyboardInterrupt):
    """Ctrl-C of which it has been said what is kept."""


@contextmanager
def training_into(out: Path) -> Iterator[None]:
    """Refuse the folder of a finished run; after Ctrl-C in the block, say what the folder keeps, unless that was said.

    Raises UsageError as `refuse_finished_run` does, and if another run writes to the folder; ModelError for settings
    with which the Hub's client, that accelerate and timm import, does not start.
    """
    from lookwhere_cli.checkpoints.environment import check_client

    check_client()
    refuse_finished_run(out)
    try:
        if out.is_dir():
            _keep(out)
        yield
    except _ReportedInterrupt:
        raise
    except KeyboardInterrupt:
        console = make_console(stderr=True, quiet=not is_main_process())
        file, kept = out / CHECKPOINT, "Stopped before a step was saved; the same command starts again."
        if file.exists():
            kept = f"Stopped; {file} is kept, and the same command continues from there."
        say(console, kept)
        raise
    finally:
        _kept.close()


def is_main_process() -> bool:
    """Return True if this process speaks for the run: the first of those that accelerate or torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def command_line() -> str:
    """Return this process's command line for records, which people share: of absolute paths, only the names."""
    return shlex.join(["lookwhere", *map(_shared_word, sys.argv[1:])])


def _shared_word(word: str) -> str:
    """Shorten the path that a word is or ends with, as in NAME=FILE and @LIST."""
    beginning, path = re.fullmatch(r"((?:[^/\\]*[=@])?)(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{beginning}{shared_name(path)}"


def resume_run(run: Run[Any], console: Console) -> None:
    """Load the run's checkpoint, if there is one, and say so. Raises UsageError, DataError as `Run.resume`."""
    done = run.resume()
    if done:
        say(console, f"Resumed after {done:,} of {counted(run.total, 'step')}.")


def train_with_progress(
    run: Run[Any],
    console: Console,
    describe: Callable[[Moment], str],
    report: Callable[[Moment], str | None],
    fail_fast: bool,
) -> None:
    """Train the remaining steps of a run, with a progress bar or, without a terminal, a line each minute.

    describe: text beside the bar after a step, or in the line. report: a line that stays, or None. fail_fast: raise
    PictureError for the first picture that can't be read any more, once the steps so far are saved. Raises
    KeyboardInterrupt after Ctrl-C, once the number of saved steps has been printed, if there are any.
    """
    columns = (PlainTextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    first, started, timer = run.saved, time.monotonic(), LineTimer()
    with progress, closing(run.train()) as moments:
        bar = progress.add_task("starting", total=run.total, completed=run.saved)
        try:
            for moment in moments:
                text = describe(moment)
                progress.update(bar, advance=1, description=text)
                if fail_fast:
                    _stop_at_skipped(run, moment.skipped)
                for sentence in moment.skipped:
                    say(progress.console, f"Skipped: {sentence}")
                line = report(moment)
                if line is None and progress.disable and timer.is_due() and not run.is_finished:
                    line = _steps_line(run, first, started, text)
                if line:
                    say(progress.console, line)
                    timer.restart()
        except KeyboardInterrupt:
            if run.saved == 0:
                raise
            kept = f"{run.saved:,} of {counted(run.total, 'step')} are saved"
            say(console, f"Stopped; {kept}, and the same command continues from there: {run.out / CHECKPOINT}.")
            raise _ReportedInterrupt from None


def _steps_line(run: Run[Any], first: int, started: float, text: str) -> str:
    """Return the steps done, a text, and the time left, by the speed since step `first` at the time `started`."""
    done = len(run.steps)
    left = (run.total - done) * (time.monotonic() - started) / (done - first)
    return f"{done:,} of {counted(run.total, 'step')}: {text}, {duration(left)} left."


def _stop_at_skipped(run: Run[Any], sentences: Sequence[str]) -> None:
    """Save the steps so far and raise PictureError, if there are sentences about pictures that can't be read."""
    if not sentences:
        return
    if run.saved < len(run.steps):
        run.save()
    kept = f"{run.saved:,} of {counted(run.total, 'step')} are saved"
    raise PictureError(f"{sentences[0]} {kept}; repair or remove the file, and the same command continues.")
