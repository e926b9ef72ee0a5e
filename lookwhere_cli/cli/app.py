"""The `lookwhere` command: its subcommands, and how failures end."""

import errno
import os
import sys
import traceback
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from lookwhere_cli.cli import models
from lookwhere_cli.cli.bench import bench
from lookwhere_cli.cli.calibrate import calibrate
from lookwhere_cli.cli.classify import classify
from lookwhere_cli.cli.compare import compare
from lookwhere_cli.cli.evaluate import evaluate
from lookwhere_cli.cli.explain import explain
from lookwhere_cli.cli.features import features
from lookwhere_cli.cli.pretrain import pretrain
from lookwhere_cli.cli.segment import segment
from lookwhere_cli.cli.train import train
from lookwhere_cli.errors import LookWhereError, OutputError
from lookwhere_cli.text import on_one_line

INTERRUPTED = 130

app = typer.Typer(
    name="lookwhere",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(classify)
app.command()(segment)
app.command()(explain)
app.command()(features)
app.command()(pretrain)
app.command()(train)
app.command()(calibrate)
app.command()(evaluate)
app.command()(compare)
app.command()(bench)
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        from lookwhere_cli import __version__

        typer.echo(f"lookwhere {__version__}")
        raise typer.Exit


@app.callback()
def _lookwhere(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Say what is in pictures, having looked only where it matters.

    Examples:

      lookwhere classify photos/

      lookwhere explain photo.jpg --html page.html
    """


def main() -> None:
    """Run the command line; every failure ends in a sentence on stderr and the documented exit code."""
    try:
        app(prog_name="lookwhere")
    except LookWhereError as failure:
        if isinstance(failure, OutputError):
            _drop_stdout()
        _end(failure, f"{failure}", failure.exit_code)
    except KeyboardInterrupt:  # outside of a command, while modules are imported
        sys.exit(INTERRUPTED)
    except Exception as failure:
        if isinstance(failure, OSError) and failure.errno == errno.ENOSPC:  # stdout's; files say so themselves
            _drop_stdout()
            _end(failure, "Writing 'standard output' failed: no space left; make room or choose another place.", 1)
        _end(failure, f"this should not happen ({type(failure).__name__}: {failure}); --debug shows where it did.", 1)


def _end(failure: Exception, sentence: str, code: int) -> NoReturn:
    """Exit with a sentence, below the traceback where `--debug` asks for it."""
    if "--debug" in sys.argv:
        lines = "".join(traceback.format_exception(failure)).rstrip("\n").split("\n")
        print(*map(on_one_line, lines), sep="\n", file=sys.stderr)
    print(on_one_line(f"Error: {sentence}"), file=sys.stderr)
    sys.exit(code)


def _drop_stdout() -> None:
    """What stdout still holds can't be written; without this Python would complain of it at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
