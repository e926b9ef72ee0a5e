"""The `lookwhere` command: its subcommands, and the message and exit code of each failure."""

import atexit
import errno
import gc
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from lookwhere_cli.cli import jobs, models
from lookwhere_cli.cli.bench import bench
from lookwhere_cli.cli.calibrate import calibrate
from lookwhere_cli.cli.classify import classify
from lookwhere_cli.cli.compare import compare
from lookwhere_cli.cli.detect import detect
from lookwhere_cli.cli.evaluate import evaluate
from lookwhere_cli.cli.explain import explain
from lookwhere_cli.cli.export import export
from lookwhere_cli.cli.features import features
from lookwhere_cli.cli.films import FILM_OPTIONS, with_film_options
from lookwhere_cli.cli.help import Command, Group, showing, without
from lookwhere_cli.cli.info import info
from lookwhere_cli.cli.job_options import JOB_OPTIONS, with_job_options
from lookwhere_cli.cli.pretrain import pretrain
from lookwhere_cli.cli.segment import segment
from lookwhere_cli.cli.streams import drop, prepare_streams
from lookwhere_cli.cli.train import train
from lookwhere_cli.cli.usage import TyperUsageError, sentence_of
from lookwhere_cli.cli.window_options import RARE_WINDOW_OPTIONS, with_window_options
from lookwhere_cli.errors import LookWhereError, OutputError, UsageError
from lookwhere_cli.interrupts import exit_code, listening
from lookwhere_cli.text import on_one_line

CTRL_C = 130  # Typer's code for every KeyboardInterrupt
_OUTPUT_ENDS = {
    errno.ENOSPC: "no space left; free some, or write elsewhere",
    errno.EDQUOT: "the quota is used up; free some space, or write elsewhere",
    errno.EIO: "the device fails; write elsewhere",
    errno.EBADF: "it is closed; open it, or write to a file",
}
PIPE_CLOSED = 141  # as a shell reports a command that SIGPIPE ended

app = typer.Typer(
    name="lookwhere",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_RARE = ("thumbnail", "memory", "max_pixels", "runtime", "bands", "stretch_range")
app.command(cls=without(*_RARE, "dtype", *JOB_OPTIONS, *FILM_OPTIONS, *RARE_WINDOW_OPTIONS))(
    with_film_options(with_job_options(with_window_options(classify)))
)
app.command(cls=without(*_RARE, "dtype", *JOB_OPTIONS, *FILM_OPTIONS, *RARE_WINDOW_OPTIONS))(
    with_film_options(with_job_options(with_window_options(segment)))
)
app.command(
    cls=showing(
        *("conf", "iou", "max_boxes", "only", "k", "size", "window", "every", "model", "device", "format", "out"),
        *("overlay", "film", "quiet"),
    )
)(with_film_options(with_job_options(with_window_options(detect)), "film"))
app.command(cls=without(*_RARE, "dtype", "batch_size", *RARE_WINDOW_OPTIONS))(
    with_window_options(explain, leave_out=("window_rows",))
)
app.command(cls=without(*_RARE, "dtype", *JOB_OPTIONS, *FILM_OPTIONS, *RARE_WINDOW_OPTIONS))(
    with_film_options(with_job_options(with_window_options(features, leave_out=("window_rows",))))
)
app.command(cls=showing("steps", "batch_size", "size", "patches", "registers", "lr", "device"))(pretrain)
app.command(cls=showing("epochs", "multi_label", "model", "method", "size", "patches", "look", "batch_size", "lr"))(
    train
)
app.command(cls=showing("looks", "device", "label_column", "split", "overwrite", "quiet"))(calibrate)
app.command(
    cls=showing(
        *("multi_label", "label_column", "split", "patches", "size", "model", "full", "device", "timed", "json_file"),
        *("out", "overwrite"),
    )
)(evaluate)
app.command(
    cls=showing(
        "use", "methods", "model", "size", "device", "epochs", "patches", "prune", "budget", "timed", "overwrite"
    )
)(compare)
app.command(cls=Command)(export)
app.command(cls=Command)(bench)
app.command(cls=without("max_pixels"))(info)
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")


def _print_version(requested: bool) -> None:
    if requested:
        from lookwhere_cli import __version__

        typer.echo(f"lookwhere {__version__}")
        raise typer.Exit


@app.callback()
def _lookwhere(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Analyse large pictures by reading only the parts that matter.

    Examples:

      lookwhere classify photos/

      lookwhere explain photo.jpg --html page.html
    """


def main() -> None:
    """Run the command line. A failure prints one sentence to stderr and exits with its documented code.

    If whoever reads the output has closed the pipe, as `head` does, the command ends silently.
    """
    atexit.register(gc.freeze)  # Python would search all objects for cycles before it ends, for 0.1 s
    prepare_streams()
    try:
        with listening():
            _run_and_report()
    except BrokenPipeError:
        _end_silently()
    except SystemExit as ended:  # Typer and Rich turn a closed pipe into exit code 1, which means something else here
        if isinstance(ended.__context__, BrokenPipeError):
            _end_silently()
        raise


def _run_and_report() -> None:
    """Run the command line and report each failure, but for closed pipes."""
    try:
        _run()
    except BrokenPipeError:
        raise
    except TyperUsageError as failure:
        sentence = sentence_of(failure)
        if not sentence:
            sys.exit(UsageError.exit_code)
        _end(failure, sentence, UsageError.exit_code)
    except LookWhereError as failure:
        if isinstance(failure, OutputError):
            drop(sys.stdout)
        _end(failure, f"{failure.args[0]}", failure.exit_code, failure.details)
    except (KeyboardInterrupt, typer.Abort):  # also while modules are imported, before a command runs
        sys.exit(exit_code())
    except Exception as failure:
        if isinstance(failure, OSError) and failure.filename is None and failure.errno in _OUTPUT_ENDS:
            drop(sys.stdout)  # a file raises OutputError
            _end(failure, f"Writing 'standard output' failed: {_OUTPUT_ENDS[failure.errno]}.", 1)
        sentence = f"This should not happen ({type(failure).__name__}: {failure}); --debug shows the traceback."
        _end(failure, sentence, 1)


def _run() -> NoReturn:
    check_current_folder()
    try:
        code = app(prog_name="lookwhere", standalone_mode=False)
        sys.exit(exit_code() if code == CTRL_C else code)
    finally:
        sys.stdout.flush()  # at exit it would be too late for an exit code of ours


def _end(failure: Exception, sentence: str, code: int, details: Sequence[str] = ()) -> NoReturn:
    """Print the sentence and the details, one per line, after the traceback if `--debug` was given, and exit."""
    if "--debug" in sys.argv:
        lines = "".join(traceback.format_exception(failure)).rstrip("\n").split("\n")
        print(*map(on_one_line, lines), sep="\n", file=sys.stderr)
    print(on_one_line(f"Error: {sentence}"), *(f"  {on_one_line(line)}" for line in details), sep="\n", file=sys.stderr)
    sys.exit(code)


def _end_silently() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        drop(stream)
    sys.exit(PIPE_CLOSED)


def check_current_folder() -> None:
    """Raise UsageError if the folder that the command was started in is gone: libraries end the process there."""
    try:
        os.getcwd()  # noqa: PTH109
    except OSError as failure:
        raise UsageError(
            "The current folder does not exist any more; change to another one, and start again."
        ) from failure
