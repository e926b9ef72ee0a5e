"""LookWhere: choose where to look on a thumbnail, read only those patches, say what is there.

    from lookwhere_cli import load

    row = load().classify("a.jpg")

Nothing heavy is imported until it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lookwhere_cli.amounts import Amount
    from lookwhere_cli.detections import Detections
    from lookwhere_cli.explain import Explanation
    from lookwhere_cli.images.films.frames import frames
    from lookwhere_cli.loading import load
    from lookwhere_cli.options import Options
    from lookwhere_cli.output.rows import Detection, Label, Row, Share
    from lookwhere_cli.predictor import Predictor
    from lookwhere_cli.segmenter import Segmented, Segmenter

    __version__: str

__all__ = [
    "Amount",
    "Detection",
    "Detections",
    "Explanation",
    "Label",
    "Options",
    "Predictor",
    "Row",
    "Segmented",
    "Segmenter",
    "Share",
    "__version__",
    "frames",
    "load",
]

_MODULES = {
    "Amount": "amounts",
    "Detection": "output.rows",
    "Detections": "detections",
    "Explanation": "explain",
    "Label": "output.rows",
    "Options": "options",
    "Predictor": "predictor",
    "Row": "output.rows",
    "Segmented": "segmenter",
    "Segmenter": "segmenter",
    "Share": "output.rows",
    "frames": "images.films.frames",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lookwhere")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"
