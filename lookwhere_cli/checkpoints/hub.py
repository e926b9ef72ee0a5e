"""Models on the Hub: what it lists, and their download into the cache; every refusal becomes a ModelError.

It imports torch only once something has been fetched, so that a refusal or a missing network is told at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import WeakFileLock

from lookwhere_cli.checkpoints.cache import (
    BLOBS,
    REFS,
    SNAPSHOTS,
    cache_root,
    cached_repositories,
    find_cached,
    is_intact,
)
from lookwhere_cli.checkpoints.environment import check_network, said_of_cache, said_of_environment
from lookwhere_cli.checkpoints.layout import CARD, CONFIG, RESULTS, TRAINING, WEIGHTS
from lookwhere_cli.checkpoints.names import MAIN, HubName, ModelLocation, is_commit, is_digest
from lookwhere_cli.checkpoints.progress import OnProgress, ignore_progress
from lookwhere_cli.checkpoints.transfer import TIMEOUT, RemoteFile, fetch
from lookwhere_cli.errors import ModelError
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.text import near_names

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.published.convert import Card

DOWNLOADED = (CONFIG, CARD, RESULTS, TRAINING, WEIGHTS)
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token of yours"


def pull(model: HubName, on_progress: OnProgress = ignore_progress, card: Card | None = None) -> ModelLocation:
    """Bring the cache up to date with the Hub at the model's revision; cached files with the listed hash are kept.

    One process pulls at a time; a second one waits, and then finds the files in the cache.
    card: describes a published model for the README.md of its conversion.

    Raises ModelError if the Hub refuses, OutputError if the disk is full.
    """
    root = cache_root(model)
    with hub_errors(model):
        commit, files = _list_files(model)
        lock = root.parent / ".locks" / root.name / "pull.lock"
        with writing(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            folder = root / SNAPSHOTS / commit
            if model.file is None:
                _pull_folder(model, files, root / BLOBS, folder, on_progress)
            else:
                _pull_published(model, files, folder, on_progress, card)
            if model.revision != commit:
                _write_ref(root / REFS / model.revision, commit)
    return ModelLocation(model.name, folder, commit)


def _list_files(model: HubName) -> tuple[str, dict[str, RemoteFile]]:
    """Return the commit that the revision stands for, and the repository's files at that commit, by name.

    Commit and hashes become paths in the cache. Raises ModelError if the server sends anything else.
    """
    api = HfApi(library_name="lookwhere")
    revision = None if model.revision == MAIN else model.revision
    commit = api.model_info(model.repository, revision=revision, timeout=TIMEOUT).sha
    if commit is None or not is_commit(commit) or (is_commit(model.revision) and commit != model.revision):
        raise ModelError(f"The Hub answered {str(model)!r} with {commit!r}, not with its commit; try again later.")
    files = {}
    for file in api.list_repo_tree(model.repository, revision=commit):
        if isinstance(file, RepoFile):
            digest, size = (file.lfs.sha256, file.lfs.size) if file.lfs else (file.blob_id, file.size)
            if not is_digest(digest):
                raise ModelError(
                    f"The Hub lists {file.path!r} of {str(model)!r} with {digest!r} instead of a hash; try again later."
                )
            url = hf_hub_url(model.repository, file.path, revision=commit)
            files[file.path] = RemoteFile(file.path, url, size, digest)
    return commit, files


def _pull_folder(
    model: HubName, files: Mapping[str, RemoteFile], blobs: Path, folder: Path, on_progress: OnProgress
) -> None:
    from lookwhere_cli.checkpoints.folder import read_config

    for name in (CONFIG, WEIGHTS):
        if name not in files:
            raise ModelError(
                f"{str(model)!r} on the Hub has no {name}, so it is not a LookWhere model; it has: {_listed(files)}."
            )
    for name in DOWNLOADED:
        if name in files:
            blob = blobs / files[name].digest
            fetch(files[name], blob, on_progress)
            _link(folder / name, blob)
    if not is_intact(folder):
        raise ModelError(
            f"{str(model)!r} was uploaded damaged: the header of its {WEIGHTS} does not fit the file. Its author has "
            "to upload it again."
        )
    read_config(folder)


def _pull_published(
    model: HubName, files: Mapping[str, RemoteFile], folder: Path, on_progress: OnProgress, card: Card | None
) -> None:
    """Download the published file, convert it to `folder`, and delete the download."""
    from lookwhere_cli.checkpoints.published.convert import convert_download, reuse_conversion

    remote = files.get(model.file or "")
    if remote is None:
        raise ModelError(
            f"{model.repository!r} on the Hub has no file {model.file!r} at {model.revision!r}; it has: "
            f"{_listed(files)}."
        )
    if reuse_conversion(folder, model, remote.digest):
        return
    downloads = cache_root(model) / "downloads"
    download = downloads / remote.digest / remote.name
    fetch(remote, download, on_progress)
    try:
        convert_download(download, folder, model, remote.digest, card)
    finally:
        shutil.rmtree(downloads)


def _listed(files: Mapping[str, RemoteFile]) -> str:
    return ", ".join(sorted(files)) or "nothing"


def _link(link: Path, blob: Path) -> None:
    """Link a snapshot's file to its blob; copy the blob if the file system has no links."""
    if link.is_file() and link.samefile(blob):
        return
    with writing(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(Path("..", "..", BLOBS, blob.name))
        except OSError:
            shutil.copyfile(blob, link)


def _write_ref(ref: Path, commit: str) -> None:
    with writing(ref):
        ref.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(ref) as stream, writing(ref):
        stream.write(commit.encode())


@contextmanager
def hub_errors(model: HubName) -> Iterator[None]:
    """Turn what the Hub's client and the network raise into a ModelError that says what to do."""
    check_network()
    try:
        yield
    except OfflineModeIsEnabled as failure:
        state = "is damaged in the cache" if find_cached(model) else "is not in the cache"
        raise ModelError(
            f"{str(model)!r} {state}, and HF_HUB_OFFLINE forbids fetching it; unset that variable and run: "
            f"lookwhere models pull {model}"
        ) from failure
    except HFValidationError as failure:
        raise ModelError(f"{str(model)!r} can't be a model's name on the Hub: {failure}") from failure
    except LocalTokenNotFoundError as failure:
        raise ModelError(f"The Hub requires a login; {LOG_IN}.") from failure
    except HfHubHTTPError as failure:
        raise ModelError(_refusal(failure, model)) from failure
    except (httpx2.HTTPError, ConnectionError) as failure:
        state = "is in the cache, but" if find_cached(model) else "is neither a folder here nor in the cache, and"
        raise ModelError(
            f"{str(model)!r} {state} the Hub can't be reached ({str(failure) or type(failure).__name__}); check the "
            f"network{said_of_environment()}."
        ) from failure
    except OSError as failure:  # of the cache: writing to it raises OutputError
        raise ModelError(
            f"The Hub's cache can't be used: {failure}; check HF_HOME, or unset it{said_of_cache()}."
        ) from failure


def _refusal(failure: HfHubHTTPError, model: HubName) -> str:
    status, repository = failure.response.status_code, model.repository
    if isinstance(failure, GatedRepoError):
        return f"{repository!r} is gated: ask for access on its page on the Hub, then {LOG_IN} and pull it again."
    if isinstance(failure, RevisionNotFoundError):
        return f"{repository!r} on the Hub has no revision {model.revision!r}; name a branch, a tag or a commit."
    if status == 401:
        return (
            f"The Hub shows no model {repository!r} without a valid token: it is private, or does not exist. Check "
            f"the name, and {LOG_IN}.{_near_names(model)}"
        )
    if isinstance(failure, RepositoryNotFoundError) or status == 404:
        return (
            f"There is no model {repository!r} on the Hub that you may see, nor a folder of that name. Check the name; "
            f"if it is private, {LOG_IN}.{_near_names(model)}"
        )
    if status == 403:
        return f"Your token is not allowed to do that with {repository!r} on the Hub; {LOG_IN} that may."
    if status == 429:
        wait = failure.response.headers.get("Retry-After", "")
        when = f"in {wait} seconds" if wait.isdecimal() else "in some minutes"
        return f"The Hub refuses more requests from here for now (429); try again {when}."
    if status >= 500:
        return f"The Hub failed with status {status} for {repository!r}; try again later."
    return f"The Hub refused {repository!r} with status {status}: {failure.server_message or 'no reason given'}."


def _near_names(model: HubName) -> str:
    near = near_names(model.name, cached_repositories(), 1)
    return f" Did you mean {near[0]!r}?" if near else ""
