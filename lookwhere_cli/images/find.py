"""From what a user names on the command line (files, folders, patterns, lists) to the paths of pictures."""

import glob
import os
import re
import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from lookwhere_cli.encodings import decode_text, is_pointer, is_wide, pointer_sentence
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.formats import is_picture_bytes, looks_like_picture, named_like_picture
from lookwhere_cli.images.kinds import CAMERA_RAW, passed_over_kind
from lookwhere_cli.images.large.names import belonging_files, is_remote_raster
from lookwhere_cli.images.names import StandardInput
from lookwhere_cli.images.spelling import spelled_on_disk, spellings_of_pattern
from lookwhere_cli.text import counted, near_names

_STDIN = "standard input"
_UNREADABLE = "folder that may not be read"


class _Entry(NamedTuple):
    """A file or folder: its path as a user would write it, and its path with all links resolved.

    passed_over: what it is, if it is not read.
    """

    path: str
    real_path: str
    is_folder: bool = False
    passed_over: str | None = None


class FoundPictures(list[str]):
    """The paths of pictures. notes: sentences about what was passed over."""

    notes: tuple[str, ...] = ()


def find_pictures(arguments: Sequence[str], stdin: TextIO | BinaryIO | None = None) -> FoundPictures:
    """Return the paths of all pictures that the arguments name, in order, each real file once.

    Its notes count the folders in folders that may not be read, and the pictures that are not read from folders.

    An argument is one of:
    - a file, always taken;
    - a folder, searched to any depth, in natural order (2 before 10); hidden names and other files are skipped;
    - a pattern such as "photos/**/*.jpg";
    - the address of a raster, if what reads it is installed, and GDAL's paths (/vsicurl/...), taken as they are;
    - "@list.txt", a file that lists arguments of these kinds, one per line or separated by zero bytes;
    - "-": `stdin` (default: sys.stdin). If it holds a picture, its path is a StandardInput; else it is such a list.

    Bytes in names that are not UTF-8 are kept as surrogates. Raises UsageError for what does not exist, and for a
    folder, a pattern or a list without pictures.
    """
    return _collected(entry for argument in arguments for entry in _expand(argument, stdin))


def find_in_folder(folder: str) -> FoundPictures:
    """Return the pictures in a folder, at any depth, with the notes of `find_pictures`; it may be none."""
    return _collected(_walk(folder))


def _collected(entries: Iterable[_Entry]) -> FoundPictures:
    paths: dict[str, str] = {}
    passed_over: dict[str, _Entry] = {}
    for entry in entries:
        if entry.passed_over is None:
            paths.setdefault(entry.real_path, entry.path)
        else:
            passed_over.setdefault(entry.real_path, entry)
    found = FoundPictures(paths.values())
    left_out = [entry for real_path, entry in passed_over.items() if real_path not in paths]
    found.notes = (f"Passed over: {_counts(left_out)}.",) if left_out else ()
    return found


def _counts(entries: Sequence[_Entry]) -> str:
    """Return "2 camera RAW files (named one by one, their previews are read), 1 folder that may not be read: 'x'"."""
    parts = []
    for name in dict.fromkeys(entry.passed_over for entry in entries):
        paths = [entry.path for entry in entries if entry.passed_over == name]
        if name == _UNREADABLE:
            parts.append(f"{counted(len(paths), 'folder')} that may not be read ({_examples(paths)})")
        else:
            hint = " (name them to have their previews read)" if name == CAMERA_RAW else ""
            parts.append(f"{counted(len(paths), f'{name} file')}{hint}")
    return ", ".join(parts)


def _examples(paths: Sequence[str]) -> str:
    shown = ", ".join(map(repr, paths[:3]))
    return f"{shown}, ..." if len(paths) > 3 else shown


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key of a name: numbers by value, letters without regard to case; then the name itself."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if index % 2 else piece for index, piece in enumerate(pieces)], name


def natural_path_key(path: str) -> list[tuple[list[str | int], str]]:
    """Sort key of a path: the natural keys of its parts."""
    return [natural_key(part) for part in Path(path).parts]


def _expand(argument: str, stdin: TextIO | BinaryIO | None) -> Iterator[_Entry]:
    if argument == "-":
        source = stdin or sys.stdin
        if source is None:
            raise UsageError("Standard input is closed, so it holds no list and no picture; name files or folders.")
        yield from _on_standard_input(_read(source))
    elif argument.startswith("@") and not os.path.lexists(argument):
        yield from _listed(_read_list(argument[1:]), repr(argument[1:]))
    else:
        yield from _named(argument)


def _on_standard_input(content: bytes) -> Iterator[_Entry]:
    """Yield the picture that the content is, or the pictures that it lists. A file's name may be "GIF89a"."""
    first_lines = {content.partition(separator)[0].removesuffix(b"\r") for separator in (b"\n", b"\0")}
    if is_picture_bytes(content) and not any(map(os.path.lexists, first_lines)):
        yield _Entry(StandardInput(content), "-")
    else:
        yield from _listed(content, _STDIN)


def _named(argument: str) -> Iterator[_Entry]:
    if is_remote_raster(argument):
        yield _Entry(argument, argument)
    elif os.path.isdir(argument):  # noqa: PTH112 - Path raises for a string with a zero byte
        yield from _in_folder(argument)
    elif os.path.lexists(argument):  # before it is taken for a pattern: names may hold brackets
        yield _resolved(argument)
    elif (spelled := spelled_on_disk(argument)) is not None:
        yield from _named(spelled)
    elif glob.has_magic(argument):
        yield from _matching(argument)
    else:
        raise UsageError(_missing(argument))


def _in_folder(folder: str) -> Iterator[_Entry]:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError(f"The folder {folder!r} may not be read: permission denied.")
    yield from _at_least_one(_walk(folder), f"There is no picture in the folder {folder!r}.")


def _matching(pattern: str) -> Iterator[_Entry]:
    names_kind = passed_over_kind(pattern) is not None
    matches = _glob(pattern)
    if not matches:
        raise UsageError(f"Nothing matches the pattern {pattern!r}.{_about_brackets(pattern)}")
    entries = (
        entry._replace(passed_over=None) if names_kind and entry.path == match else entry
        for match in matches
        for entry in _walk(match)
    )
    yield from _at_least_one(entries, f"Nothing that matches the pattern {pattern!r} is a picture.")


def _glob(pattern: str) -> list[str]:
    """Return what a pattern matches, in natural order, in the first of its spellings that matches anything.

    A folder before its last part is taken by name if it exists.
    """
    matches: list[str] = []
    for spelling in spellings_of_pattern(pattern):
        folder, name = os.path.split(spelling)
        if (glob.has_magic(folder) or not folder.isascii()) and (spelled := spelled_on_disk(folder)) is not None:
            matches = glob.glob(os.path.join(glob.escape(spelled), name), recursive=True)  # noqa: PTH118, PTH207
        matches = matches or glob.glob(spelling, recursive=True)  # noqa: PTH207 - keeps what was typed
        if matches:
            break
    return sorted(matches, key=natural_path_key)


def _about_brackets(pattern: str) -> str:
    """Return a sentence that tells what brackets mean, for a pattern that has some."""
    if "[" not in pattern:
        return ""
    return (
        f" In a pattern [ab] stands for one of these letters; for the brackets themselves, write {_escaped(pattern)!r}."
    )


def _escaped(pattern: str) -> str:
    return pattern.replace("[", "[[]")


def _listed(content: bytes, source: str) -> Iterator[_Entry]:
    """Yield the pictures that the lines of a list name; `source` names the list in messages."""
    if is_pointer(content):
        raise UsageError(pointer_sentence(source))
    lines = _lines(content, source)
    if not any(lines):
        raise UsageError(f"The list {'on ' if source == _STDIN else ''}{source} is empty.")
    for number, line in enumerate(lines, start=1):
        try:
            if line:
                yield from _named(os.fsdecode(line))
        except UsageError as error:
            raise UsageError(f"Line {number} of {source}: {error}") from error


def _lines(content: bytes, source: str) -> list[bytes]:
    """Return a list's lines, in UTF-8 and without byte-order marks; names may hold any bytes."""
    if is_wide(content):
        try:
            content = decode_text(content).encode()
        except UnicodeDecodeError as error:
            raise UsageError(f"The list {source} is cut, or not in UTF-16 as its beginning says.") from error
    separator = next((one for one in (b"\0", b"\n", b"\r") if one in content), b"\n")
    return [line.removesuffix(b"\r").removeprefix(BOM_UTF8) for line in content.split(separator)]


def _walk(start: str) -> Iterator[_Entry]:
    """Yield the pictures in a folder, or a single one, and what is passed over; each folder is searched once."""
    visited = set()
    pending = [_resolved(start)]
    while pending:
        entry = pending.pop()
        if not entry.is_folder:
            if (kind := passed_over_kind(entry.path)) is not None:
                yield entry._replace(passed_over=kind)
            elif looks_like_picture(entry.path):
                yield entry
        elif entry.real_path not in visited:
            visited.add(entry.real_path)
            entries = _entries(entry)
            if entries is None:
                yield entry._replace(passed_over=_UNREADABLE)
                continue
            if not entries and named_like_picture(entry.path):
                yield entry  # opening it fails with a message that says that it is a folder
            pending.extend(reversed(entries))


def _entries(folder: _Entry) -> list[_Entry] | None:
    """List the files and folders in a folder in natural order; None if it may not be read."""
    try:
        with os.scandir(folder.path) as entries:
            visible = sorted(
                (entry for entry in entries if entry.name[0] != "."), key=lambda entry: natural_key(entry.name)
            )
    except OSError:
        return None
    belonging = belonging_files([entry.name for entry in visible])
    visible = [entry for entry in visible if entry.name not in belonging]
    return [resolved for entry in visible if (resolved := _entry(entry, folder.real_path)) is not None]


def _entry(entry: os.DirEntry[str], parent: str) -> _Entry | None:
    """Resolve an entry of a folder; None for a dangling link, a device, a pipe."""
    try:
        is_folder = entry.is_dir()
        if not is_folder and not entry.is_file():
            return None
        # Most entries are not links, and resolving a path takes ten times as long as joining it.
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(parent, entry.name)  # noqa: PTH118
    except OSError:
        return None
    return _Entry(entry.path, real, is_folder)


def _resolved(path: str) -> _Entry:
    return _Entry(path, os.path.realpath(path), os.path.isdir(path))  # noqa: PTH112


def _at_least_one(entries: Iterator[_Entry], message: str) -> Iterator[_Entry]:
    """Yield the entries. Raises UsageError with the message if there is no picture among them."""
    passed_over: list[_Entry] = []
    for entry in entries:
        if entry.passed_over is None:
            yield from passed_over
            yield entry
            yield from entries
            return
        passed_over.append(entry)
    raise UsageError(f"{message} Passed over: {_counts(passed_over)}." if passed_over else message)


def _missing(argument: str) -> str:
    """Return a sentence that says which file or folder does not exist, and offers similar names."""
    path = Path(argument)
    while not os.path.exists(path.parent):  # noqa: PTH110 - Path.exists raises where a folder may not be searched
        path = path.parent
    similar: list[str] = []
    if os.access(path.parent, os.R_OK) and path.parent.is_dir():
        similar = near_names(path.name, os.listdir(path.parent))  # noqa: PTH208 - names only
    offer = f" Did you mean {' or '.join(repr(str(path.with_name(name))) for name in similar)}?" if similar else ""
    folder = "" if str(path) == str(Path(argument)) else f", nor is {str(path)!r}"
    return f"{argument!r} is not there{folder}.{offer}"


def _read(stdin: TextIO | BinaryIO) -> bytes:
    content = getattr(stdin, "buffer", stdin).read()
    return content if isinstance(content, bytes) else os.fsencode(content)


def _read_list(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"The list {_missing(path)}") from error
    except OSError as error:
        raise UsageError(f"The list {path!r} can't be read: {error.strerror}.") from error
