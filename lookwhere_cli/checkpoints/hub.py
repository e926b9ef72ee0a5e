"""Models on the Hub: pulled into the cache whole, with every refusal in a sentence."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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

from lookwhere_cli.checkpoints.cache import BLOBS, REFS, SNAPSHOTS, Watch, cached, is_whole, root_of, silent
from lookwhere_cli.checkpoints.folder import read_config
from lookwhere_cli.checkpoints.names import CARD, CONFIG, MAIN, RESULTS, TRAINING, WEIGHTS, HubName, Place
from lookwhere_cli.checkpoints.transfer import TIMEOUT, Remote, fetch
from lookwhere_cli.errors import ModelError
from lookwhere_cli.output.files import whole_file, writing

TAKEN = (CONFIG, CARD, RESULTS, TRAINING, WEIGHTS)
LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token of yours"


def pull(wanted: HubName, watch: Watch = silent) -> Place:
    """Bring the cache to what the Hub has at that revision; what is cached already is checked by hash and kept.

    One process at a time; a second one waits, and finds the model there. Raises ModelError, and OutputError where the
    disk is full.
    """
    root = root_of(wanted)
    with sentences(wanted):
        commit, files = _listing(wanted)
        lock = root.parent / ".locks" / root.name / "pull.lock"
        with writing(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            folder = root / SNAPSHOTS / commit
            if wanted.file is None:
                _pull_folder(wanted, files, root / BLOBS, folder, watch)
            else:
                _pull_published(wanted, files, root, commit, watch)
            _point(root / REFS / wanted.revision, commit)
    return Place(wanted.name, folder, commit)


def _listing(wanted: HubName) -> tuple[str, dict[str, Remote]]:
    """The commit that the revision stands for, and the repository's files at it, by name."""
    api = HfApi(library_name="lookwhere")
    revision = None if wanted.revision == MAIN else wanted.revision
    commit = api.model_info(wanted.repository, revision=revision, timeout=TIMEOUT).sha
    if commit is None:
        raise ModelError(f"The Hub does not say which commit {str(wanted)!r} is; try again later.")
    files = {}
    for file in api.list_repo_tree(wanted.repository, revision=commit):
        if isinstance(file, RepoFile):
            url = hf_hub_url(wanted.repository, file.path, revision=commit)
            digest, size = (file.lfs.sha256, file.lfs.size) if file.lfs else (file.blob_id, file.size)
            files[file.path] = Remote(file.path, url, size, digest)
    return commit, files


def _pull_folder(wanted: HubName, files: Mapping[str, Remote], blobs: Path, folder: Path, watch: Watch) -> None:
    for name in (CONFIG, WEIGHTS):
        if name not in files:
            raise ModelError(
                f"{str(wanted)!r} on the Hub has no {name}, so it is no LookWhere model; it holds: "
                f"{', '.join(sorted(files)) or 'nothing'}."
            )
    for name in TAKEN:
        if name in files:
            blob = blobs / files[name].digest
            fetch(files[name], blob, watch)
            _link(folder / name, blob)
    if not is_whole(folder):
        raise ModelError(
            f"{str(wanted)!r} has the bytes that the Hub lists, but its {WEIGHTS} is broken: the header does not fit "
            "the file. Its author has to upload it again."
        )
    read_config(folder)


def _pull_published(wanted: HubName, files: Mapping[str, Remote], root: Path, commit: str, watch: Watch) -> None:
    from lookwhere_cli.checkpoints.published.convert import convert_pulled, take_over

    assert wanted.file is not None
    if wanted.file not in files:
        raise ModelError(
            f"{wanted.repository!r} on the Hub has no file {wanted.file!r} at {wanted.revision!r}; it holds: "
            f"{', '.join(sorted(files)) or 'nothing'}."
        )
    remote = files[wanted.file]
    if take_over(root / SNAPSHOTS, wanted, commit, remote.digest):
        return
    download = root / "downloads" / remote.digest / wanted.file
    fetch(remote, download, watch)
    try:
        convert_pulled(download, root / SNAPSHOTS / commit, wanted, commit, remote.digest)
    finally:
        shutil.rmtree(root / "downloads")


def _link(link: Path, blob: Path) -> None:
    """Point a snapshot's file at its blob; a copy, where the system has no links."""
    if link.is_file() and link.samefile(blob):
        return
    with writing(link):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(Path("..", "..", BLOBS, blob.name))
        except OSError:
            shutil.copyfile(blob, link)


def _point(ref: Path, commit: str) -> None:
    with writing(ref):
        ref.parent.mkdir(parents=True, exist_ok=True)
    if ref.name != commit:
        with whole_file(ref) as stream, writing(ref):
            stream.write(commit.encode())


@contextmanager
def sentences(wanted: HubName) -> Iterator[None]:
    """Turn what the Hub or the network refuses into a ModelError that says what to do."""
    try:
        yield
    except OfflineModeIsEnabled as failure:
        state = "is damaged in the cache" if cached(wanted) else "is not in the cache"
        raise ModelError(
            f"{str(wanted)!r} {state}, and HF_HUB_OFFLINE keeps it from being fetched; unset that and run: "
            f"lookwhere models pull {wanted}"
        ) from failure
    except HFValidationError as failure:
        raise ModelError(f"{str(wanted)!r} can't be a model's name on the Hub: {failure}") from failure
    except LocalTokenNotFoundError as failure:
        raise ModelError(f"The Hub wants to know who you are; {LOG_IN}.") from failure
    except HfHubHTTPError as failure:
        raise ModelError(_refusal(failure, wanted)) from failure
    except (httpx2.HTTPError, ConnectionError) as failure:
        where = "is in the cache, but" if cached(wanted) else "is neither a folder here nor in the cache, and"
        raise ModelError(
            f"{str(wanted)!r} {where} the Hub can't be reached ({str(failure) or type(failure).__name__}); check the "
            "network."
        ) from failure


def _refusal(failure: HfHubHTTPError, wanted: HubName) -> str:
    status = failure.response.status_code
    if isinstance(failure, GatedRepoError):
        return (
            f"{wanted.repository!r} is gated: ask for access on its page on the Hub, then {LOG_IN} and pull it again."
        )
    if isinstance(failure, RevisionNotFoundError):
        return (
            f"{wanted.repository!r} on the Hub has no revision {wanted.revision!r}; give a branch, a tag or a commit."
        )
    if status == 401:
        return (
            f"The Hub shows no model {wanted.repository!r} without a token that it accepts: it is private, or not "
            f"there. Check the name, and {LOG_IN}.{_near(wanted)}"
        )
    if isinstance(failure, RepositoryNotFoundError) or status == 404:
        return (
            f"There is no model {wanted.repository!r} on the Hub that you may see, nor a folder of that name. Check "
            f"the name; if it is private, {LOG_IN}.{_near(wanted)}"
        )
    if status == 403:
        return f"Your token is not allowed to do that with {wanted.repository!r} on the Hub; {LOG_IN} that may."
    if status == 429:
        wait = failure.response.headers.get("Retry-After", "")
        when = f"in {wait} seconds" if wait.isdecimal() else "in some minutes"
        return f"The Hub has too many requests from here (429); try again {when}."
    if status >= 500:
        return f"The Hub has trouble of its own (status {status}) with {wanted.repository!r}; try again later."
    return f"The Hub refused {wanted.repository!r} with status {status}: {failure.server_message or 'no reason given'}."


def _near(wanted: HubName) -> str:
    import difflib

    from lookwhere_cli.checkpoints.cache import cached_names

    near = difflib.get_close_matches(wanted.name, cached_names(), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
