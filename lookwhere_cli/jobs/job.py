"""What a job is: all that decides its rows, kept in a manifest in its folder, with which each run is compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lookwhere_cli.amounts import Amount, PruneAmount
from lookwhere_cli.errors import OutputError, UsageError
from lookwhere_cli.jobs.folder import JobFolder
from lookwhere_cli.jobs.names import MANIFEST
from lookwhere_cli.options import Options
from lookwhere_cli.text import counted, printable

FORMAT = 1
"""The version of the manifest."""
SHARD_SIZE = 1000
_SAME_ROWS = ("device", "batch_size", "workers", "memory")
"""Options that change how fast rows come, not what they say."""
_NAMES = {"k": "-k", "inputs": "the list of pictures"}


@dataclass(frozen=True)
class Job:
    """A command on many pictures.

    command: "classify", "segment", "features", ... folder: where the rows go, a path or an address. inputs: as the user
    named them. column: of tables. limit: the first so many pictures of the list only. settings: of the command, ready
    for JSON.
    """

    command: str
    model: str
    options: Options
    folder: str
    inputs: tuple[str, ...]
    column: str | None = None
    limit: int | None = None
    shard_size: int = SHARD_SIZE
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a job was begun with.

    config: the hash of the model's config. options and settings: by name, ready for JSON. digest: the hash of the list.
    """

    command: str
    model: str
    revision: str
    config: str
    options: Mapping[str, Any]
    settings: Mapping[str, Any]
    shard_size: int
    limit: int | None
    pictures: int
    digest: str
    format: int = FORMAT

    @property
    def shards(self) -> int:
        """How many shards the list is cut into."""
        return -(-self.pictures // self.shard_size)

    def size_of(self, shard: int) -> int:
        """Return how many pictures a shard has."""
        return min(self.shard_size, self.pictures - shard * self.shard_size)


def manifest_of(job: Job, revision: str, config: str, pictures: int, digest: str) -> Manifest:
    """Return the manifest of a job whose list is known. See `Manifest` for the values."""
    options = {name: _for_json(value) for name, value in asdict(job.options).items() if name not in _SAME_ROWS}
    return Manifest(
        job.command,
        printable(job.model),
        revision,
        config,
        options | {"k": _for_json(job.options.k), "prune": _for_json(job.options.prune)},
        dict(job.settings),
        job.shard_size,
        job.limit,
        pictures,
        digest,
    )


def read_manifest(folder: JobFolder) -> Manifest | None:
    """Return the folder's manifest; None if no job was begun there.

    Raises OutputError for one that is damaged, UsageError for one of a newer version.
    """
    try:
        values = json.loads(folder.read(MANIFEST))
        if values.get("format", 0) > FORMAT:
            raise UsageError(f"The job in {folder.name!r} was begun by a newer lookwhere; upgrade this one.")
        return Manifest(**values)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise OutputError(f"{folder.name}/{MANIFEST} is damaged ({error}); begin in another folder.") from error


def write_manifest(folder: JobFolder, manifest: Manifest) -> None:
    """Write the manifest."""
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
    folder.write(MANIFEST, text.encode("utf-8", "surrogateescape") + b"\n")


def check_same(begun: Manifest, now: Manifest, folder: str) -> None:
    """Raise UsageError, which names the first difference, unless a run continues the job that was begun."""
    difference = _difference(begun, now)
    if difference is not None:
        raise UsageError(
            f"The job in {folder!r} was begun with {difference}; run the same command again, choose another folder, "
            "or begin anew with --overwrite."
        )


def _difference(begun: Manifest, now: Manifest) -> str | None:
    if begun.command != now.command:
        return f"lookwhere {begun.command}, and this is lookwhere {now.command}"
    if begun.model != now.model:
        return f"--model {begun.model}, and this run has {now.model}"
    if begun.revision != now.revision:
        return f"revision {begun.revision} of the model, and this run has {now.revision}"
    if begun.config != now.config:
        return "another config.json of the model"
    for name, before, after in _values(begun, now):
        if before != after:
            return (
                f"{_NAMES.get(name, '--' + name.replace('_', '-'))} {_shown(before)}, and this run has {_shown(after)}"
            )
    if begun.pictures != now.pictures:
        return f"{counted(begun.pictures, 'picture')}, and this run finds {now.pictures:,}"
    return "other pictures, or in another order" if begun.digest != now.digest else None


def _values(begun: Manifest, now: Manifest) -> list[tuple[str, Any, Any]]:
    both = [(begun.options, now.options), (begun.settings, now.settings)]
    names = [(before, after, name) for before, after in both for name in {**before, **after}]
    values = [(name, before.get(name), after.get(name)) for before, after, name in names]
    return [*values, ("shard_size", begun.shard_size, now.shard_size), ("limit", begun.limit, now.limit)]


def _for_json(value: Any) -> Any:
    if isinstance(value, Amount | PruneAmount):
        return value.to_json()
    return list(value) if isinstance(value, tuple) else value


def _shown(value: Any) -> str:
    if value is None:
        return "the model's own"
    if isinstance(value, dict):
        return " ".join(map(str, value.values()))
    return str(value)
