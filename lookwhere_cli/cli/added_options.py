"""Options that are added to a command from outside, so that several commands share them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def with_options(command: Callable[..., None], added: Mapping[str, Any]) -> Callable[..., None]:
    """Give a command options whose values it finds in its context; its own signature stays as it is.

    added: the annotation of each option by name; all are None by default.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in added.items()
    ]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        """Call the command with its own options only."""
        command(**{name: value for name, value in values.items() if name not in added})

    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *parameters])  # type: ignore[attr-defined]
    return run
