"""Pictures in tar files, as WebDataset shards have them: found by their headers, each read by its place."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.formats import named_like_picture
from lookwhere_cli.jobs.entries import Entry
from lookwhere_cli.jobs.tables import opened


def tar_entries(file: str) -> Iterator[Entry]:
    """Yield the members that are named like pictures, in the order of the file: shard.tar/0001.jpg.

    Labels and other parts of samples, folders, links and hidden names are passed over. Raises UsageError if there is no
    picture, DataError for a damaged file.
    """
    found = False
    with opened(file) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as members:
                for member in members:
                    members.members.clear()  # type: ignore[attr-defined] # else it remembers each one of a million
                    if _is_picture(member):
                        found = True
                        yield Entry(f"{file}/{member.name}", file, member.offset_data, member.size)
        except tarfile.TarError as error:
            raise DataError(f"{file!r} is not a tar file, or it is cut short: {error}.") from error
    if not found:
        raise UsageError(f"There is no picture in {file!r}.")


def _is_picture(member: tarfile.TarInfo) -> bool:
    hidden = any(part.startswith(".") and part != "." for part in member.name.split("/"))
    return member.isreg() and not hidden and named_like_picture(member.name)
