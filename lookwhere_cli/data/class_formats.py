"""The files in which tools write class names: a plain list, label maps, YOLO's YAML, JSON.

A list that is misread by one line gives every class its neighbour's name; so what is no list of any known form is
refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lookwhere_cli.errors import DataError

_LABELMAP = re.compile(r"(?P<name>.*):(?:\d{1,3},\s*\d{1,3},\s*\d{1,3})?:[^:]*:[^:]*")
"""A line of labelmap.txt, `name:red,green,blue:parts:actions`; the name itself may hold colons."""
_NUMBERED = re.compile(r"(?P<index>\d+)(?:\s*[:,;\t]\s*|\s+)(?P<name>\S.*)")
_YAML = re.compile(r"(?m)^names\s*:")
_KEYS = ("names", "labels", "classes", "categories", "id2label")
_ADVICE = "write one class name per line, index 0 first"


def class_names_in(text: str, what: str) -> Sequence[str]:
    """Return the class names in a text, in the order of their indices.

    It may be a plain list with one name per line; such a list with numbers 0, 1, 2, ... before the names; labelmap.txt
    of this package, CVAT and Pascal VOC's tools; YOLO's data.yaml; JSON: a list, or an object with `names`, `labels`,
    `classes`, `id2label`, or `categories` as Label Studio and COCO have them.
    what: the file in a sentence. Raises DataError for anything else, and for indices other than 0, 1, 2, ...
    """
    if text.lstrip()[:1] in ("{", "[") and (values := _parsed_json(text, what)) is not None:
        return _names_of(values, what)
    if _YAML.search(text):
        return _yaml_names(text, what)
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text.rstrip())]
    if any(map(_LABELMAP.fullmatch, lines)):
        return _labelmap_names(lines, what)
    _check_plain(lines, what)
    return _without_numbers(lines, what)


def _parsed_json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip()[0] == "[" and "\n" in text.strip():  # a plain list whose first name is "[unknown]"
            return None
        raise DataError(f"{what} begins like JSON, but is none ({error}); {_ADVICE}.") from error


def _yaml_names(text: str, what: str) -> Sequence[str]:
    import yaml

    try:
        values = yaml.load(text, Loader=yaml.BaseLoader)  # strings only: `no` stays "no"
    except yaml.YAMLError as error:
        raise DataError(f"{what} is not valid YAML ({' '.join(str(error).split())}); {_ADVICE}.") from error
    return _names_of(values, what)


def _names_of(values: Any, what: str) -> Sequence[str]:
    """Return the names in parsed JSON or YAML."""
    names = values
    if isinstance(values, Mapping):
        key = next((key for key in _KEYS if isinstance(values.get(key), list | dict)), None)
        if key is None:
            raise DataError(f"{what} has no class names under {', '.join(_KEYS)}; {_ADVICE}.")
        names = values[key]
    if isinstance(names, Mapping):
        return _by_index(list(names.items()), what)
    if isinstance(names, list) and names and all(isinstance(one, Mapping) for one in names):
        return _by_index([(one.get("id"), one.get("name")) for one in names], what)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{what} holds no list of names; {_ADVICE}.")
    if isinstance(values, Mapping) and str(values.get("nc", len(names))) != str(len(names)):
        raise DataError(f"{what} has {len(names)} names, but says nc: {values['nc']}; correct one of them.")
    return names


def _by_index(pairs: Sequence[tuple[Any, Any]], what: str) -> Sequence[str]:
    """Return the names in the order of their indices. Raises DataError unless those are 0, 1, 2, ..."""
    try:
        names = {int(index): name for index, name in pairs}
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} has classes without a whole number as index; {_ADVICE}.") from error
    if sorted(names) != list(range(len(pairs))) or not all(isinstance(name, str) for name in names.values()):
        raise DataError(
            f"{what} numbers its classes {_listed(sorted(names))}, but indices count from 0 without a gap: "
            f"{_listed(range(len(pairs)))}. {_ADVICE.capitalize()}."
        )
    return [names[index] for index in range(len(names))]


def _labelmap_names(lines: Sequence[str], what: str) -> Sequence[str]:
    names = []
    for number, line in enumerate(lines, start=1):
        found = _LABELMAP.fullmatch(line)
        if found is not None:
            names.append(found["name"])
        elif line and not line.startswith("#"):
            raise DataError(
                f"Line {number} of {what[0].lower()}{what[1:]} is {line!r}, but others are 'name:r,g,b::' as in a "
                f"labelmap.txt; write all lines alike."
            )
    return names


def _check_plain(lines: Sequence[str], what: str) -> None:
    """Raise DataError for lines that belong to another kind of file."""
    place = f"of {what[0].lower()}{what[1:]}"
    for number, line in enumerate(lines, start=1):
        if not line and any(lines):
            raise DataError(f"Line {number} {place} is empty; write a class name on it.")
        if line.startswith("#"):
            raise DataError(
                f"Line {number} {place} is {line!r}; remove it if it is a comment, or number all lines from 0 if it "
                f"is a name: '{number - 1} {line}'."
            )
        if line.startswith("<") or re.fullmatch(r"item\s*\{", line):
            raise DataError(f"{what} is no list of names: line {number} is {line[:60]!r}; {_ADVICE}.")
    if lines and re.fullmatch(r"(?i)\W*(id|index|name|class|label)\W*[,;\t].*", lines[0]):
        raise DataError(f"{what} begins with the header {lines[0]!r}; {_ADVICE}.")


def _without_numbers(lines: Sequence[str], what: str) -> Sequence[str]:
    """Return the names without the indices before them, if all lines have one."""
    found = [_NUMBERED.fullmatch(line) for line in lines]
    numbers = [int(one["index"]) for one in found if one is not None]
    if len(numbers) < len(lines) or not lines:
        return lines
    if numbers == list(range(len(lines))):
        return [one["name"] for one in found if one is not None]
    if len(lines) > 1 and numbers == list(range(numbers[0], numbers[0] + len(lines))):
        raise DataError(
            f"{what} numbers its classes {_listed(numbers)}, but indices count from 0; write the names alone, or with "
            f"their indices: '0 {found[0]['name'] if found[0] else ''}'."
        )
    return lines


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:3])) + (", ..." if len(numbers) > 3 else "")
