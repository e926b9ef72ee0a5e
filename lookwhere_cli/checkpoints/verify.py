"""Whether a model's files are still what they were: each against the hash that was taken when it came."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.checkpoints.cache import BLOBS, cached
from lookwhere_cli.checkpoints.folder import weights_as_saved
from lookwhere_cli.checkpoints.names import WEIGHTS, HubName, Place, resolve
from lookwhere_cli.checkpoints.sums import read_sums, sha256
from lookwhere_cli.errors import ModelError


def verify(name: str) -> dict[str, bool]:
    """By file: whether its bytes have the hash that was kept. Raises ModelError for a model that is not here."""
    wanted = resolve(name)
    if isinstance(wanted, Place):
        return _folder(wanted.folder)
    place = cached(wanted)
    if place is None:
        raise ModelError(f"{name!r} is not in the cache, so there is nothing to verify; lookwhere models pull {name}")
    return _folder(place.folder) if wanted.file else _snapshot(wanted, place)


def _folder(folder: Path) -> dict[str, bool]:
    sums = read_sums(folder)
    if sums:
        return {file: sha256(folder / file) == digest for file, digest in sums.items()}
    as_saved = weights_as_saved(folder)
    if as_saved is None:
        raise ModelError(f"No hash was kept of the model in {str(folder)!r}; nothing can be said of its bytes.")
    return {WEIGHTS: as_saved}


def _snapshot(wanted: HubName, place: Place) -> dict[str, bool]:
    """A blob's name is its hash; where the system has no links, the Hub's client asks the Hub for the hashes."""
    from lookwhere_cli.checkpoints.transfer import matches

    files = sorted(file for file in place.folder.iterdir() if file.is_file())
    if all(file.resolve().parent.name == BLOBS for file in files):
        return {file.name: matches(file, file.resolve().name) for file in files}
    from huggingface_hub import HfApi

    from lookwhere_cli.checkpoints.hub import sentences

    with sentences(wanted):
        found = HfApi().verify_repo_checksums(wanted.repository, revision=place.commit)
    differing = {mismatch["path"] for mismatch in found.mismatches}
    return {file.name: file.name not in differing for file in files}
