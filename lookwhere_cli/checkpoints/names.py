"""Names of models: parsing and checking them, without reading a disk or opening a connection.

An alias or a repository on the Hub (owner/name) may end in @revision: a branch, a tag or a commit. docs/models.md
documents all kinds of names; `resolve` decides between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lookwhere_cli.checkpoints.layout import PUBLISHED_FILES, PUBLISHED_REPOSITORY

MAIN = "main"
MAX_LENGTH = 200  # of a repository's name or a revision, so that the file system takes the paths made of it
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)  # no part begins with a dot: no path leads upwards
_COMMIT = re.compile("[0-9a-f]{40}")
_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class HubName:
    """A model on the Hub: a repository with a model's folder, or one published file that we convert.

    Attributes:
        name: what the user calls it, without the revision: owner/name or an alias.
        repository: owner/name.
        revision: a branch, a tag or a commit.
        file: the published file; None for a repository that holds a model's folder.

    Raises ValueError for a repository or a revision that could lead outside the cache when it becomes a path.
    """

    name: str
    repository: str
    revision: str = MAIN
    file: str | None = None

    def __post_init__(self) -> None:
        for text, pattern in ((self.repository, _REPOSITORY), (self.revision, _REVISION)):
            if len(text) > MAX_LENGTH or not pattern.fullmatch(text):
                raise ValueError(f"{text!r} is not a repository or revision on the Hub")

    def __str__(self) -> str:
        return self.name if self.revision == MAIN else f"{self.name}@{self.revision}"


@dataclass(frozen=True)
class ModelLocation:
    """A model on this machine: its name without a revision, its folder, and its commit if it came from the Hub."""

    name: str
    folder: Path
    commit: str | None = None


def parse_alias(name: str) -> HubName | None:
    """Return the published model that `name` (alias or alias@revision) stands for; None if it is not an alias."""
    alias, revision = _split_revision(name)
    if alias not in PUBLISHED_FILES:
        return None
    return _hub_name(alias, PUBLISHED_REPOSITORY, revision, PUBLISHED_FILES[alias])


def parse_repository(name: str) -> HubName | None:
    """Return the repository that `name` (owner/name or owner/name@revision) stands for; None if it is malformed."""
    repository, revision = _split_revision(name)
    return _hub_name(repository, repository, revision)


def is_commit(value: object) -> bool:
    """Return True for the 40 hexadecimal digits of a commit."""
    return isinstance(value, str) and _COMMIT.fullmatch(value) is not None


def is_digest(value: object) -> bool:
    """Return True for the hexadecimal digits of a SHA-256 (64) or of git's SHA-1 of a file (40)."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _split_revision(name: str) -> tuple[str, str]:
    stem, separator, revision = name.partition("@")
    return stem, revision if separator else MAIN


def _hub_name(name: str, repository: str, revision: str, file: str | None = None) -> HubName | None:
    try:
        return HubName(name, repository, revision, file)
    except ValueError:
        return None
