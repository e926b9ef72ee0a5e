"""`lookwhere models`: list, show, pull, verify, convert, push and remove models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookwhere_cli.cli import options
from lookwhere_cli.cli.help import Command, Group
from lookwhere_cli.cli.summary import say_done, usage_of
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.show.console import SafeConsole, make_console, say
from lookwhere_cli.text import on_one_line

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.names import HubName

app = typer.Typer(cls=Group, help="Models: bundled, published, on the Hub, your own.", no_args_is_help=True)

UNWRAPPED = 10_000  # columns, more than any line has

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Bundled name, alias, folder, or owner/name@revision.",
        show_default=False,
        autocompletion=options.known_names,
    ),
]


AsJson = Annotated[bool, typer.Option("--json", help="Print all facts as JSON.")]


@app.command("list", cls=Command)
def list_models(as_json: AsJson = False, debug: options.Debug = False) -> None:
    """Show the models that are bundled, cached, or known by an alias.

    A narrow terminal shows the first columns only.

    Examples:

      lookwhere models list

      lookwhere models list --json
    """
    from lookwhere_cli.cli import inventory
    from lookwhere_cli.show.model_tables import models_table

    models, problems = inventory.list_models()
    console = _table_console()
    _print_json(models) if as_json else console.print(models_table(models, console.width))
    if problems:
        raise ModelError(" ".join(map(str, problems)))


@app.command(cls=Command)
def show(name: Name, as_json: AsJson = False, debug: options.Debug = False) -> None:
    """Show a model's shape, labels, licence, results, and where it lies.

    Examples:

      lookwhere models show imagenet-base

      lookwhere models show owner/name@v1 --json
    """
    from lookwhere_cli.cli.inventory import model_facts
    from lookwhere_cli.show.model_tables import facts_table

    facts = model_facts(name)
    _print_json(facts) if as_json else _table_console().print(facts_table(facts))


@app.command(cls=Command)
def pull(name: Name, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """Fetch a model from the Hub into the cache, or bring the cache up to date.

    A download that broke off continues; cached files are checked by their hashes.

    Examples:

      lookwhere models pull imagenet-base

      lookwhere models pull owner/name@v1
    """
    from lookwhere_cli.card import describe
    from lookwhere_cli.checkpoints import resolve
    from lookwhere_cli.checkpoints.folder import read_config
    from lookwhere_cli.cli.fetching import download_progress

    model = _hub_name(name, "pulled")
    with download_progress(quiet) as update:
        location = resolve.pull(model, update, describe)
    _print_fields(location.name, location.commit)
    say_done(f"Pulled {name}; next: {usage_of(read_config(location.folder), name)}", quiet)


@app.command(cls=Command)
def verify(name: Name, debug: options.Debug = False) -> None:
    """Read a model's files and compare them with their stored hashes.

    Examples:

      lookwhere models verify imagenet-base

      lookwhere models verify my-model/
    """
    from lookwhere_cli.checkpoints.names import HubName
    from lookwhere_cli.checkpoints.resolve import resolve
    from lookwhere_cli.checkpoints.verify import verify as verify_files

    model = resolve(name)
    results = verify_files(model)
    for file, matches in results.items():
        _print_fields(file, "as it was" if matches else "CHANGED")
    if not all(results.values()):
        on_hub = isinstance(model, HubName)
        remedy = f"fetch it again: lookwhere models pull {name}" if on_hub else "copy it again from its source"
        raise ModelError(f"{name!r} is damaged or was edited; {remedy}.")


@app.command(cls=Command)
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One of the authors' files (.pt).", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new folder.", show_default=False)],
    half: Annotated[bool, typer.Option("--half", help="Store float16: half the bytes.")] = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Convert a file of published weights to a model's folder.

    Only tensors are read from it; a pickle that holds anything else is refused.

    Examples:

      lookwhere models convert lookwhere_dinov2.pt dinov2/

      lookwhere models convert lookwhere_dinov2.pt dinov2-half/ --half
    """
    from lookwhere_cli.checkpoints.folder import read_config
    from lookwhere_cli.checkpoints.layout import CONFIG, WEIGHTS

    if not file.is_file():
        raise UsageError(f"There is no file {str(file)!r}; name one of the authors' files of weights.")
    if not overwrite and any((out / name).exists() for name in (CONFIG, WEIGHTS)):
        raise UsageError(f"{str(out)!r} holds a model already; choose another folder, or replace it with --overwrite.")
    from lookwhere_cli.card import describe
    from lookwhere_cli.checkpoints.published.convert import convert as convert_file

    layout = convert_file(file, out, half, card=describe)
    _print_fields(out, layout)
    say_done(f"Saved {out}; next: {usage_of(read_config(out), out)}", quiet)


@app.command(cls=Command)
def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model's folder.", show_default=False)],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The repository.", show_default=False)],
    debug: options.Debug = False,
) -> None:
    """Upload a model to the Hub, with a card written from its records.

    The token comes from HF_TOKEN or from `hf auth login`.

    Examples:

      lookwhere models push my-model/ me/my-model

      lookwhere models push runs/signs me/signs
    """
    from lookwhere_cli.checkpoints.names import parse_repository

    model = parse_repository(repository)
    if model is None or "@" in repository:
        raise UsageError(f"{repository!r} is not a repository's name; give owner/name.")
    if not folder.is_dir():
        raise UsageError(f"There is no folder {str(folder)!r}; name one that holds a model.")
    from lookwhere_cli.card import full_card
    from lookwhere_cli.checkpoints.environment import check_network
    from lookwhere_cli.checkpoints.folder import read_config

    check_network()  # before the Hub's client is imported, which fails on some settings
    from lookwhere_cli.checkpoints.push import push as upload
    from lookwhere_cli.checkpoints.records import read_results, read_training
    from lookwhere_cli.heads.registry import head_of

    config = read_config(folder)
    card = full_card(repository, config, read_training(folder), read_results(folder))
    _print_fields(repository, upload(folder, model, card, head_of(config).hub_pipeline))


@app.command(cls=Command)
def remove(name: Name, debug: options.Debug = False) -> None:
    """Delete a model from the cache: all of it, or one revision.

    Examples:

      lookwhere models remove imagenet-base

      lookwhere models remove owner/name@v1
    """
    from lookwhere_cli.checkpoints.cache import remove as remove_cached

    freed = remove_cached(_hub_name(name, "removed"))
    say(make_console(stderr=True), f"Removed {name}; freed {freed / 1e6:.1f} MB.")


def _table_console() -> SafeConsole:
    """Return a console that fits tables into a terminal, and prints them unwrapped to anything else."""
    console = make_console()
    return console if console.is_terminal else make_console(width=UNWRAPPED)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=1, ensure_ascii=False))


def _print_fields(*fields: object) -> None:
    """Print the fields on one line, separated by tabs, with control characters escaped."""
    print("\t".join(on_one_line(str(field)) for field in fields))


def _hub_name(name: str, done: str) -> HubName:
    """Return the model on the Hub that `name` stands for. Raises UsageError for a bundled model or a folder."""
    from lookwhere_cli.checkpoints.names import HubName
    from lookwhere_cli.checkpoints.resolve import resolve

    model = resolve(name)
    if not isinstance(model, HubName):
        raise UsageError(f"{name!r} is not from the Hub but lies in {str(model.folder)!r}; it can't be {done}.")
    return model
