"""Pictures and files of boxes that are made in a moment, and what was read of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import LookWhereError


def pictures(root: Path, *names: str, size: tuple[int, int] = (100, 80), orientation: int = 1) -> Path:
    """Save grey pictures of (width, height) pixels as stored."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size).save(root / name, exif=exif)
    return root


def write(file: Path, content: Any) -> Path:
    """Write text, lines, or anything else as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def boxes(labelled: LabelledSet) -> dict[str, list[tuple[Any, ...]]]:
    """The class and the sides of each box, by the picture's name; a crowd has a fifth side."""
    return {
        labelled.name(one): [
            (labelled.classes[index], *sides, *(["crowd"] if crowd else []))
            for sides, index, crowd in zip(
                one.objects.boxes.tolist(), one.objects.classes.tolist(), one.objects.crowd.tolist(), strict=True
            )
        ]
        for one in labelled.examples
        if one.objects is not None
    }


def splits(labelled: LabelledSet) -> dict[str, str | None]:
    return {labelled.name(one): one.split for one in labelled.examples}


def failure(kind: type[LookWhereError], data: Path, **options: Any) -> str:
    with pytest.raises(kind) as raised:
        read_examples(data, **options)
    return str(raised.value)
