"""Class lists with one name per line, also with indices before or after the names, or with the classes' colours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lookwhere_cli.errors import DataError

ADVICE = "write one class name per line, index 0 first"
_NUMBERED = re.compile(r"(?P<index>\d+)(?:\s*[:,;\t]\s*|\s+)(?P<name>\S.*)")
_NUMBER_LAST = re.compile(r"(?P<name>.*\S)\s*[:,;=\t]\s*(?P<index>\d+)")
_GAP = r"\s*[,;\s]\s*"
_COLOUR = _GAP.join([r"\d{1,3}"] * 3)
_COLOURED = (re.compile(rf"{_COLOUR}{_GAP}(?P<name>\D.*)"), re.compile(rf"(?P<name>.*\S){_GAP}{_COLOUR}"))
_ITEM = re.compile(r"-\s+(?P<name>\S.*)")
_HEADER = re.compile(r"(?i)\W*(?:(?:id|index|name|class|label)\W*[,;\t].*|(?:class|label)?[ _]?names?|class|label)\W*")
_SETTING = re.compile(r"(?i)(?:names|classes|nc)\s*=.*")


def plain_names(lines: Sequence[str], what: str) -> Sequence[str]:
    """Return the names on the lines, in the order of their indices.

    Lines that are numbered 0, 1, 2, ... hold any names. what: the file in a sentence. Raises DataError for lines of
    another kind of file, and for indices with gaps.
    """
    if not lines or not any(lines):
        return lines
    found = [_NUMBERED.fullmatch(line) for line in lines]
    if all(found):
        numbers = [int(one["index"]) for one in found if one is not None]
        names = [one["name"] for one in found if one is not None]
        if sorted(numbers) == list(range(len(lines))):
            return _in_order(numbers, names)
    for pattern in (*_COLOURED, _ITEM):
        matches = [pattern.fullmatch(line) for line in lines]
        if all(matches) and (len(lines) > 1 or pattern is not _COLOURED[1]):
            return [one["name"] for one in matches if one is not None]
    _check_lines(lines, what)
    if all(found):
        _check_numbers(numbers, names, what)
    return _without_last_numbers(lines, what)


def shortened(numbers: Sequence[int]) -> str:
    """Return "0, 1, 2, ..."."""
    return ", ".join(map(str, numbers[:3])) + (", ..." if len(numbers) > 3 else "")


def _in_order(numbers: Sequence[int], names: Sequence[str]) -> list[str]:
    return [name for _, name in sorted(zip(numbers, names, strict=True))]


def _check_lines(lines: Sequence[str], what: str) -> None:
    """Raise DataError for lines that belong to another kind of file."""
    place = f"of {what[0].lower()}{what[1:]}"
    for number, line in enumerate(lines, start=1):
        if not line:
            raise DataError(f"Line {number} {place} is empty; write a class name on it.")
        if line.startswith("#"):
            raise DataError(
                f"Line {number} {place} is {line!r}; remove it if it is a comment, or number all lines from 0 if it "
                f"is a name: '{number - 1} {line}'."
            )
        if line.startswith("<") or re.fullmatch(r"item\s*\{.*", line) or _SETTING.fullmatch(line):
            raise DataError(f"{what} is no list of names: line {number} is {line[:60]!r}; {ADVICE}.")
    if len(lines) > 1 and _HEADER.fullmatch(lines[0]):
        raise DataError(
            f"{what} begins with the header {lines[0]!r}; {ADVICE}. If it is a name, number all lines from 0: "
            f"'0 {lines[0]}'."
        )
    if len(lines) == 1 and re.search(r"[^,]+,\s*[^,]+", lines[0]):
        raise DataError(
            f"{what} is the one line {lines[0][:60]!r}; {ADVICE}. If it is one name, number it: '0 {lines[0][:60]}'."
        )


def _check_numbers(numbers: Sequence[int], names: Sequence[str], what: str) -> None:
    """Raise DataError for numbers before all names that are indices but not 0, 1, 2, ..."""
    if len(numbers) == 1:
        return
    if 0 in numbers or list(numbers) == list(range(numbers[0], numbers[0] + len(numbers))):
        raise DataError(
            f"{what} numbers its classes {shortened(numbers)}, but indices count from 0 without a gap; write the "
            f"names alone, or with their indices: '0 {names[0]}'."
        )


def _without_last_numbers(lines: Sequence[str], what: str) -> Sequence[str]:
    """Return the names in the order of the numbers after them, if all lines have one: "cat,0". Raises DataError."""
    found = [match for match in map(_NUMBER_LAST.fullmatch, lines) if match is not None]
    names = [match["name"] for match in found]
    if len(lines) < 2 or len(found) < len(lines) or len(set(names)) < len(names):
        return lines
    numbers = [int(match["index"]) for match in found]
    if sorted(numbers) == list(range(len(lines))):
        return _in_order(numbers, names)
    raise DataError(
        f"{what} has the numbers {shortened(numbers)} after its names, but indices count from 0 without a gap; write "
        f"the names alone, or number all lines from 0: '0 {lines[0]}'."
    )
