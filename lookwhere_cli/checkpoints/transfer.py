"""One file from the Hub: resumed where it broke off, checked by its hash, whole or not at all."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from lookwhere_cli.checkpoints.cache import Watch
from lookwhere_cli.errors import ModelError, OutputError
from lookwhere_cli.output.files import writing

ATTEMPTS = 5  # in a row that bring not a single byte
PAUSE = 1.0  # seconds between attempts
TIMEOUT = 10.0  # seconds without an answer


@dataclass(frozen=True)
class Remote:
    """A file as the Hub lists it: its size in bytes, and its hash.

    digest: large files have a SHA-256 (64 digits), all others git's SHA-1 of a blob (40 digits).
    """

    name: str
    url: str
    size: int
    digest: str


def fetch(remote: Remote, target: Path, watch: Watch) -> None:
    """Have the file at `target`, with the hash that the Hub lists. What broke off is taken up where it ended.

    Raises ModelError where the connection breaks for good or the bytes are not those of the listing, OutputError where
    they can't be written, and what the Hub's client raises for an answer that is an error.
    """
    if matches(target, remote.digest):
        return
    partial = target.with_name(f"{target.name}.partial")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    try:
        _download(remote, partial, watch)
    except OutputError:
        partial.unlink(missing_ok=True)  # a full disk is not to stay full
        raise
    if not matches(partial, remote.digest):
        partial.unlink()
        raise ModelError(
            f"{remote.name!r} arrived damaged: its bytes do not have the hash that the Hub lists for it. Nothing of it "
            "is kept; pull the model again."
        )
    partial.replace(target)


def matches(file: Path, digest: str) -> bool:
    """Whether the file is there and has that hash: SHA-256, or git's for 40 digits."""
    if not file.is_file():
        return False
    size = file.stat().st_size
    with file.open("rb") as stream:
        if len(digest) == 64:
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
        return hashlib.file_digest(stream, lambda: hashlib.sha1(b"blob %d\0" % size)).hexdigest() == digest


def _download(remote: Remote, partial: Path, watch: Watch) -> None:
    fruitless = 0
    while (here := partial.stat().st_size) < remote.size:
        try:
            _append(remote, partial, here, watch)
        except httpx2.TransportError as failure:
            broken = f" ({failure})"
        else:
            broken = ""
        fruitless = 0 if partial.stat().st_size > here else fruitless + 1
        if fruitless == ATTEMPTS:
            raise ModelError(
                f"The connection broke{broken} with {here} of {remote.size} bytes of {remote.name!r} here. They are "
                "kept; pull the model again to go on from there."
            )
        if partial.stat().st_size < remote.size:
            time.sleep(PAUSE)


def _append(remote: Remote, partial: Path, here: int, watch: Watch) -> None:
    """Ask for what is missing; a server that sends all of it again is heard from the beginning."""
    headers = {**build_hf_headers(library_name="lookwhere"), "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
    with get_session().stream("GET", remote.url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
        hf_raise_for_status(response)
        resumed = response.status_code == 206
        here = here if resumed else 0
        with writing(partial), partial.open("ab" if resumed else "wb") as stream:
            for chunk in response.iter_bytes():  # as they come: larger pieces would be lost with the connection
                stream.write(chunk)
                stream.flush()
                here += len(chunk)
                watch(remote.name, here, remote.size)
                if here > remote.size:  # not the file that was listed; its hash will say so
                    return
