"""Models in the cache: where they are, whether they are intact, and their deletion. Opens no connection.

Repositories lie in the Hub client's own cache, shared with all tools that use it: blobs/ holds files named by their
hash, snapshots/ links to them by commit, refs/ the commit of each branch. Converted published models lie among the
client's assets, by alias, with the same snapshots/ and refs/.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lookwhere_cli.checkpoints.environment import check_client, check_storage
from lookwhere_cli.checkpoints.layout import CONFIG, PUBLISHED_FILES, PUBLISHED_REPOSITORY, WEIGHTS
from lookwhere_cli.checkpoints.names import MAIN, HubName, ModelLocation, is_commit, parse_repository
from lookwhere_cli.encodings import decode_text
from lookwhere_cli.errors import ModelError, OutputError
from lookwhere_cli.models.config import Config

if TYPE_CHECKING:
    from huggingface_hub import DeleteCacheStrategy, HFCacheInfo

SNAPSHOTS, REFS, BLOBS = "snapshots", "refs", "blobs"


def cache_root(model: HubName) -> Path:
    """Return the folder that holds all cached revisions of a model. Raises ModelError, as `check_client` does."""
    check_client()
    from huggingface_hub import constants

    if model.file is not None:
        return Path(constants.HF_ASSETS_CACHE) / "lookwhere" / model.name
    return Path(constants.HF_HUB_CACHE) / f"models--{model.repository.replace('/', '--')}"


def find_cached(model: HubName) -> ModelLocation | None:
    """Return where the model's revision lies, as of its last pull; None if its config or weights are not cached."""
    root = cache_root(model)
    commit = _read_commit(root, model.revision)
    if commit is None or not _holds_model(root / SNAPSHOTS / commit):
        return None
    return ModelLocation(model.name, root / SNAPSHOTS / commit, commit)


def is_intact(folder: Path) -> bool:
    """Return True if the config is JSON and the header of the weights is valid and fits the file's length.

    The tensors themselves are not read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        json.loads(decode_text((folder / CONFIG).read_bytes()))
        with safe_open(folder / WEIGHTS, framework="np"):
            return True
    except (OSError, ValueError, RecursionError, SafetensorError):
        return False


def cached_models() -> list[HubName]:
    """Return every model in the cache: by name if `main` was pulled, by name and commit for any other revision.

    Raises ModelError if the Hub's cache can't be read.
    """
    converted = (HubName(alias, PUBLISHED_REPOSITORY, file=file) for alias, file in PUBLISHED_FILES.items())
    # scan_cache_dir knows repositories only; converted models lie among the client's assets.
    found = [(model, list((cache_root(model) / SNAPSHOTS).glob("*"))) for model in converted]
    cache = _scan_cache()
    for repository in sorted(cache.repos if cache else (), key=lambda repository: repository.repo_id):
        model = parse_repository(repository.repo_id) if repository.repo_type == "model" else None
        if model is not None:
            found.append((model, [revision.snapshot_path for revision in repository.revisions]))
    return [revision for model, snapshots in found for revision in _our_revisions(model, snapshots)]


def cached_repositories() -> list[str]:
    """Return the names of cached repositories (with @commit if `main` was not pulled); empty if they can't be read."""
    with suppress(ModelError):
        return [str(model) for model in cached_models() if model.file is None]
    return []


def remove(model: HubName) -> int:
    """Delete a model from the cache: the revision that it names, or all of them if that is `main`.

    Returns the number of bytes freed. Raises ModelError if nothing is cached, OutputError if it can't be deleted.
    """
    root, location = cache_root(model), find_cached(model)
    with _deletion_errors(root):
        if model.revision == MAIN and root.is_dir():
            return _remove_folder(root) if model.file else _remove_repository(model)
        if location is not None:
            return _remove_conversion(root, location) if model.file else _remove_revision(model, location)
    raise ModelError(f"Nothing is cached of {str(model)!r}. See: lookwhere models list.")


def _remove_repository(model: HubName) -> int:
    size = _size_on_disk(cache_root(model))  # the client's own figure leaves partial downloads out
    commits = []
    with suppress(ModelError):
        cache = _scan_repository(model)
        commits = [revision.commit_hash for repository in cache.repos for revision in repository.revisions]
    if commits:
        _execute(cache.delete_revisions(*commits), model)
    else:  # the client deletes no repository that is damaged, or only partly downloaded
        shutil.rmtree(cache_root(model))
    return size


def _remove_revision(model: HubName, location: ModelLocation) -> int:
    return _execute(_scan_repository(model).delete_revisions(location.folder.name), model)


def _remove_folder(folder: Path) -> int:
    size = _size_on_disk(folder)
    shutil.rmtree(folder)
    return size


def _size_on_disk(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def _remove_conversion(root: Path, location: ModelLocation) -> int:
    for ref in (root / REFS).rglob("*"):
        if ref.is_file() and _read_commit(root, str(ref.relative_to(root / REFS))) == location.commit:
            ref.unlink()
    return _remove_folder(location.folder)


def _execute(strategy: DeleteCacheStrategy, model: HubName) -> int:
    """Delete what the strategy lists. Raises ModelError if a tampered link makes it list a file outside the cache."""
    from huggingface_hub.utils import logging

    root = cache_root(model).resolve()
    for path in (*strategy.snapshots, *strategy.refs, *strategy.blobs):
        if not (path.parent.resolve() / path.name).is_relative_to(root):
            raise ModelError(
                f"{str(root)!r} links to {str(path)!r}, which is outside of it; nothing was deleted. Delete all of the "
                f"model: lookwhere models remove {model.name}"
            )
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # the client would log the traceback of a path that it can't delete
    try:
        strategy.execute()
    finally:
        logging.set_verbosity(verbosity)
    remaining = [path for path in (*strategy.repos, *strategy.snapshots) if path.exists()]
    if remaining:
        raise OutputError(f"{str(remaining[0])!r} can't be deleted; check its permissions.")
    return strategy.expected_freed_size


def _scan_cache() -> HFCacheInfo | None:
    """Return what the client knows of its cache; None if there is none yet. Raises ModelError."""
    check_client()
    check_storage()
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        return scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return None
    except (OSError, ValueError) as failure:
        raise ModelError(
            f"The Hub's cache {constants.HF_HUB_CACHE!r} can't be read ({failure}); repair it, or delete it to have "
            "its models fetched again."
        ) from failure


def _scan_repository(model: HubName) -> HFCacheInfo:
    """Return what the client knows of this repository alone, as another one may have the same commits.

    Raises ModelError for a damaged repository.
    """
    cache, root = _scan_cache(), cache_root(model)
    path = root.parent.resolve() / root.name
    repositories = frozenset(one for one in cache.repos if one.repo_path == path) if cache else frozenset()
    if cache is None or not repositories:
        raise ModelError(f"{str(root)!r} is damaged; delete all of it: lookwhere models remove {model.name}")
    return replace(cache, repos=repositories)


def _our_revisions(model: HubName, snapshots: Iterable[Path]) -> Iterator[HubName]:
    """Yield the revisions among `snapshots` that hold a model of ours: `main` first, then by commit."""
    main = _read_commit(cache_root(model), MAIN)
    for folder in sorted(snapshots, key=lambda folder: (folder.name != main, folder.name)):
        if is_commit(folder.name) and _holds_model(folder) and _is_ours(folder):
            yield model if folder.name == main else replace(model, revision=folder.name)


def _read_commit(root: Path, revision: str) -> str | None:
    """Return the commit that the revision stood for when it was pulled; None if unknown, or if the ref is damaged."""
    if is_commit(revision):
        return revision
    ref = root / REFS / revision
    try:
        commit = decode_text(ref.read_bytes()).strip()
    except (OSError, UnicodeDecodeError):
        return None
    return commit if is_commit(commit) else None  # it becomes a path: a tampered ref must not lead out of the cache


def _holds_model(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def _is_ours(folder: Path) -> bool:
    try:
        Config.from_dict(json.loads(decode_text((folder / CONFIG).read_bytes())))
    except (OSError, ValueError, RecursionError, AttributeError):  # the last: JSON, but not an object
        return False
    return True


@contextmanager
def _deletion_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise OutputError(f"{str(root)!r} can't be deleted completely: {failure.strerror or failure}.") from failure
