"""Keeping libraries from printing what rows say in their notes and errors."""

import ctypes
import logging
import re
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path

_LOADED = Path("/proc/self/maps")
_LIBTIFF = re.compile(r"(/\S*libtiff[^/\s]*\.so\S*)$", re.MULTILINE)


def silence_pillow() -> None:
    """Drop Pillow's warnings of damaged tags and EXIF data, and its log of what it can't decode."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    logging.getLogger("PIL").addHandler(logging.NullHandler())


@cache
def silence_libtiff() -> None:
    """Drop the lines that libtiff prints for damaged data: Pillow raises for them anyway.

    Works where the system lists the libraries that a process has loaded (Linux); elsewhere it does nothing.
    """
    with suppress(OSError, AttributeError):
        found = _LIBTIFF.search(_LOADED.read_text())
        if found is not None:
            library = ctypes.CDLL(found[1])
            for function in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
                function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
                function(None)
