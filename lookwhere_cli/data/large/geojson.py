"""GeoJSON as people draw labels in it: QuPath's annotations of slides, and points and polygons on maps (RFC 7946)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from lookwhere_cli.data.text_file import read_text_file
from lookwhere_cli.data.wording import list_names, suggest
from lookwhere_cli.errors import DataError

CLASS_PROPERTIES = ("classification", "label", "class", "name")
"""Properties that hold the class; QuPath's `classification` is an object with a name."""
CORNERS = 3
_DEGREES = re.compile(r"(?i).*(CRS:?84|EPSG:(.*:)?4326|WGS ?84)")
"""Names of the CRS of RFC 7946, as files write them that name it."""


@dataclass(frozen=True)
class LabelFeature:
    """A feature: a class, and where it is.

    Attributes:
        place: which feature of which file it is, to begin a message with.
        label: the name of its class.
        points: places of a single point each; empty for polygons.
        polygons: the rings of each polygon: its outline, then its holes; empty for points. Each ring is (corners, 2) as
            the file has it, without the first corner again at the end.
        names_degrees: the file says that it is in longitude and latitude.
    """

    place: str
    label: str
    points: Float64[ndarray, "n 2"]
    polygons: tuple[tuple[Float64[ndarray, "corners 2"], ...], ...]
    names_degrees: bool = False


def read_geojson(file: Path, label_property: str | None = None) -> list[LabelFeature]:
    """Read the features of a file: a FeatureCollection, a list of features as older QuPath writes it, or one feature.

    label_property: the property that holds the class, if it is not one of CLASS_PROPERTIES; a dot leads into an object.
    Raises UsageError if the file can't be read, DataError if it is no GeoJSON, is in a CRS of its own, or has a feature
    without class or place.
    """
    found, names_degrees = _features(file)
    features = [(f"Feature {number} of {str(file)!r}", feature) for number, feature in enumerate(found, start=1)]
    return [
        replace(_feature(place, feature, label_property), names_degrees=names_degrees) for place, feature in features
    ]


def _features(file: Path) -> tuple[list[Any], bool]:
    """Return the features as JSON has them, and whether the file says that it is in degrees."""
    try:
        content = json.loads(read_text_file(file, repr(str(file))))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{str(file)!r} is not JSON: {error}.") from error
    names_degrees = _names_degrees(file, content)
    if isinstance(content, dict) and content.get("type") == "Feature":
        return [content], names_degrees
    features = content.get("features") if isinstance(content, dict) else content
    if not isinstance(features, list):
        kind = repr(content.get("type")) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{str(file)!r} is not a FeatureCollection of GeoJSON, but {kind}; export the labels as one.")
    return features, names_degrees


def _names_degrees(file: Path, content: Any) -> bool:
    """Return True for a file that names a CRS. Raises DataError for one other than longitude and latitude."""
    crs = content.get("crs") if isinstance(content, dict) else None
    if crs is None:
        return False
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = str(properties.get("name", crs)) if isinstance(properties, dict) else str(crs)
    if not _DEGREES.fullmatch(name):
        raise DataError(
            f"{str(file)!r} is in the CRS {name!r}, but GeoJSON is longitude and latitude (RFC 7946), or pixels for "
            "slides; export it as EPSG:4326."
        )
    return True


def _feature(place: str, feature: Any, label_property: str | None) -> LabelFeature:
    if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
        raise DataError(f"{place} has no geometry; draw one, or remove the feature.")
    label = _label(place, feature.get("properties"), label_property)
    points, polygons = [], []
    for kind, coordinates in _parts(feature["geometry"]):
        if kind == "Point":
            points.append(_positions(place, [coordinates])[0])
        elif kind == "Polygon":
            polygons.append(_rings(place, coordinates))
        else:
            raise DataError(f"{place} is a {kind}; labels are points, polygons and boxes. Draw one, or remove it.")
    if bool(points) == bool(polygons):
        what = "points and polygons together" if points else "no coordinates"
        raise DataError(f"{place} has {what}; make it points or polygons.")
    return LabelFeature(place, label, np.array(points, np.float64).reshape(-1, 2), tuple(polygons))


def _parts(geometry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the kind and the coordinates of each part of a geometry."""
    kind = str(geometry.get("type"))
    if kind == "GeometryCollection":
        for one in geometry.get("geometries") or ():
            yield from _parts(one if isinstance(one, dict) else {})
    elif kind in ("MultiPoint", "MultiPolygon"):
        coordinates = geometry.get("coordinates")
        yield from ((kind.removeprefix("Multi"), one) for one in (coordinates if isinstance(coordinates, list) else ()))
    else:
        yield kind, geometry.get("coordinates")


def _rings(place: str, coordinates: Any) -> tuple[Float64[ndarray, "corners 2"], ...]:
    if not isinstance(coordinates, list) or not coordinates:
        raise DataError(f"{place} is a polygon without corners; draw it, or remove it.")
    rings = []
    for ring in coordinates:
        corners = _positions(place, ring)
        if len(corners) > 1 and (corners[0] == corners[-1]).all():
            corners = corners[:-1]
        if len(corners) < CORNERS:
            raise DataError(f"{place} is a polygon with {len(corners)} corners; it takes three or more.")
        rings.append(corners)
    return tuple(rings)


def _positions(place: str, values: Any) -> Float64[ndarray, "n 2"]:
    """Return (x, y) of positions; a third number, as the height, is left out."""
    positions = values if isinstance(values, list) else []
    pairs = [one[:2] for one in positions if isinstance(one, list) and len(one) > 1]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for pair in pairs for value in pair)
    if not pairs or len(pairs) != len(positions) or not numbers:
        raise DataError(f"{place} has coordinates that are not pairs of numbers: {_shortened(values)}.")
    found = np.array(pairs, np.float64)
    if not np.isfinite(found).all():
        raise DataError(f"{place} has coordinates that are not finite: {_shortened(values)}.")
    return found


def _shortened(value: Any, most: int = 60) -> str:
    text = json.dumps(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _label(place: str, properties: Any, label_property: str | None) -> str:
    """Return the name of a feature's class. Raises DataError if there is none."""
    given: dict[str, Any] = properties if isinstance(properties, dict) else {}
    names = CLASS_PROPERTIES if label_property is None else (label_property,)
    label = next((label for name in names if (label := _text(_value(given, name)))), None)
    if label is not None:
        return label
    if label_property is not None and label_property.partition(".")[0] not in given:
        raise DataError(f"{place} has no property {label_property!r}. {_present(label_property, given)}")
    where = "as classification.name (QuPath), label, class or name; --label-column names another property"
    raise DataError(f"{place} has no class; give it one, {where}. {_present('', given)}".rstrip())


def _present(name: str, given: dict[str, Any]) -> str:
    if not given:
        return "It has no properties."
    return suggest(name, given) if name else f"It has {list_names(list(given))}."


def _value(properties: dict[str, Any], name: str) -> Any:
    """Return the value of a property, or of one inside it after a dot; None if there is none."""
    if name in properties:
        return properties[name]
    first, dot, rest = name.partition(".")
    inner = properties.get(first)
    return _value(inner, rest) if dot and isinstance(inner, dict) else None


def _text(value: Any) -> str:
    """Return the name that a value gives to a class; "" for none."""
    if isinstance(value, dict):
        names: Sequence[Any] = value["names"] if isinstance(value.get("names"), list) else [value.get("name")]
        return ": ".join(filter(None, map(_text, names)))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
