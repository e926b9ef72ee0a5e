"""The classes' names and colours beside their masks, as CVAT and Pascal VOC's tools read them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.text import on_one_line

NAME = "labelmap.txt"
HEADER = "# label:color_rgb:parts:actions"


def labelmap(labels: Sequence[str], palette: NDArray[np.uint8]) -> str:
    """A line `label:r,g,b::` for each class, in the order of the indices, below a comment that names the fields."""
    colours = (",".join(map(str, colour)) for colour in palette.tolist())
    lines = [f"{on_one_line(label)}:{colour}::" for label, colour in zip(labels, colours, strict=True)]
    return "\n".join([HEADER, *lines, ""])


def write_labelmap(folder: Path, text: str, overwrite: bool) -> None:
    """Write labelmap.txt, unless the same is there. Raises UsageError where another one is, or it can't be written."""
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
