"""GeoJSON and the pictures it is about, made in a moment."""

import json

import numpy as np
from PIL import Image


def box(left, top, right, bottom):
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)])


def polygon(*rings):
    return {"type": "Polygon", "coordinates": [[*map(list, ring), list(ring[0])] for ring in rings]}


def point(x, y):
    return {"type": "Point", "coordinates": [x, y]}


def feature(geometry, name_of_class="cell", **properties):
    given = {} if name_of_class is None else {"classification": {"name": name_of_class}}
    return {"type": "Feature", "geometry": geometry, "properties": given | properties}


def write(file, *features, **more):
    file.write_text(json.dumps({"type": "FeatureCollection", "features": list(features), **more}))
    return file


def picture(file, height, width, blank=None):
    """Noise; blank: (left, top, right, bottom) of a white part."""
    pixels = np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)
    if blank:
        left, top, right, bottom = blank
        pixels[top:bottom, left:right] = 255
    Image.fromarray(pixels).save(file)
    return pixels
