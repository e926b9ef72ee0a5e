"""Commands whose `--help` shows names and values, and no types of Python."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command with such a help."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line, required arguments without braces."""
        return [re.sub(r"^\{(.*)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, without the types of flags and arguments."""
        _hide_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


class Group(TyperGroup):
    """A group of commands with such a help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, without the types of flags."""
        _hide_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


def _hide_types(params: list[Any]) -> None:
    for param in params:
        if isinstance(param, TyperArgument) or param.is_flag:
            param.display_type_rich = _no_type


def _no_type(ctx: Any) -> str:
    return ""
