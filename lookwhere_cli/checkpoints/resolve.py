"""From a model's name to its folder, and to the loaded model; the one place that knows all sources of models.

A name is, in this order: a bundled model's; an alias of a published model; a folder; owner/name on the Hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lookwhere_cli.checkpoints.cache import cached_repositories, find_cached, is_intact
from lookwhere_cli.checkpoints.environment import check_client
from lookwhere_cli.checkpoints.layout import CONFIG, PUBLISHED_FILES, WEIGHTS
from lookwhere_cli.checkpoints.names import HubName, ModelLocation, parse_alias, parse_repository
from lookwhere_cli.checkpoints.progress import OnProgress, ignore_progress
from lookwhere_cli.errors import ModelError
from lookwhere_cli.text import near_names

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.folder import Loaded
    from lookwhere_cli.checkpoints.published.convert import Card

_PACKAGE = Path(__file__).resolve().parents[1]
_BUNDLES = (_PACKAGE / "weights", _PACKAGE.parent / "weights")  # of an installed package, of a checkout


def bundled_models() -> list[ModelLocation]:
    """Return the models that ship with the package, by name."""
    folders: dict[str, Path] = {}
    for bundle in _BUNDLES:
        for config in bundle.glob(f"*/{CONFIG}"):
            if (config.parent / WEIGHTS).is_file():
                folders.setdefault(config.parent.name, config.parent)
    return [ModelLocation(name, folders[name]) for name in sorted(folders)]


def known_names() -> list[str]:
    """Return the names of all bundled models, aliases, and cached repositories."""
    return [*(model.name for model in bundled_models()), *PUBLISHED_FILES, *cached_repositories()]


def resolve(name: str) -> ModelLocation | HubName:
    """Return what `name` stands for, without asking the Hub; ./NAME is always a folder.

    Raises ModelError for a name of no known form, offering similar ones, and for a folder without a model.
    """
    for model in bundled_models():
        if model.name == name:
            return model
    alias = parse_alias(name)
    if alias is not None:
        return alias
    folder = _existing_folder(name)
    if folder is not None:
        return ModelLocation(name, _checked_folder(folder, name))
    repository = parse_repository(name)
    if repository is None:
        raise ModelError(_unknown(name))
    return repository


def find(name: str, on_progress: OnProgress = ignore_progress, card: Card | None = None) -> ModelLocation:
    """Return where the model of that name lies, fetched from the Hub if it is not here; see `pull`.

    Raises ModelError as `resolve` and `pull` do.
    """
    model = resolve(name)
    return obtain(model, on_progress, card) if isinstance(model, HubName) else model


def obtain(model: HubName, on_progress: OnProgress = ignore_progress, card: Card | None = None) -> ModelLocation:
    """Return where the model lies in the cache; pull it first if it is missing or damaged. Raises as `pull` does."""
    location = find_cached(model)
    if location is not None and is_intact(location.folder):
        return location
    return pull(model, on_progress, card)


def pull(model: HubName, on_progress: OnProgress = ignore_progress, card: Card | None = None) -> ModelLocation:
    """Bring the cache up to date with the Hub at the model's revision, and return where it lies.

    card: describes a published model for the README.md of its conversion; without it none is written.

    Raises ModelError if the Hub refuses, OutputError if the disk is full.
    """
    check_client()
    from lookwhere_cli.checkpoints import hub  # it imports the Hub's client, which local models do not need

    return hub.pull(model, on_progress, card)


def load_model(name: str, device: str = "auto", dtype: str = "float32", card: Card | None = None) -> Loaded:
    """Load a model by any name that `resolve` knows, fetched from the Hub first if it is not here.

    device: "auto", "cpu", "cuda", "cuda:1", "mps". dtype: "float32", "bfloat16" or "float16". card: see `pull`.

    Raises ModelError if the model is missing or damaged, UsageError for an unknown device or dtype.
    """
    from lookwhere_cli.checkpoints.folder import load_folder  # it imports torch

    return load_folder(find(name, card=card), device, dtype)


def _unknown(name: str) -> str:
    known = known_names()
    near = near_names(name, known)
    offer = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"There are: {', '.join(known)}."
    return (
        f"There is no model {name!r}: it is neither bundled, nor an alias, nor a folder, nor owner/name on the Hub. "
        f"{offer} See: lookwhere models list."
    )


def _existing_folder(name: str) -> Path | None:
    try:
        folder = Path(name).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError):  # the name is too long for a file; it begins with ~ and an unknown user
        return None


def _checked_folder(folder: Path, name: str) -> Path:
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            raise ModelError(f"The folder {name!r} has no {file}; a model's folder holds {CONFIG} and {WEIGHTS}.")
    return folder
