"""Download of one file from the Hub: resumed where it broke off, checked by its hash, stored whole or not at all."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from lookwhere_cli.checkpoints.progress import OnProgress
from lookwhere_cli.errors import ModelError, OutputError
from lookwhere_cli.output.files import writing

ATTEMPTS = 5  # requests in a row that may fail to bring a single byte
PAUSE = 1.0  # seconds between requests
TIMEOUT = 10.0  # seconds without an answer


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub lists it.

    Attributes:
        name: its path in the repository.
        url: where it is downloaded from.
        size: bytes.
        digest: hexadecimal digits: SHA-256 (64) of a large file, git's SHA-1 of a blob (40) of any other.
    """

    name: str
    url: str
    size: int
    digest: str


def fetch(remote: RemoteFile, target: Path, on_progress: OnProgress) -> None:
    """Download `remote` to `target`, unless a file with its hash is there already.

    A download that broke off continues from `target`.partial.

    Raises ModelError if the connection breaks repeatedly or the bytes do not have the listed hash, OutputError if they
    can't be written, and the exceptions of the Hub's client for a response that is an error.
    """
    if has_digest(target, remote.digest):
        return
    partial = target.with_name(f"{target.name}.partial")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    try:
        _download(remote, partial, on_progress)
    except OutputError:
        partial.unlink(missing_ok=True)  # make room on the full disk
        raise
    if not has_digest(partial, remote.digest):
        partial.unlink()
        raise ModelError(
            f"{remote.name!r} arrived damaged: its hash is not the one that the Hub lists. The download was deleted; "
            "pull the model again."
        )
    partial.replace(target)


def has_digest(file: Path, digest: str) -> bool:
    """Return True if the file exists and has that hash: SHA-256 for 64 digits, else git's SHA-1 of a blob."""
    if not file.is_file():
        return False
    size = file.stat().st_size
    with file.open("rb") as stream:
        if len(digest) == 64:
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
        return hashlib.file_digest(stream, lambda: hashlib.sha1(b"blob %d\0" % size)).hexdigest() == digest


def _download(remote: RemoteFile, partial: Path, on_progress: OnProgress) -> None:
    """Request the missing bytes until `partial` has the listed size."""
    failed_attempts = 0
    while (start := partial.stat().st_size) < remote.size:
        reason = ""
        try:
            _append(remote, partial, start, on_progress)
        except httpx2.TransportError as failure:
            reason = f" ({failure})"
        downloaded = partial.stat().st_size
        failed_attempts = 0 if downloaded > start else failed_attempts + 1
        if failed_attempts == ATTEMPTS:
            raise ModelError(
                f"The connection broke{reason} after {downloaded} of {remote.size} bytes of {remote.name!r}. Pull the "
                "model again to continue from there."
            )
        if downloaded < remote.size:
            time.sleep(PAUSE)


def _append(remote: RemoteFile, partial: Path, start: int, on_progress: OnProgress) -> None:
    """Request the bytes from `start` on and append them; start over if the server sends the whole file instead."""
    headers = {**build_hf_headers(library_name="lookwhere"), "Accept-Encoding": "identity"}  # sizes count plain bytes
    if start:
        headers["Range"] = f"bytes={start}-"
    with get_session().stream("GET", remote.url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        hf_raise_for_status(response)
        resumed = response.status_code == 206
        downloaded = start if resumed else 0
        with writing(partial), partial.open("ab" if resumed else "wb") as stream:
            for chunk in response.iter_bytes():  # as they arrive: larger chunks would be lost with the connection
                stream.write(chunk)
                stream.flush()
                downloaded += len(chunk)
                on_progress(remote.name, downloaded, remote.size)
                if downloaded > remote.size:  # not the listed file; its hash will differ
                    return
