"""The JSON records in a model's folder: what was measured of it, how it was trained, what it was converted from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from lookwhere_cli.checkpoints.layout import CARD, ORIGIN, RESULTS, TRAINING
from lookwhere_cli.encodings import decode_text, is_pointer, pointer_sentence
from lookwhere_cli.errors import ModelError

Check: TypeAlias = Callable[[Any], bool]

TOP1 = "top1"
"""The metric of results that name none."""
_TERMS_OF_WEIGHTS = re.compile(r"^- \*\*Weights\*\*: (.+(?:\n  .+)*)", re.MULTILINE)


def read_results(folder: Path) -> dict[str, Any]:
    """Return the content of results.json; empty if there is none.

    If it has "accuracy" (shares in 0..1 by data set), then "pictures" (counts by data set), "metric" (what those shares
    are; top-1 accuracy if it is missing) and "command" are checked as well; all other keys are returned unchecked.
    Raises ModelError for a damaged file.
    """
    results = _read_record(folder / RESULTS)
    if "accuracy" in results:
        _check(results, _RESULTS_CHECKS, folder / RESULTS)
    return results


def read_training(folder: Path) -> dict[str, Any]:
    """Return the content of training.json; empty if there is none. Raises ModelError for a damaged file."""
    record = _read_record(folder / TRAINING)
    _check(record, _TRAINING_CHECKS, folder / TRAINING)
    return record


def read_origin(folder: Path) -> dict[str, str]:
    """Return what a model was converted from: repository, file, commit, sha256; empty for a model that was not.

    Raises ModelError for a damaged file.
    """
    origin = _read_record(folder / ORIGIN)
    for key in ("repository", "file", "commit", "sha256") if origin else ():
        _check({key: origin.get(key)}, {key: _TEXT}, folder / ORIGIN)
    return origin


def read_terms(folder: Path) -> str | None:
    """Return what the folder's card says of its weights' licence, in a sentence; None if it says nothing.

    That is the item "Weights" of a list, as in the cards of bundled models.
    """
    try:
        found = _TERMS_OF_WEIGHTS.search((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return " ".join(found[1].split()) if found else None


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises ModelError with the file's name and what is wrong with it."""
    try:
        content = file.read_bytes()
        values = json.loads(decode_text(content))
    except OSError as failure:
        raise ModelError(f"{str(file)!r} can't be read: {failure.strerror}.") from failure
    except (ValueError, RecursionError) as failure:
        if is_pointer(content):
            raise ModelError(pointer_sentence(repr(str(file)))) from failure
        raise ModelError(f"{str(file)!r} is not valid JSON: {failure}.") from failure
    if not isinstance(values, dict):
        raise ModelError(f"{str(file)!r} holds a {type(values).__name__}; it must be a JSON object.")
    return values


def _read_record(file: Path) -> dict[str, Any]:
    return read_json(file) if file.is_file() else {}


def _check(record: Mapping[str, Any], checks: Mapping[str, tuple[str, Check]], file: Path) -> None:
    for key, (expected, is_valid) in checks.items():
        if key in record and not is_valid(record[key]):
            raise ModelError(
                f"{str(file)!r} is damaged: {key!r} is {_shortened(record[key])}; it must be {expected}. Get the file "
                "again, or delete it."
            )


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    """Return True for a finite number of moderate size: larger whole numbers can't be formatted as floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _has_numbers(*keys: str) -> Check:
    """Return a check for an object with numbers under these keys; without keys, for an object of numbers only."""

    def is_valid(value: Any) -> bool:
        """Return True for an object whose values under the keys, or under all of its own, are finite numbers."""
        return isinstance(value, dict) and all(_is_number(value.get(key)) for key in keys or value)

    return is_valid


_NUMBER = ("a number", _is_number)
_TEXT = ("a string", _is_text)
_RESULTS_CHECKS: dict[str, tuple[str, Check]] = {
    "accuracy": ("an object of numbers by data set", _has_numbers()),
    "pictures": ("an object of numbers by data set", _has_numbers()),
    "metric": _TEXT,
    "command": _TEXT,
}
_TRAINING_CHECKS: dict[str, tuple[str, Check]] = {
    "teachers": ("a list of strings", _is_list_of_texts),
    "photographs": _NUMBER,
    "views": _NUMBER,
    "pictures": ("an object with the numbers train and val", _has_numbers("train", "val")),
    "best": ("an object with the numbers epoch and score", _has_numbers("epoch", "score")),
    "seconds": _NUMBER,
    "device": _TEXT,
    "start": _TEXT,
    "teacher": ("a string or null", lambda value: value is None or _is_text(value)),
    "command": _TEXT,
}
