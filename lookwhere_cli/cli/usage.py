"""Usage errors that Typer finds, in our words; and the form in which an option was typed."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

import typer

from lookwhere_cli.text import near_names

TyperUsageError: type[Exception] = typer.BadParameter.__bases__[0]
"""What all usage errors of Typer are; it has no public name."""


def as_typed(*names: str) -> str:
    """Return the name of an option that stands last on the command line, and so counts; the first if none does."""
    for argument in reversed(sys.argv[1:]):
        for name in names:
            short = not name.startswith("--") and argument.startswith(name)
            if short or argument.partition("=")[0] == name:
                return name
    return names[0]


def sentence_of(failure: Any) -> str:
    """Return the sentence for one of Typer's usage errors; "" if it has shown the help instead."""
    describe = _SENTENCES.get(type(failure).__name__, _other)
    return describe(failure) if failure.format_message() else ""


def _missing(failure: Any) -> str:
    param = failure.param
    return f"{param.opts[0] if param.opts[0].startswith('-') else param.metavar} is missing; {_help(failure)}"


def _no_option(failure: Any) -> str:
    known = [name for param in failure.ctx.command.get_params(failure.ctx) for name in param.opts]
    similar = near_names(failure.option_name, known, 1)
    remedy = f"did you mean {similar[0]}?" if similar else _help(failure)
    return f"There is no option {failure.option_name}; {remedy}"


def _bad_value(failure: Any) -> str:
    name = as_typed(*failure.param.opts) if failure.param.opts[0].startswith("-") else failure.param.metavar
    errors = getattr(failure.__cause__, "errors", None)
    if errors is None:
        return f"{name}: {failure.message}"
    error = errors()[0]
    return f"{name} {error['input']} {_requirement(error, failure.message)}"


def _requirement(error: dict[str, Any], message: str) -> str:
    """Return what is wrong with a value, from an error of pydantic, which Typer checks values with."""
    limits = error.get("ctx", {})
    if error["type"].startswith(("int", "float")):
        return f"is not a {'whole ' if error['type'].startswith('int') else ''}number."
    if "ge" in limits:
        return f"is too small; it must be at least {limits['ge']:g}."
    if "le" in limits:
        return f"is too large; it must be at most {limits['le']:g}."
    choices = re.findall(r"'([^']*)'", message.partition("is not one of")[2])
    return f"is not known; {_choose(str(error['input']), choices)}" if choices else "can't be used."


def _other(failure: Any) -> str:
    """Return the sentence for an unknown command, and for a number of values or arguments that does not fit."""
    unknown = re.match(r"No such command '(.*?)'\.", failure.message)
    if unknown:
        return f"There is no command {unknown[1]!r}; {_choose(unknown[1], failure.ctx.command.commands)}"
    message = failure.message.rstrip(".")
    for pattern, ours in _REWORDED.items():
        message = re.sub(pattern, ours, message)
    return f"{message}; {_help(failure)}"


def _choose(name: str, known: Iterable[str]) -> str:
    similar = near_names(name, known, 1)
    return f"did you mean {similar[0]}?" if similar else f"choose from {', '.join(known)}."


def _help(failure: Any) -> str:
    return f"see {failure.ctx.command_path} --help." if failure.ctx is not None else "see --help."


_REWORDED = {
    r"^Option '(\S+)' requires an argument": r"\1 needs a value",
    r"^Option '(\S+)' requires (\d+) arguments": r"\1 needs \2 values",
    r"^Option '(\S+)' does not take a value": r"\1 takes no value",
    r"^Got unexpected extra arguments?(?:\(s\))? \((.*)\)": r"There are more arguments than expected: \1",
}
"""Messages of Typer, and the same in our words."""
_SENTENCES: dict[str, Callable[[Any], str]] = {
    "MissingParameter": _missing,
    "NoSuchOption": _no_option,
    "BadParameter": _bad_value,
}
"""By the name of the class, which has no public module."""
