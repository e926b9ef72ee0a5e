"""Check of a model's files against the hashes that were stored when they were written or downloaded."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.checkpoints.cache import BLOBS, cache_root, find_cached
from lookwhere_cli.checkpoints.folder import check_stored_numbers, weights_match_header
from lookwhere_cli.checkpoints.layout import WEIGHTS
from lookwhere_cli.checkpoints.names import HubName, ModelLocation
from lookwhere_cli.checkpoints.sums import read_sums, sha256
from lookwhere_cli.errors import ModelError


def verify(model: ModelLocation | HubName) -> dict[str, bool]:
    """Read all of a model's files; return by name whether each still has its stored hash.

    Raises ModelError for a model that is not here, whose hashes are missing or damaged, or whose weights hold NaN or
    infinity.
    """
    location = model if isinstance(model, ModelLocation) else find_cached(model)
    if location is None:
        raise ModelError(f"{str(model)!r} is not in the cache; fetch it first: lookwhere models pull {model}")
    if isinstance(model, ModelLocation) or model.file:
        results = _verify_folder(location.folder)
    else:
        results = _verify_snapshot(model, location)
    if results.get(WEIGHTS):
        check_stored_numbers(location.folder)
    return results


def _verify_folder(folder: Path) -> dict[str, bool]:
    sums = read_sums(folder)
    if sums:
        return {file: sha256(folder / file) == digest for file, digest in sums.items()}
    matches = weights_match_header(folder)
    if matches is None:
        raise ModelError(f"No hashes are stored with the model in {str(folder)!r}, so it can't be verified.")
    return {WEIGHTS: matches}


def _verify_snapshot(model: HubName, location: ModelLocation) -> dict[str, bool]:
    """Compare each blob with the hash in its name; copies of blobs (no links) with the hashes that the Hub lists."""
    from lookwhere_cli.checkpoints.transfer import has_digest

    files = sorted(file for file in location.folder.iterdir() if file.is_file())
    digests = {file: _blob_name(file, cache_root(model) / BLOBS) for file in files}
    if None not in digests.values():
        return {file.name: has_digest(file, digest or "") for file, digest in digests.items()}
    from huggingface_hub import HfApi

    from lookwhere_cli.checkpoints.hub import hub_errors

    with hub_errors(model):
        result = HfApi().verify_repo_checksums(model.repository, revision=location.commit)
    mismatched = {mismatch["path"] for mismatch in result.mismatches}
    return {file.name: file.name not in mismatched for file in files}


def _blob_name(file: Path, blobs: Path) -> str | None:
    """Return the name of the blob that a snapshot's file links to; None if it is not a link to a blob."""
    if not file.is_symlink():
        return None
    target = file.parent / file.readlink()  # one step only: the blob may itself be a link, to the client's shared store
    return target.name if target.parent.resolve() == blobs.resolve() else None
