"""Where GeoJSON puts a source's pixels, and how large they are."""

from __future__ import annotations

from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.source import Source
from lookwhere_cli.images.view import View
from lookwhere_cli.output.geo.areas import area_on_earth
from lookwhere_cli.output.geo.placement import Placement


def placement_of(source: Source) -> Placement:
    """Return the coordinates of a slide or raster; pixels for other sources."""
    path = getattr(source, "path", "")
    if not is_large(source):
        return Placement.in_pixels(path, source.size)
    return Placement(path, source.size, source.place, source.coordinates != "pixels")


def placement_of_large(view: View | None) -> Placement | None:
    """Return the coordinates of a slide or raster; None for all other pictures."""
    return placement_of(view.source) if view is not None and is_large(view.source) else None


def area_of(source: Source, box: Box) -> tuple[float, str] | None:
    """Return what a box of full-resolution pixels covers, in m² or µm²; None if the source does not tell."""
    if not is_large(source):
        return None
    placement, spacing = placement_of(source), source.spacing
    if placement.is_earth:
        return area_on_earth(box, placement), "m²"
    if spacing is None:
        return None
    return (box[2] - box[0]) * spacing.across * (box[3] - box[1]) * spacing.down, f"{spacing.unit}²"
