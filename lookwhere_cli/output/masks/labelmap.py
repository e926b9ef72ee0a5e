"""labelmap.txt: the names and colours of the classes of a folder of masks, as CVAT and Pascal VOC's tools read them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.text import on_one_line

NAME = "labelmap.txt"
HEADER = "# label:color_rgb:parts:actions"


def labelmap(labels: Sequence[str], palette: UInt8[np.ndarray, "classes 3"]) -> str:
    """Return the file's text: a comment that names the fields, then a line `label:r,g,b::` for each class by index."""
    colours = (",".join(map(str, colour)) for colour in palette.tolist())
    lines = [f"{on_one_line(label)}:{colour}::" for label, colour in zip(labels, colours, strict=True)]
    return "\n".join([HEADER, *lines, ""])


def write_labelmap(folder: Path, text: str, overwrite: bool) -> None:
    """Write labelmap.txt into the folder, unless it has the same text already.

    Raises UsageError if it has another text and `overwrite` is false, or if the file can't be written.
    """
    file = folder / NAME
    if file.is_file():
        if file.read_text(encoding="utf-8", errors="replace") == text:
            return
        if not overwrite:
            raise UsageError(
                f"{str(file)!r} names other classes than this model's; choose another --out, or --overwrite."
            )
    with whole_file(file) as stream, writing(file):
        stream.write(text.encode())
