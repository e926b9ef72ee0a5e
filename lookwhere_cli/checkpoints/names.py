"""From a model's name to the folder that holds it."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lookwhere_cli.errors import ModelError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
RESULTS = "results.json"
DEFAULT_CLASSIFIER = "lookwhere-tiny-in1k"

_PACKAGE = Path(__file__).resolve().parents[1]
_SHELVES = (_PACKAGE / "weights", _PACKAGE.parent / "weights")  # installed, then checked out


@dataclass(frozen=True)
class Bundled:
    """A model that ships with the tool."""

    name: str
    folder: Path


def bundled() -> list[Bundled]:
    """The models that ship with the tool, by name."""
    found: dict[str, Path] = {}
    for folder in _shelved():
        found.setdefault(folder.name, folder)
    return [Bundled(name, found[name]) for name in sorted(found)]


def find(name: str) -> Path:
    """The folder of a model: a bundled name first, then a folder's path (./NAME reaches a folder named like one).

    Raises ModelError for a name that is neither, offering near ones, and for a folder that holds no model.
    """
    models = {model.name: model.folder for model in bundled()}
    if name in models:
        return models[name]
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError(_unknown(name, list(models)))
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise ModelError(f"The folder {name!r} has no {file}; a model's folder holds {CONFIG} and {WEIGHTS}.")
    return folder


def _shelved() -> Iterator[Path]:
    for shelf in _SHELVES:
        for config in shelf.glob(f"*/{CONFIG}"):
            if (config.parent / WEIGHTS).is_file():
                yield config.parent


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    offer = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"There are: {', '.join(known) or 'none'}."
    return f"There is no model {name!r}, neither bundled nor as a folder. {offer} See: lookwhere models list."
