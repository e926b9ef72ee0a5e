"""Open handles of a raster, which one thread may use at a time, for each of its resolutions."""

from __future__ import annotations

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.large.names import is_remote
from lookwhere_cli.images.names import in_message

_GDAL_CACHE = 16  # MiB, for all rasters: blocks are kept by ourselves


@cache
def rasterio_module() -> Any:
    """Import rasterio (an extra), and keep it from writing to stderr."""
    import rasterio

    logging.getLogger("rasterio").addHandler(logging.NullHandler())
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    return rasterio


_SETTINGS = {"GDAL_CACHEMAX": _GDAL_CACHE, "GDAL_ERROR_ON_LIBJPEG_WARNING": True}
_REMOTE_SETTINGS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # each file beside it that is looked for is a request
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
}


@contextmanager
def gdal_settings(remote: bool) -> Iterator[None]:
    """Let GDAL take little memory, fail where a JPEG is cut short and, of remote files, list no folders.

    Variables of the environment with the same names win.
    """
    settings = _SETTINGS | (_REMOTE_SETTINGS if remote else {})
    with rasterio_module().Env(**{name: value for name, value in settings.items() if name not in os.environ}):
        yield


class Handles:
    """Handles of a file, opened as needed: as many for each resolution as threads read from it at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._free: dict[int, list[Any]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def borrowed(self, number: int) -> Iterator[Any]:
        """Lend a handle: 0 is full resolution, 1 the first overview. Raises PictureError if the file can't be opened.

        Other errors in the block are raised as they are, and the handle is closed.
        """
        with gdal_settings(is_remote(self._path)):
            with self._lock:
                free = self._free.setdefault(number, [])
                dataset = free.pop() if free else None
            dataset = dataset or self._opened(number)
            try:
                yield dataset
            except BaseException:
                dataset.close()
                raise
            with self._lock:
                self._free[number].append(dataset)

    def close(self) -> None:
        """Close the handles that no thread uses."""
        with self._lock:
            free = [dataset for handles in self._free.values() for dataset in handles]
            self._free.clear()
        for dataset in free:
            dataset.close()

    def _opened(self, number: int) -> Any:
        rasterio = rasterio_module()
        # A Path is taken as it is; of a text, rasterio would take what follows a colon for something else.
        place = self._path if is_remote(self._path) else Path(self._path)
        try:
            return rasterio.open(place, **({"OVERVIEW_LEVEL": number - 1} if number else {}))
        except (rasterio.errors.RasterioError, OSError, UnicodeError) as error:
            raise PictureError(_not_opened(self._path, error)) from error


def _not_opened(path: str, error: Exception) -> str:
    if is_remote(path):
        return f"{in_message(path)} can't be read: {first_line(error)}; check the address, and that it may be read."
    return f"{in_message(path)} is damaged or cut short, or a raster of a kind that is not read ({first_line(error)})."


def first_line(error: BaseException) -> str:
    """Return the first line of what GDAL says, without a full stop."""
    while error.__cause__ is not None:  # rasterio says only that reading failed
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
