"""A call in a process of its own, whose memory is given back when it is done."""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar, cast

from lookwhere_cli.errors import LookWhereError

P = ParamSpec("P")
T = TypeVar("T")


def call_apart(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Return what the function returns; it, its arguments and the value are picklable.

    Raises what it raises, and LookWhereError if the process dies. Whatever interrupts the wait ends the process.
    """
    ours, theirs = get_context("spawn").Pipe(duplex=False)
    process = get_context("spawn").Process(target=_answer, args=(theirs, function, arguments, named), daemon=True)
    process.start()
    theirs.close()
    try:
        value = ours.recv()
    except EOFError as error:
        process.join()
        raise LookWhereError(
            f"A process that prepares the job died with exit code {process.exitcode}; see whether memory is short."
        ) from error
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(value, BaseException):
        raise value
    return cast("T", value)


def _answer(connection: Connection, function: Callable[..., Any], arguments: Any, named: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever waits for this process ends it
    try:
        value = function(*arguments, **named)
    except Exception as error:
        connection.send(error)
    else:
        connection.send(value)
