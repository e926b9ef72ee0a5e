"""Masks as GeoJSON: a multipolygon for each class, in pixels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.output.masks.polygons import outlines, require_shapely
from lookwhere_cli.output.rows import Share
from lookwhere_cli.text import printable


def write_geojson(file: Path, name: str, classes: UInt8[np.ndarray, "height width"], shares: Sequence[Share]) -> None:
    """Write a mask as a FeatureCollection with a feature for each share, completely or not at all.

    name: the picture's `file_name`. classes: class indices. shares: of the classes that occur.
    Coordinates are those of `outlines`. The collection also has `file_name`, `width` and `height`.

    Raises UsageError if shapely is missing; UsageError or OutputError if the file can't be written.
    """
    shapely, shapes = require_shapely(), outlines(classes)
    height, width = classes.shape
    picture = {"file_name": printable(name), "width": width, "height": height}
    features = [
        f'{{"type": "Feature", "properties": {_json(share.to_dict())}, '
        f'"geometry": {shapely.to_geojson(shapes[share.index])}}}'
        for share in shares
    ]
    head = f'{{"type": "FeatureCollection", {_json(picture)[1:-1]}, "features": [\n'
    with whole_file(file) as stream, writing(file):
        stream.write((head + ",\n".join(features) + "\n]}\n").encode())


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
