"""Libraries of the optional extras: imported when needed; an error names the extra that brings a missing one."""

from importlib import import_module
from types import ModuleType

from lookwhere_cli.errors import UsageError


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
        raise UsageError(
            f"{purpose} needs {package}, which is not installed; install it with: pip install 'lookwhere[{extra}]'."
        ) from error
