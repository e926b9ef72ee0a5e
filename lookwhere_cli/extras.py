"""Libraries of the optional extras: imported when needed; an error names the extra that brings a missing one."""

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from lookwhere_cli.errors import UsageError

EXTRAS = {
    "train": ("accelerate", "matplotlib", "torchmetrics", "torchvision"),
    "parquet": ("pyarrow",),
    "segment": ("pycocotools", "shapely"),
    "detect": ("pycocotools",),
    "heif": ("pillow_heif",),
    "tiff": ("imagecodecs", "tifffile"),
    "raw": ("rawpy",),
    "onnx": ("onnxruntime",),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "ray": ("ray",),
    "remote": ("fsspec",),
    "slides": ("openslide", "openslide_bin"),
    "geo": ("rasterio",),
    "video": ("av",),
}
"""The packages of each extra that users need, by the name under which they are imported."""


def check_extra(extra: str, purpose: str) -> None:
    """Raise UsageError if a library of the extra is missing. Imports none of them, so it is fast.

    purpose: what needs the extra; the subject of the error's sentence, as in "lookwhere train".
    """
    for package in EXTRAS[extra]:
        if find_spec(package) is None:
            raise UsageError(_missing(package, extra, purpose))


def is_installed(extra: str) -> bool:
    """Return True if all libraries of the extra are installed."""
    return all(find_spec(package) is not None for package in EXTRAS[extra])


def require(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional library and return it.

    module: a package, or a module in one (`pycocotools.mask`). extra: the extra of this package that installs it.
    purpose: what needs it; the subject of the error's sentence, as in "--format rle".

    Raises UsageError with the `pip install` to run if the library is missing.
    """
    package = module.partition(".")[0]
    try:
        import_module(package)
        return import_module(module)
    except ImportError as error:
        raise UsageError(_missing(package, extra, purpose)) from error


def install_command(extra: str) -> str:
    """Return the command that installs an extra. Where the package is installed already, it works in any folder."""
    return f"pip install 'lookwhere[{extra}]'"


def _missing(package: str, extra: str, purpose: str) -> str:
    return f"{purpose} needs {package}, which is not installed; install it with: {install_command(extra)}."
