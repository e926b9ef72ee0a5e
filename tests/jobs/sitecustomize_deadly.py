"""For processes of tests (as `sitecustomize`): a picture named deadly ends the process that opens it."""

import os
import pathlib

_open = pathlib.Path.open


def _opened(path, *arguments, **options):
    if path.name.startswith("deadly"):
        os._exit(7)
    return _open(path, *arguments, **options)


pathlib.Path.open = _opened
