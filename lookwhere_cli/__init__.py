"""LookWhere: choose where to look on a thumbnail, read only those patches, say what is there.

    from lookwhere_cli import load

    row = load().classify("a.jpg")

Nothing heavy is imported until it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookwhere_cli.answers import Explanation
    from lookwhere_cli.loading import load
    from lookwhere_cli.output.rows import Label, Row, Share
    from lookwhere_cli.predictor import Predictor
    from lookwhere_cli.segmenter import Segmented, Segmenter

    __version__: str

__all__ = [
    "Explanation",
    "Label",
    "Predictor",
    "Row",
    "Segmented",
    "Segmenter",
    "Share",
    "__version__",
    "load",
]

_HOMES = {
    "load": "loading",
    "Predictor": "predictor",
    "Explanation": "answers",
    "Label": "rows",
    "Row": "rows",
    "Share": "rows",
    "Segmenter": "segmenter",
    "Segmented": "segmenter",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lookwhere")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"
