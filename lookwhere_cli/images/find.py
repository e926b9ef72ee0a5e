"""From what a user names (files, folders, patterns, lists) to the paths of pictures."""

import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.formats import is_picture_bytes, looks_like_picture, named_like_picture
from lookwhere_cli.images.names import StandardInput

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Found(NamedTuple):
    """A path as a user would write it, and the same with every link resolved."""

    path: str
    real: str
    is_folder: bool = False


def find_pictures(inputs: Sequence[str], stdin: TextIO | BinaryIO | None = None) -> list[str]:
    """Return the paths of all pictures that the inputs name, in their order, each real file once.

    An input is a file (always taken), a folder (searched to any depth, in natural order: 2 before 10; hidden names and
    what is no picture are passed over), a pattern such as "photos/**/*.jpg", "@list.txt" (a path per line, or
    separated by zero bytes), or "-": a picture (then its item is a StandardInput) or such a list on `stdin` (default:
    sys.stdin). Bytes in names that are not UTF-8 are kept as surrogates. Raises UsageError for what is not there and
    for what holds no picture.
    """
    found: dict[str, str] = {}
    for given in inputs:
        for picture in _expand(given, stdin):
            found.setdefault(picture.real, picture.path)
    return list(found.values())


def _expand(given: str, stdin: TextIO | BinaryIO | None) -> Iterator[_Found]:
    if given == "-":
        yield from _on_standard_input(_read(stdin or sys.stdin))
    elif given.startswith("@") and not os.path.lexists(given):
        yield from _listed(_read_file(given[1:]), repr(given[1:]))
    else:
        yield from _named(given)


def _on_standard_input(content: bytes) -> Iterator[_Found]:
    """Yield the picture that these bytes are, or those that they list; a list may begin like a picture: "GIF89a"."""
    first_lines = {content.partition(separator)[0].removesuffix(b"\r") for separator in (b"\n", b"\0")}
    if is_picture_bytes(content) and not any(os.path.lexists(line) for line in first_lines):
        yield _Found(StandardInput(content), "-")
    else:
        yield from _listed(content, "standard input")


def _named(given: str) -> Iterator[_Found]:
    if os.path.isdir(given):  # noqa: PTH112 - a string with a zero byte is merely no folder
        yield from _in_folder(given)
    elif os.path.lexists(given):
        yield _resolved(given)
    elif glob.has_magic(given):
        yield from _matching(given)
    else:
        raise UsageError(_not_there(given))


def _in_folder(folder: str) -> Iterator[_Found]:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"The folder {folder!r} may not be read: permission denied.")
    yield from _some(_walk(folder), f"There is no picture in the folder {folder!r}.")


def _matching(pattern: str) -> Iterator[_Found]:
    matches = sorted(glob.glob(pattern, recursive=True), key=natural_path)  # noqa: PTH207 - keeps what was typed
    if not matches:
        raise UsageError(f"Nothing matches the pattern {pattern!r}.")
    found = (picture for match in matches for picture in _walk(match))
    yield from _some(found, f"Nothing that matches the pattern {pattern!r} is a picture.")


def _listed(content: bytes, source: str) -> Iterator[_Found]:
    separator = b"\0" if b"\0" in content else b"\n"
    lines = [line.removesuffix(b"\r") for line in content.removeprefix(_BYTE_ORDER_MARK).split(separator)]
    if not any(lines):
        raise UsageError(
            f"The list on {source} is empty." if source == "standard input" else f"{source} lists nothing."
        )
    for number, line in enumerate(lines, start=1):
        try:
            if line:
                yield from _named(os.fsdecode(line))
        except UsageError as error:
            raise UsageError(f"Line {number} of {source}: {error}") from error


def _walk(start: str) -> Iterator[_Found]:
    """Yield the pictures in a folder, or the one that `start` itself is; each folder once, whatever links there are."""
    visited = set()
    pending = [_resolved(start)]
    while pending:
        place = pending.pop()
        if not place.is_folder:
            if looks_like_picture(place.path):
                yield place
        elif place.real not in visited:
            visited.add(place.real)
            entries = _entries(place)
            if not entries and named_like_picture(place.path):
                yield place  # nothing to search: whoever opens it is told that it is a folder
            pending.extend(reversed(entries))


def _entries(folder: _Found) -> list[_Found]:
    """List the files and folders in a folder in natural order; nothing if it may not be read."""
    try:
        with os.scandir(folder.path) as entries:
            visible = sorted(
                (entry for entry in entries if entry.name[0] != "."), key=lambda entry: natural(entry.name)
            )
    except OSError:
        return []
    return [place for entry in visible if (place := _entry(entry, folder.real)) is not None]


def _entry(entry: os.DirEntry[str], parent: str) -> _Found | None:
    """Resolve an entry of a folder; None for a dangling link, a device, a pipe."""
    try:
        is_folder = entry.is_dir()
        if not is_folder and not entry.is_file():
            return None
        # Most entries are no links, and resolving a path is ten times slower than joining it.
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(parent, entry.name)  # noqa: PTH118
    except OSError:
        return None
    return _Found(entry.path, real, is_folder)


def _resolved(path: str) -> _Found:
    return _Found(path, os.path.realpath(path), os.path.isdir(path))  # noqa: PTH112


def _some(found: Iterator[_Found], otherwise: str) -> Iterator[_Found]:
    first = next(found, None)
    if first is None:
        raise UsageError(otherwise)
    yield first
    yield from found


def natural(name: str) -> tuple[list[str | int], str]:
    """Sort key: numbers by value, letters without regard to case; the name itself decides between equals."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], name


def natural_path(path: str) -> list[tuple[list[str | int], str]]:
    """The same for a path: part by part."""
    return [natural(part) for part in Path(path).parts]


def _not_there(given: str) -> str:
    """Say what is missing, the folder or the file in it, and offer names that are nearly the same."""
    path = Path(given)
    while not os.path.exists(path.parent):  # noqa: PTH110 - Path.exists raises where a folder may not be searched
        path = path.parent
    near: list[str] = []
    if os.access(path.parent, os.R_OK) and path.parent.is_dir():
        near = get_close_matches(path.name, os.listdir(path.parent), n=3)  # noqa: PTH208 - names only
    offer = f" Did you mean {' or '.join(repr(str(path.with_name(name))) for name in near)}?" if near else ""
    missing = "" if str(path) == str(Path(given)) else f", nor is {str(path)!r}"
    return f"{given!r} is not there{missing}.{offer}"


def _read(stdin: TextIO | BinaryIO) -> bytes:
    content = getattr(stdin, "buffer", stdin).read()
    return content if isinstance(content, bytes) else os.fsencode(content)


def _read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"The list {_not_there(path)}") from error
    except OSError as error:
        raise UsageError(f"The list {path!r} can't be read: {error.strerror}.") from error
