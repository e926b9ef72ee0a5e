"""`lookwhere jobs`: how far a job is, from any shell, and all of its rows in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lookwhere_cli.cli import options
from lookwhere_cli.cli.help import Command, Group
from lookwhere_cli.cli.summary import say_done, wrote
from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.output.files import check_free
from lookwhere_cli.show.console import make_console
from lookwhere_cli.text import counted

app = typer.Typer(
    cls=Group, help="Jobs: many pictures, in shards (see: lookwhere classify --help-all).", no_args_is_help=True
)

Folder = Annotated[
    str, typer.Argument(metavar="DIR", help="The job's folder, or its address in a remote store.", show_default=False)
]


@app.command("status", cls=Command)
def status(
    folder: Folder,
    as_json: Annotated[bool, typer.Option("--json", help="Print all facts as JSON.")] = False,
    debug: options.Debug = False,
) -> None:
    """Show how far a job is: pictures done and failed, rate, time left, workers.

    Examples:

      lookwhere jobs status rows/

      lookwhere jobs status s3://bucket/rows/ --json
    """
    check_extra("parquet", "lookwhere jobs")

    from lookwhere_cli.cli.job_progress import status_table
    from lookwhere_cli.jobs.folder import open_folder
    from lookwhere_cli.jobs.status import status_of

    found = status_of(open_folder(folder))
    if as_json:
        print(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    else:
        make_console().print(status_table(found))


@app.command("merge", cls=Command)
def merge_shards(
    folder: Folder,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="A file that ends in .parquet.", show_default=False)],
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Copy the rows of all shards, in order, to one Parquet file.

    Examples:

      lookwhere jobs merge rows/ rows.parquet

      lookwhere jobs merge s3://bucket/rows/ rows.parquet --overwrite
    """
    check_extra("parquet", "lookwhere jobs")
    if out.suffix.lower() != ".parquet":
        raise UsageError(f"{str(out)!r} must end in .parquet, the format of the shards.")
    check_free(out, overwrite)

    from lookwhere_cli.jobs.folder import open_folder
    from lookwhere_cli.jobs.merge import merge

    rows = merge(open_folder(folder), out)
    say_done(wrote(counted(rows, "row"), out), quiet)
