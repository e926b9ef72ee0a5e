"""From a model's name to the folder that holds it.

A name is, in this order: a bundled model's; an alias of a published model; a folder; owner/name on the Hub. The last
and the aliases may end in @revision: a branch, a tag or a commit. docs/models.md tells it to users.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookwhere_cli.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
RESULTS = "results.json"
TRAINING = "training.json"
DEFAULT_CLASSIFIER = "lookwhere-tiny-in1k"
DEFAULT_SEGMENTER = "lookwhere-tiny-streets"
MAIN = "main"

PUBLISHED_REPOSITORY = "antofuller/lookwhere"
PUBLISHED_FILES = {
    "imagenet-base": "is_LW=True_K=128_LR=1e-05_E=30.pt",
    "dinov2-base": "lookwhere_dinov2.pt",
    "franca-base": "lookwhere_franca.pt",
}
"""By alias: the authors' files of weights."""

_PACKAGE = Path(__file__).resolve().parents[1]
_SHELVES = (_PACKAGE / "weights", _PACKAGE.parent / "weights")  # installed, then checked out
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)  # no part begins with a dot: none leads upwards


@dataclass(frozen=True)
class Bundled:
    """A model that ships with the tool."""

    name: str
    folder: Path


@dataclass(frozen=True)
class HubName:
    """A model on the Hub: a folder's worth of files in a repository, or one published file that we convert."""

    name: str
    repository: str
    revision: str = MAIN
    file: str | None = None
    """The published file; None for a repository that holds a model as we save it."""

    def __str__(self) -> str:
        return self.name if self.revision == MAIN else f"{self.name}@{self.revision}"


@dataclass(frozen=True)
class Place:
    """Where a model lies: its name without a revision, its folder, and the commit that it was pulled at, if it was."""

    name: str
    folder: Path
    commit: str | None = None


def bundled() -> list[Bundled]:
    """The models that ship with the tool, by name."""
    found: dict[str, Path] = {}
    for folder in _shelved():
        found.setdefault(folder.name, folder)
    return [Bundled(name, found[name]) for name in sorted(found)]


def find(name: str) -> Place:
    """Where the model of that name lies, fetched from the Hub first where it has to be (./NAME is always a folder).

    Raises ModelError for a name that is nothing, offering near ones, for a folder that holds no model, and for a model
    that can't be fetched.
    """
    wanted = resolve(name)
    if isinstance(wanted, Place):
        return wanted
    from lookwhere_cli.checkpoints.cache import obtain  # only here: what is local needs nothing of the Hub's client

    return obtain(wanted)


def resolve(name: str) -> Place | HubName:
    """What a name means, without a look at the Hub. Raises ModelError as `find` does."""
    for model in bundled():
        if model.name == name:
            return Place(name, model.folder)
    alias = _alias(name)
    if alias is not None:
        return alias
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Place(name, _checked(folder, name))
    on_hub = _repository(name)
    if on_hub is None:
        raise ModelError(unknown(name))
    return on_hub


def unknown(name: str) -> str:
    """The sentence for a name that is nothing, with near ones."""
    from lookwhere_cli.checkpoints.cache import cached_names

    known = [*(model.name for model in bundled()), *PUBLISHED_FILES, *cached_names()]
    near = difflib.get_close_matches(name, known, n=3)
    offer = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"There are: {', '.join(known)}."
    return (
        f"There is no model {name!r}: it is neither bundled, nor an alias, nor a folder, nor owner/name on the Hub. "
        f"{offer} See: lookwhere models list."
    )


def _alias(name: str) -> HubName | None:
    alias, revision = _split(name)
    if alias not in PUBLISHED_FILES or revision is None:
        return None
    return HubName(alias, PUBLISHED_REPOSITORY, revision, PUBLISHED_FILES[alias])


def _repository(name: str) -> HubName | None:
    repository, revision = _split(name)
    if not _REPOSITORY.fullmatch(repository) or revision is None:
        return None
    return HubName(repository, repository, revision)


def _split(name: str) -> tuple[str, str | None]:
    """A name and its revision: `main` where it says none, None where it says an impossible one."""
    stem, mark, revision = name.partition("@")
    if not mark:
        return stem, MAIN
    return stem, revision if _REVISION.fullmatch(revision) else None


def _checked(folder: Path, name: str) -> Path:
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise ModelError(f"The folder {name!r} has no {file}; a model's folder holds {CONFIG} and {WEIGHTS}.")
    return folder


def _shelved() -> Iterator[Path]:
    for shelf in _SHELVES:
        for config in shelf.glob(f"*/{CONFIG}"):
            if (config.parent / WEIGHTS).is_file():
                yield config.parent
