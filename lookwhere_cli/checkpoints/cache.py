"""What was pulled before: where it lies, whether it is whole, and how it goes away. Nothing here opens a socket.

Repositories lie in the Hub client's own cache, shared with all that use it: blobs/ named by their hash, snapshots/ of
links to them by commit, refs/ with the commit of each branch. Converted published models lie among the client's
assets, by alias, with the same snapshots/ and refs/.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from lookwhere_cli.checkpoints.names import CONFIG, MAIN, PUBLISHED_FILES, PUBLISHED_REPOSITORY, WEIGHTS, HubName, Place
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.config import Config

SNAPSHOTS, REFS, BLOBS = "snapshots", "refs", "blobs"
COMMIT = re.compile("[0-9a-f]{40}")
Watch: TypeAlias = Callable[[str, int, int], None]
"""Told of a download: the file's name, bytes that are here, bytes in all."""


def silent(file: str, here: int, total: int) -> None:
    """Watch nothing."""


def obtain(wanted: HubName, watch: Watch = silent) -> Place:
    """The model from the cache; pulled first if it is not there, or not whole. Raises ModelError."""
    place = cached(wanted)
    if place is not None and is_whole(place.folder):
        return place
    from lookwhere_cli.checkpoints.hub import pull

    return pull(wanted, watch)


def root_of(wanted: HubName) -> Path:
    """The folder for all that is kept of a model."""
    from huggingface_hub import constants

    if wanted.file is not None:
        return Path(constants.HF_ASSETS_CACHE) / "lookwhere" / wanted.name
    return Path(constants.HF_HUB_CACHE) / f"models--{wanted.repository.replace('/', '--')}"


def cached(wanted: HubName) -> Place | None:
    """Where the model lies at the revision last pulled under that name, if both of its files are there."""
    root = root_of(wanted)
    commit = _commit(root, wanted.revision)
    if commit is None or not _holds_model(root / SNAPSHOTS / commit):
        return None
    return Place(wanted.name, root / SNAPSHOTS / commit, commit)


def is_whole(folder: Path) -> bool:
    """Whether the config is JSON, and the weights' header is sound and speaks of as many bytes as there are.

    Cheap: the weights themselves are not read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, framework="np"):
            return True
    except (OSError, ValueError, SafetensorError):
        return False


def cached_names() -> list[str]:
    """Repositories in the cache that hold a model of ours, at any revision; with a revision where `main` is not one."""
    return [str(wanted) for wanted in cached_models() if wanted.file is None]


def cached_models() -> Iterator[HubName]:
    """Every model in the cache: by name where `main` was pulled, by name and commit where another revision was."""
    from huggingface_hub import constants

    for alias, file in PUBLISHED_FILES.items():
        yield from _revisions(HubName(alias, PUBLISHED_REPOSITORY, file=file))
    for root in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
        repository = root.name.removeprefix("models--").replace("--", "/", 1)
        yield from _revisions(HubName(repository, repository))


def remove(wanted: HubName) -> int:
    """Delete what is cached of a model: all of it, or, at a revision, that one. Gives the bytes that became free.

    Raises ModelError where there is nothing.
    """
    root = root_of(wanted)
    place = cached(wanted)
    if place is None and not (wanted.revision == MAIN and root.is_dir()):
        raise ModelError(f"Nothing is cached of {str(wanted)!r}. See: lookwhere models list.")
    before = _bytes(root)
    if wanted.revision == MAIN or place is None:
        shutil.rmtree(root)
        return before
    _remove_revision(root, place)
    return before - _bytes(root)


def _remove_revision(root: Path, place: Place) -> None:
    shutil.rmtree(place.folder)
    used = {link.resolve() for link in (root / SNAPSHOTS).rglob("*")}
    for blob in (root / BLOBS).glob("*"):
        if blob.resolve() not in used:
            blob.unlink()
    for ref in _refs(root):
        if ref.read_text().strip() == place.commit:
            ref.unlink()


def _revisions(model: HubName) -> Iterator[HubName]:
    root = root_of(model)
    main = cached(model)
    if main is not None and _is_ours(main.folder):
        yield model
    for folder in sorted((root / SNAPSHOTS).glob("*")):
        if (main is None or folder != main.folder) and _holds_model(folder) and _is_ours(folder):
            yield HubName(model.name, model.repository, folder.name, model.file)


def _commit(root: Path, revision: str) -> str | None:
    if COMMIT.fullmatch(revision):
        return revision
    ref = root / REFS / revision
    return ref.read_text(encoding="utf-8").strip() if ref.is_file() else None


def _refs(root: Path) -> list[Path]:
    return [ref for ref in (root / REFS).rglob("*") if ref.is_file()]


def _holds_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def _is_ours(folder: Path) -> bool:
    try:
        Config.from_dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, AttributeError):  # the last: JSON, but no object
        return False
    return True


def _bytes(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
