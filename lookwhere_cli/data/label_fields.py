"""The labels in a field of a table, as people and exporters write them."""

from __future__ import annotations

import ast
import io
import json
import math
import re
import tokenize
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from lookwhere_cli.data.table import Table
from lookwhere_cli.encodings import composed
from lookwhere_cli.errors import DataError

_KEYS = ("choices", "labels", "classes", "label", "class", "choice")
_BRACKETS = re.compile(r"[][{}]")
_TUPLE = re.compile(r"""\(\s*(?:['"].*)?\)""", re.DOTALL)
_SEPARATOR = re.compile(r"[;|,]")
_NUMBERS = (int, float)


def read_labels(table: Table, column: str, multi_label: bool, known: Collection[str]) -> list[tuple[str, ...]]:
    r"""Return each row's class names, without repetitions.

    A field may be a list as exporters write it: JSON (["a", "b"], {"choices": ["a", "b"]}), a Python list, also in
    quotes. Otherwise, with `multi_label`, names are separated by ; | or , if any of these occurs in the column, else by
    spaces unless other fields of the column are lists; without it, the field is one name.
    known: the names of the class list, which are taken as they are, whatever they hold.
    Raises DataError for what looks like a list and is none, for a name with brackets or braces that is not known, and,
    without `multi_label`, for a row that has no label or several.
    """
    texts = [composed(text) for text in table.texts(column)]
    places = [table.place(row) for row in table.rows]
    lists = [None if text in known else _listed(text, place) for text, place in zip(texts, places, strict=True)]
    plain = [text for text, listed in zip(texts, lists, strict=True) if listed is None and text not in known]
    split = _splitter(plain, len(plain) < len(texts) and any(one is not None for one in lists), multi_label)
    names = []
    for text, listed, place in zip(texts, lists, places, strict=True):
        found = listed if listed is not None else (text,) if text in known else split(text)
        names.append(tuple(dict.fromkeys(filter(None, map(composed, map(str.strip, found))))))
        _check_brackets(names[-1], known, place)
        if not multi_label:
            _check_single(names[-1], column, place)
    if not multi_label:
        _check_joined([one[0] for one in names], known, places)
    return names


def _splitter(plain: Sequence[str], has_lists: bool, multi_label: bool) -> Any:
    """Return the function that divides a field that is no list into names."""
    if not multi_label:
        return lambda text: (text,)
    if any(map(_SEPARATOR.search, plain)):
        return _SEPARATOR.split
    return (lambda text: (text,)) if has_lists else str.split


def _listed(text: str, place: str) -> tuple[str, ...] | None:
    """Return the names in a field that is a list; None if it does not look like one. Raises DataError."""
    if not _looks_like_list(text):
        return None
    names = _flat(_parsed(text))
    if names is None:
        raise DataError(
            f"{place} has {_short(text)} as labels, which looks like a list and can't be read as one; write "
            'the names alone, or a JSON list of names: ["a", "b"]. If it is the name of one class, put it in a class '
            "list (--classes)."
        )
    return names


def _looks_like_list(text: str) -> bool:
    inner = text
    while len(inner) > 1 and inner[0] == inner[-1] and inner[0] in "'\"":
        inner = inner[1:-1].strip()
    return inner[:1] in ("[", "{") or inner[-1:] in ("]", "}") or _TUPLE.fullmatch(inner) is not None


def _parsed(text: str) -> Any:
    """Return the value that the text is in JSON or Python; None if it is in neither."""
    for parse in (json.loads, _python):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, tokenize.TokenError):
            continue
        return _parsed(value) if isinstance(value, str) and value != text else value
    return None


def _python(text: str) -> Any:
    """Return the Python literal. Raises ValueError for strings side by side, which NumPy prints and Python joins."""
    kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(text).readline)]
    if any(pair == (tokenize.STRING, tokenize.STRING) for pair in pairwise(kinds)):
        raise ValueError(text)
    return ast.literal_eval(text)


def _flat(value: Any) -> tuple[str, ...] | None:
    """Return the names in a parsed value; None if it is not a list of names."""
    if isinstance(value, Mapping):
        keys = [key for key in value if key in _KEYS]
        return _flat_or_one(value[keys[0]]) if len(keys) == len(value) == 1 else None
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if not isinstance(value, list | tuple):
        return None
    parts = [_flat(one) if isinstance(one, Mapping) else _one(one) for one in value]
    names = [name for part in parts if part is not None for name in part]
    return None if None in parts else tuple(names)


def _flat_or_one(value: Any) -> tuple[str, ...] | None:
    return _one(value) if isinstance(value, str | int) else _flat(value)


def _one(value: Any) -> tuple[str, ...] | None:
    is_number = isinstance(value, _NUMBERS) and not isinstance(value, bool) and math.isfinite(value)
    is_name = isinstance(value, str) or is_number
    return (str(value),) if is_name else None


def _check_brackets(names: Sequence[str], known: Collection[str], place: str) -> None:
    for name in names:
        if name not in known and _BRACKETS.search(name):
            raise DataError(
                f"{place} has the label {_short(name)}: is that the name of one class? Then put it in a class list "
                "(--classes); otherwise write the names alone, without brackets."
            )


def _check_single(names: Sequence[str], column: str, place: str) -> None:
    if not names:
        raise DataError(f"{place} has no label in its column {column!r}; fill it in or remove the row.")
    if len(names) > 1:
        raise DataError(
            f"{place} has {len(names)} labels, {_short(', '.join(names))}; read the data with --multi-label, or keep "
            "one label per picture."
        )


def _check_joined(labels: Sequence[str], known: Collection[str], places: Sequence[str]) -> None:
    """Raise DataError for several labels in one field where each picture should have one: their parts occur alone."""
    alone = set(labels)
    for label, place in zip(labels, places, strict=True):
        parts = [part.strip() for part in _SEPARATOR.split(label)]
        if label not in known and len(parts) > 1 and all(parts) and alone.intersection(parts):
            raise DataError(
                f"{place} has the label {_short(label)}, and other rows have a part of it alone; read the data with "
                "--multi-label, or put the name in a class list (--classes) if it is one class."
            )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}...")
