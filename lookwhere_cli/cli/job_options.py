"""The options that make a job of a command, and the one call by which a command hands itself over."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lookwhere_cli.cli.added_options import with_options
from lookwhere_cli.cli.fetching import ensure_downloaded, model_from_option
from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.options import Options

if TYPE_CHECKING:
    from lookwhere_cli.jobs.engine import Engine
    from lookwhere_cli.jobs.job import Job
    from lookwhere_cli.jobs.slices import Slice
    from lookwhere_cli.models.config import Task

PANEL = "Jobs"
_OPTIONS: dict[str, Any] = {
    "shard_size": Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Pictures per file. (default: 1000)", rich_help_panel=PANEL),
    ],
    "engine": Annotated[
        Literal["local", "ray"] | None,
        typer.Option(metavar="NAME", help="local (default) or ray.", rich_help_panel=PANEL),
    ],
    "processes": Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="local: processes. (default: one per GPU or CPU)", rich_help_panel=PANEL),
    ],
    "actors": Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="ray: actors. (default: as many as fit)", rich_help_panel=PANEL),
    ],
    "cpus_per_actor": Annotated[
        float | None,
        typer.Option(metavar="N", min=0.01, help="ray: CPUs of an actor. (default: 1)", rich_help_panel=PANEL),
    ],
    "gpus_per_actor": Annotated[
        float | None,
        typer.Option(metavar="N", min=0.0, help="ray: GPUs of an actor. (default: 0)", rich_help_panel=PANEL),
    ],
    "address": Annotated[
        str | None,
        typer.Option(metavar="URL", help="ray: a running cluster: auto, host:port.", rich_help_panel=PANEL),
    ],
    "shards": Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Only every Nth shard, from the Ith.", rich_help_panel=PANEL),
    ],
    "limit": Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="The first N pictures of the list only.", rich_help_panel=PANEL),
    ],
    "column": Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of tables: paths or pictures. (default: usual)", rich_help_panel=PANEL),
    ],
}
JOB_OPTIONS = tuple(_OPTIONS)
"""Names of the parameters that `with_job_options` adds."""
_MAKING = ("shard_size", "shards", "engine", "processes", "actors")
_OF_RAY = ("actors", "cpus_per_actor", "gpus_per_actor", "address")
_SETTINGS = {"features": ("dense", "maps"), "segment": ("format",)}
"""Options of a command that decide its rows, beside those of reading."""
_DEFAULTS = {"format": "png"}
_FOLDER_ANYWAY = ("segment",)
"""Commands whose --out is a folder without a job too."""
_FOLDER_FORMATS = ("yolo", "voc")
"""Values of --format for which --out is a folder without a job too."""
_INSTEAD = ", or write to a file without a job"
_OF_FILMS = ("every", "reuse", "film")
_NOT_IN_JOBS = ("full_rows", "fail_fast", "overlay", "rows", "rows_format")


def with_job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of jobs. It finds their values in its context; its own signature stays as it is."""
    return with_options(command, _OPTIONS)


def run_as_job(context: typer.Context, command: str, settings: Options, default: str | None = None) -> bool:
    """Do the command as a job if its options make it one; return False if they don't.

    default: the model of the command's task; None if any model serves. Raises UsageError for options that don't go
    together, and typer.Exit with 1 if pictures failed.
    """
    if not _is_job(context, command):
        _check_plain(context, command)
        return False
    _check_options(context)
    check_extra("parquet", "A job")
    part = _slice_of(context)
    engine = _engine_of(context)

    from lookwhere_cli.cli.job_progress import run_and_show

    run_and_show(_job_of(context, command, settings, default), engine, part, context.params)
    return True


def _is_job(context: typer.Context, command: str) -> bool:
    """Return True for an option that makes a job, and for a folder as --out where it would be a file."""
    if any(context.params[name] is not None for name in _MAKING):
        return True
    out = context.params["out"]
    return not _is_folder_anyway(context, command) and out is not None and str(out).endswith(("/", os.sep))


def _is_folder_anyway(context: typer.Context, command: str) -> bool:
    params = context.params
    return command in _FOLDER_ANYWAY or bool(params.get("overlay")) or params.get("format") in _FOLDER_FORMATS


def _check_plain(context: typer.Context, command: str) -> None:
    """Raise UsageError for what only a job can do."""
    from lookwhere_cli.jobs.inputs import is_only_for_jobs
    from lookwhere_cli.jobs.remote import is_remote

    out = context.params["out"]
    is_folder = _is_folder_anyway(context, command)
    hint = "--shard-size 1000" if is_folder else "--out DIR/"
    for path in context.params["paths"]:
        if is_only_for_jobs(path) and not os.path.isdir(path):  # noqa: PTH112 - as typed
            raise UsageError(f"{path!r} is read by a job, which writes shards into a folder; add {hint}.")
    for name in ("column", *_OF_RAY):
        if context.params[name] is not None:
            raise UsageError(f"{_option(name)} is for jobs, which write shards into a folder; add {hint}.")
    if out is not None and is_remote(str(out)):
        raise UsageError(f"--out {str(out)!r} is in a remote store, where a job writes; add {hint}.")
    if not is_folder and out is not None and os.path.isdir(out):  # noqa: PTH112 - as typed
        raise UsageError(
            f"--out {str(out)!r} is a folder; name a file, or end it with a slash ({out}/) to write shards into the "
            "folder, as a job."
        )


def _check_options(context: typer.Context) -> None:
    """Raise UsageError for options that a job does not have, or that need another engine."""
    params = context.params
    if params["out"] is None:
        raise UsageError("A job writes shards into a folder; name it with --out DIR/.")
    if params.get("window") is not None:
        raise UsageError(f"A job reads each picture as a whole; leave --window out{_INSTEAD}.")
    for name in _NOT_IN_JOBS:
        if params.get(name):
            raise UsageError(
                f"A job has no {_option(name)}: its rows are Parquet files, failed ones among them; leave it out."
            )
    for name in _OF_FILMS:
        if params.get(name) is not None:
            raise UsageError(f"{_option(name)} is for films, which a job does not read; leave it out{_INSTEAD}.")
    masks = ("png", "rle", "geojson") if "rows_format" in params else ()
    if "labels" not in params and params.get("format") not in (None, "parquet", *masks):
        raise UsageError(f"A job writes Parquet, and --format is {params['format']}; leave it out.")
    is_ray = params["engine"] == "ray"
    wrong = next((name for name in (("processes",) if is_ray else _OF_RAY) if params[name] is not None), None)
    if wrong is not None:
        remedy = "use --actors" if is_ray else "add it, or use --processes"
        raise UsageError(f"{_option(wrong)} is for --engine {'local' if is_ray else 'ray'}; {remedy}.")
    if params["shards"] is not None and params["overwrite"]:
        raise UsageError("--overwrite would remove the shards of other members; begin a job anew without --shards.")


def _slice_of(context: typer.Context) -> Slice:
    from lookwhere_cli.jobs.slices import Slice

    text = context.params["shards"]
    return Slice() if text is None else Slice.parse(text)


def _engine_of(context: typer.Context) -> Engine:
    params = context.params
    if params["engine"] == "ray":
        from lookwhere_cli.jobs.on_ray import RayEngine

        check_extra("ray", "--engine ray")
        cpus, gpus = params["cpus_per_actor"], params["gpus_per_actor"]
        return RayEngine(params["actors"], 1.0 if cpus is None else cpus, gpus or 0.0, params["address"])
    from lookwhere_cli.jobs.local import LocalEngine

    return LocalEngine(params["processes"], params["device"])


def _job_of(context: typer.Context, command: str, settings: Options, default: str | None) -> Job:
    from lookwhere_cli.jobs.job import SHARD_SIZE, Job

    params = context.params
    return Job(
        command,
        _model(context, command, default),
        settings,
        str(params["out"]),
        tuple(params["paths"]),
        params["column"],
        params["limit"],
        params["shard_size"] or SHARD_SIZE,
        {name: params[name] or _DEFAULTS.get(name, params[name]) for name in _SETTINGS.get(command, ())},
    )


def _model(context: typer.Context, command: str, default: str | None) -> str:
    """Return the name of the job's model, which is fetched if it is not here. Raises ModelError."""
    if default is not None:
        name: Task = command  # type: ignore[assignment] # a command with a default model is named like its task
        return model_from_option(context, name, default, context.params["quiet"])
    ensure_downloaded(context.params["model"], context.params["quiet"])
    return str(context.params["model"])


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
