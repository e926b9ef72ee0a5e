"""`lookwhere models`: what there is, and how it comes, goes and is checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from lookwhere_cli.cli import options
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.show.console import say

if TYPE_CHECKING:
    from rich.table import Table

    from lookwhere_cli.checkpoints.names import HubName

app = typer.Typer(help="Models: bundled, published, on the Hub, your own.", no_args_is_help=True)

WHOLE = 10_000  # columns: more than any line has

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Bundled name, alias, folder, or owner/name[@revision].",
        show_default=False,
        autocompletion=options.known_names,
    ),
]


@app.command("list")
def list_models(debug: options.Debug = False) -> None:
    """Show the models that are bundled, cached, or known by an alias.

    Examples:

      lookwhere models list

      lookwhere classify photos/ --model lookwhere-tiny-in1k
    """
    from lookwhere_cli.cli.inventory import table

    _print(table())


@app.command()
def show(name: Name, debug: options.Debug = False) -> None:
    """Show a model's shape, labels, licence, results, and where it lies.

    Examples:

      lookwhere models show imagenet-base

      lookwhere models show owner/name@v1
    """
    from lookwhere_cli.cli.inventory import details

    _print(details(name))


@app.command()
def pull(name: Name, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """Fetch a model from the Hub into the cache, or bring the cache up to date.

    What broke off goes on where it ended; what is cached is checked by its hash.

    Examples:

      lookwhere models pull imagenet-base

      lookwhere models pull owner/name@v1
    """
    from lookwhere_cli.checkpoints import hub
    from lookwhere_cli.cli.fetching import watched

    wanted = _on_hub(name, "pulled")
    with watched(quiet) as watch:
        place = hub.pull(wanted, watch)
    print(f"{place.name}\t{place.commit}")


@app.command()
def verify(name: Name, debug: options.Debug = False) -> None:
    """Read a model's files again, and compare them with the hashes kept.

    Examples:

      lookwhere models verify imagenet-base

      lookwhere models verify my-model/
    """
    from lookwhere_cli.checkpoints.names import Place, resolve
    from lookwhere_cli.checkpoints.verify import verify as check

    results = check(name)
    for file, sound in results.items():
        print(f"{file}\t{'as it was' if sound else 'CHANGED'}")
    if not all(results.values()):
        local = isinstance(resolve(name), Place)
        remedy = "copy it again from where it came" if local else f"fetch it anew: lookwhere models pull {name}"
        raise ModelError(f"{name!r} is damaged or was edited; {remedy}.")


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="One of the authors' files (.pt).", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.", show_default=False)],
    half: Annotated[bool, typer.Option("--half", help="Store float16: half the bytes.")] = False,
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Turn a file of published weights into a model's folder.

    Only tensors are read from it; a pickle that asks for more is refused.

    Examples:

      lookwhere models convert lookwhere_dinov2.pt dinov2/

      lookwhere models convert lookwhere_dinov2.pt dinov2-half/ --half
    """
    from lookwhere_cli.checkpoints.names import CONFIG, WEIGHTS

    if not file.is_file():
        raise UsageError(f"There is no file {str(file)!r}; name one of the authors' files of weights.")
    if not overwrite and any((out / name).exists() for name in (CONFIG, WEIGHTS)):
        raise UsageError(f"{str(out)!r} holds a model already; choose another folder, or replace it with --overwrite.")
    from lookwhere_cli.checkpoints.published.convert import convert as convert_file

    layout = convert_file(file, out, half)
    print(f"{out}\t{layout}")


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A model's folder.", show_default=False)],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Where to.", show_default=False)],
    debug: options.Debug = False,
) -> None:
    """Upload a model to the Hub, with a card made from what is on record.

    Your token is taken from HF_TOKEN or from `hf auth login`.

    Examples:

      lookwhere models push my-model/ me/my-model

      lookwhere models push runs/signs me/signs
    """
    from lookwhere_cli.checkpoints.names import HubName

    if repository.count("/") != 1 or not all(repository.split("/")):
        raise UsageError(f"{repository!r} is no repository's name; give owner/name.")
    if not folder.is_dir():
        raise UsageError(f"There is no folder {str(folder)!r}; name one that holds a model.")
    from lookwhere_cli.checkpoints.push import push as upload

    print(f"{repository}\t{upload(folder, HubName(repository, repository))}")


@app.command()
def remove(name: Name, debug: options.Debug = False) -> None:
    """Delete a model from the cache: all of it, or one revision.

    Examples:

      lookwhere models remove imagenet-base

      lookwhere models remove owner/name@v1
    """
    from lookwhere_cli.checkpoints.cache import remove as delete

    freed = delete(_on_hub(name, "removed"))
    say(Console(stderr=True), f"{name} is removed; {freed / 1e6:.1f} MB became free.")


def _print(table: Table) -> None:
    """Fitted into a terminal; else each line whole, however long."""
    console = Console()
    (console if console.is_terminal else Console(width=WHOLE)).print(table)


def _on_hub(name: str, done: str) -> HubName:
    """The name, if it is one of the Hub's. Raises UsageError for what lies here anyway."""
    from lookwhere_cli.checkpoints.names import Place, resolve

    wanted = resolve(name)
    if isinstance(wanted, Place):
        raise UsageError(f"{name!r} is not from the Hub but lies in {str(wanted.folder)!r}; it can't be {done}.")
    return wanted
