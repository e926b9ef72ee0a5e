"""Commands whose `--help` shows names and values, and no types of Python; long ones begin with what people use."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

_ALL = "lookwhere.help_all"
"""Set in a context whose help shows every option."""


class Command(TyperCommand):
    """A command with such a help."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line, required arguments without braces."""
        return [re.sub(r"^\{(.*)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, without the types of flags and arguments."""
        _hide_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


class LongCommand(Command):
    """A command with more options than fit a screen: `--help` shows some, `--help-all` all of them."""

    shown: ClassVar[frozenset[str] | None] = None
    """Names of the parameters that `--help` shows; None: all. Arguments and required options are always shown."""
    rare: ClassVar[frozenset[str]] = frozenset()
    """Names of the parameters that only `--help-all` shows."""
    _help_all_option: Any = None

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with `--help-all` at the end."""
        params = super().get_params(ctx)
        if self._help_all_option is None:  # made once: parsing compares parameters by identity
            self._help_all_option = copy.copy(self.get_help_option(ctx))
            self._help_all_option.name, self._help_all_option.opts = "help_all", ["--help-all"]
            self._help_all_option.help = f"Show all {sum(not _is_argument(one) for one in params)} options and exit."
            self._help_all_option.callback = _show_all
        return [*params, self._help_all_option]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, of all options or of those that people use."""
        hidden = () if ctx.meta.get(_ALL) else [one for one in self.params if not self._is_shown(one)]
        with _hidden(hidden):
            super().format_help(ctx, formatter)

    def _is_shown(self, param: Any) -> bool:
        if _is_argument(param) or param.required:
            return True
        return param.name not in self.rare and (self.shown is None or param.name in self.shown)


def showing(*names: str) -> type[LongCommand]:
    """Return the class of a long command whose `--help` shows the parameters with these names."""
    return type("LongCommand", (LongCommand,), {"shown": frozenset(names)})


def without(*names: str) -> type[LongCommand]:
    """Return the class of a long command whose `--help` shows all parameters but those with these names."""
    return type("LongCommand", (LongCommand,), {"rare": frozenset(names)})


def _is_argument(param: Any) -> bool:
    return isinstance(param, TyperArgument)


def _show_all(ctx: Any, _param: Any, wanted: bool) -> None:
    if wanted:
        ctx.meta[_ALL] = True
        typer.echo(ctx.get_help())
        ctx.exit()


@contextmanager
def _hidden(params: Any) -> Iterator[None]:
    """Hide the parameters within the block."""
    visible = [param for param in params if not param.hidden]
    for param in visible:
        param.hidden = True
    try:
        yield
    finally:
        for param in visible:
            param.hidden = False


class Group(TyperGroup):
    """A group of commands with such a help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, without the types of flags."""
        _hide_types(self.get_params(ctx))
        super().format_help(ctx, formatter)


def _hide_types(params: list[Any]) -> None:
    for param in params:
        if _is_argument(param) or param.is_flag:
            param.display_type_rich = _no_type


def _no_type(ctx: Any) -> str:
    return ""
