"""The files in which tools write class names: a plain list, label maps, YOLO's YAML, JSON.

A list that is misread by one line gives every class its neighbour's name; so what is no list of any known form is
refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lookwhere_cli.data.plain_lists import ADVICE as _ADVICE
from lookwhere_cli.data.plain_lists import plain_names, shortened
from lookwhere_cli.errors import DataError

_LABELMAP = re.compile(r"(?P<name>.*):(?:\d{1,3},\s*\d{1,3},\s*\d{1,3}|#[0-9A-Fa-f]{6})?:[^:]*:[^:]*")
"""A line of labelmap.txt, `name:red,green,blue:parts:actions`; the name itself may hold colons."""
_YAML = re.compile(r"(?m)^([\"']?)names\1\s*:")
_KEYS = ("names", "labels", "classes", "categories", "id2label")


def class_names_in(text: str, what: str, ending: str = "") -> Sequence[str]:
    """Return the class names in a text, in the order of their indices.

    It may be a plain list with one name per line; such a list with numbers 0, 1, 2, ... before the names; labelmap.txt
    of this package, CVAT and Pascal VOC's tools; YOLO's data.yaml; JSON: a list, or an object with `names`, `labels`,
    `classes`, `id2label`, or `categories` as Label Studio and COCO have them; lines with the colours of the classes.
    what: the file in a sentence. ending: of its name. Raises DataError for anything else, and for indices other than
    0, 1, 2, ...
    """
    if ending.lower() in (".yaml", ".yml"):
        return _yaml_names(text, what)
    if text.lstrip()[:1] in ("{", "[") and (values := _parsed_json(text, what)) is not None:
        return _names_of(values, what)
    if _YAML.search(text):
        return _yaml_names(text, what)
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text.rstrip())]
    if any(map(_LABELMAP.fullmatch, lines)):
        return _labelmap_names(lines, what)
    return plain_names(lines, what)


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
            f"{what} numbers its classes {shortened(sorted(names))}, but indices count from 0 without a gap: "
            f"{shortened(range(len(pairs)))}. {_ADVICE.capitalize()}."
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
