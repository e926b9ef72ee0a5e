"""The folder of a job, on this machine or in a remote store. Files in it appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, cast

from lookwhere_cli.errors import OutputError, UsageError
from lookwhere_cli.jobs.remote import file_system, is_remote, retried
from lookwhere_cli.output.files import whole_file, writing

_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory", "hf"}
"""Stores where an upload appears only once it is complete."""


class JobFolder(ABC):
    """Files, each by its path below the folder, with / between folders."""

    seconds_between_reports = 1.0
    """How often a worker may write a small file to say how far it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def exists(self, file: str) -> bool:
        """Return True if there is such a file."""

    @abstractmethod
    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files in the folder itself, or in one below it; none if it is not there."""

    @abstractmethod
    def read(self, file: str) -> bytes:
        """Return a file's content. Raises FileNotFoundError."""

    @abstractmethod
    def open(self, file: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to read parts of it. Raises FileNotFoundError."""

    @abstractmethod
    def write(self, file: str, content: bytes) -> None:
        """Write or replace a small file, which may be lost if the machine crashes. Raises OutputError."""

    @abstractmethod
    def new_file(self, file: str) -> AbstractContextManager[BinaryIO]:
        """Open a stream that becomes the file if the block succeeds. Raises UsageError or OutputError."""

    @abstractmethod
    def remove(self, file: str) -> None:
        """Remove a file, if it is there."""

    @abstractmethod
    def remove_all(self, folder: str) -> None:
        """Remove a folder with all that is in it, if it is there."""

    def put(self, source: Path, file: str) -> None:
        """Copy a file of this machine into the folder."""
        with self.new_file(file) as stream, writing(f"{self.name}/{file}"), source.open("rb") as content:
            shutil.copyfileobj(content, stream)


class LocalFolder(JobFolder):
    """A folder of this machine, or of a disk that several machines share."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.path = Path(name)

    def exists(self, file: str) -> bool:
        """Return True if there is such a file."""
        return (self.path / file).is_file()

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files, without hidden ones."""
        try:
            with os.scandir(self.path / folder) as entries:
                return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def read(self, file: str) -> bytes:
        """Return a file's content."""
        return (self.path / file).read_bytes()

    def open(self, file: str) -> AbstractContextManager[BinaryIO]:
        """Open a file."""
        return (self.path / file).open("rb")

    def write(self, file: str, content: bytes) -> None:
        """Write under a temporary name, then rename. No other file waits for the disk."""
        target = self._made(file)
        temporary = target.with_name(f".{uuid.uuid4().hex}.partial")
        with writing(target):
            try:
                temporary.write_bytes(content)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def new_file(self, file: str) -> Iterator[BinaryIO]:
        """Write as `whole_file` does."""
        with whole_file(self._made(file)) as stream:
            yield stream

    def remove(self, file: str) -> None:
        """Remove a file."""
        (self.path / file).unlink(missing_ok=True)

    def remove_all(self, folder: str) -> None:
        """Remove a folder."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.path / folder)

    def _made(self, file: str) -> Path:
        target = self.path / file
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise UsageError(
                f"The folder {str(target.parent)!r} can't be made ({error.strerror}); choose another place."
            ) from error
        except OSError as error:
            raise OutputError(f"The folder {str(target.parent)!r} can't be made: {error.strerror}.") from error
        return target


class RemoteFolder(JobFolder):
    """A prefix in a remote store."""

    seconds_between_reports = 30.0

    def __init__(self, name: str) -> None:
        super().__init__(name.rstrip("/"))
        self._system, root = file_system(self.name)
        self._root = root.rstrip("/")
        protocol = self._system.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_atomic = bool(protocols & _ATOMIC)

    def exists(self, file: str) -> bool:
        """Ask the store, whatever was listed earlier."""
        return retried(lambda: self._fresh().exists(self._path(file)), self._subject(file, "Looking for"))

    def names(self, folder: str = "") -> list[str]:
        """List anew."""
        place = self._path(folder).rstrip("/")

        def listed() -> list[str]:
            """Return the names directly under the prefix; a prefix without objects has none."""
            try:
                return list(self._fresh().find(place, maxdepth=1))
            except FileNotFoundError:
                return []

        found = retried(listed, self._subject(folder, "Listing"))
        return sorted(name for name in (path.rpartition("/")[2] for path in found) if name and name[0] != ".")

    def read(self, file: str) -> bytes:
        """Fetch a file."""
        return cast("bytes", retried(lambda: self._fresh().cat_file(self._path(file)), self._subject(file, "Reading")))

    @contextmanager
    def open(self, file: str) -> Iterator[BinaryIO]:
        """Open a file that is fetched in pieces."""
        with retried(lambda: self._fresh().open(self._path(file), "rb"), self._subject(file, "Reading")) as stream:
            yield stream

    def write(self, file: str, content: bytes) -> None:
        """Upload."""
        with self.new_file(file) as stream:
            stream.write(content)

    @contextmanager
    def new_file(self, file: str) -> Iterator[BinaryIO]:
        """Collect the content in a temporary file of this machine, then upload it."""
        with TemporaryDirectory(prefix="lookwhere-") as place:
            local = Path(place) / "upload"
            stream = local.open("wb")
            try:
                yield stream
            finally:
                with writing(local):
                    stream.close()
            self._upload(local, file)

    def remove(self, file: str) -> None:
        """Remove a file."""
        path = self._path(file)

        def remove() -> None:
            """Remove the object, unless an attempt before did."""
            if self._fresh().exists(path):
                self._system.rm_file(path)

        retried(remove, self._subject(file, "Removing"))

    def remove_all(self, folder: str) -> None:
        """Remove a prefix."""
        path = self._path(folder)

        def remove() -> None:
            """Remove all objects under the prefix that are left."""
            if self._fresh().find(path):
                self._system.rm(path, recursive=True)

        retried(remove, self._subject(folder, "Removing"))

    def _upload(self, local: Path, file: str) -> None:
        path = self._path(file)
        first = path if self._is_atomic else f"{path}.{uuid.uuid4().hex}.partial"

        def upload() -> None:
            """Write the object at once; where files are real, under another name first."""
            if not self._is_atomic:  # folders are real
                self._system.makedirs(path.rpartition("/")[0], exist_ok=True)
            self._system.put_file(str(local), first)
            if not self._is_atomic:
                self._system.mv(first, path)

        try:
            retried(upload, self._subject(file, "Writing"))
        except OSError as error:
            raise OutputError(f"Writing {self.name}/{file} failed: {error}; check that it may be written.") from error

    def _path(self, file: str) -> str:
        return f"{self._root}/{file}" if file else self._root

    def _fresh(self) -> Any:
        """Return the file system, without what it remembers of earlier listings."""
        self._system.invalidate_cache()
        return self._system

    def _subject(self, file: str, verb: str) -> str:
        return f"{verb} {self.name}/{file}"


def open_folder(name: str) -> JobFolder:
    """Return the folder of that name or address. Raises UsageError for a store that is not known."""
    return RemoteFolder(name) if is_remote(name) else LocalFolder(name)
