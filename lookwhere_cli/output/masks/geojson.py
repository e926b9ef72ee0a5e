"""Masks as GeoJSON: a multipolygon for each class, in pixels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.output.masks.polygons import outlines, shapely
from lookwhere_cli.output.rows import Share
from lookwhere_cli.text import printable


def write_geojson(file: Path, name: str, classes: NDArray[np.uint8], shares: Sequence[Share]) -> None:
    """Write class indices (height, width) as a FeatureCollection, whole or not at all: a feature for each share.

    Coordinates are `outlines`' own; `file_name`, the picture's `name`, `width` and `height` stand beside the features.
    Raises UsageError where shapely is missing; UsageError or OutputError where the file can't be written.
    """
    library, shapes = shapely(), outlines(classes)
    height, width = classes.shape
    picture = {"file_name": printable(name), "width": width, "height": height}
    features = [
        f'{{"type": "Feature", "properties": {_json(share.to_dict())}, '
        f'"geometry": {library.to_geojson(shapes[share.index])}}}'
        for share in shares
    ]
    head = f'{{"type": "FeatureCollection", {_json(picture)[1:-1]}, "features": [\n'
    with whole_file(file) as stream, writing(file):
        stream.write((head + ",\n".join(features) + "\n]}\n").encode())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
