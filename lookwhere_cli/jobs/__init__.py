"""Jobs: many pictures, in shards, by processes of this machine or actors of Ray; each run goes on where one stopped."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookwhere_cli.jobs.worker import Worker

__all__ = ["Worker"]


def __getattr__(name: str) -> Any:
    if name != "Worker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("lookwhere_cli.jobs.worker").Worker
