"""What a file is, and how it would be read: sizes, levels, bands, values, where it lies; no pixel is decoded for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from lookwhere_cli.images.films.describe import describe_film
from lookwhere_cli.images.films.names import is_film
from lookwhere_cli.images.frame import Reading, frame_for
from lookwhere_cli.images.header import header_notes, opened_picture
from lookwhere_cli.images.large.georeference import Georeference
from lookwhere_cli.images.large.levels import scale_for
from lookwhere_cli.images.large.open import open_large, plain_notes
from lookwhere_cli.images.large.pyramid import PyramidSource
from lookwhere_cli.text import counted

Facts: TypeAlias = dict[str, Any]
"""What is known of a file: numbers, texts, lists and dictionaries that JSON can hold."""
_ORIENTATION = 274
_DTYPES = {"1": "1 bit", "F": "float32", "I": "int32"}


def file_facts(path: str, reading: Reading) -> Facts:
    """Return what a file is, and how it is read with a model's `reading`.

    Always: path, read_as ("slide", "raster", "picture" or "film"), format, width, height (as displayed) and notes; of
    all but films, grid (rows, columns) and patch. Raises PictureError for a file that can't be read.
    """
    source = open_large(path, reading)
    if source is None:
        return _film_facts(path) if is_film(path) else _picture_facts(path, reading)
    try:
        facts = {"path": path, **_facts_of(source), **_reading_facts(source.size, reading)}
        if isinstance(source, PyramidSource):
            facts["level"] = _level_read(source, reading)
        return {**facts, "notes": list(source.header_notes if hasattr(source, "header_notes") else source.notes)}
    finally:
        source.close()


def _facts_of(source: Any) -> Facts:
    height, width = source.size
    common = {"read_as": "slide", "format": source.format, "width": width, "height": height}
    if hasattr(source, "properties"):
        return {**common, **_slide_facts(source)}
    return {**common, "read_as": "raster", **_raster_facts(source)}


def _slide_facts(slide: Any) -> Facts:
    spacing, properties = slide.spacing, slide.properties
    facts: Facts = {"microns_per_pixel": None if spacing is None else [spacing.across, spacing.down]}
    facts["objective_power"] = properties.get("openslide.objective-power")
    if slide.origin != (0, 0) or slide.size != slide.levels[0].size:
        top, left = slide.origin
        facts["bounds_in_file"] = [left, top, left + slide.size[1], top + slide.size[0]]
    return {**facts, "bands": 3, "dtype": "uint8", "levels": _level_facts(slide)}


def _raster_facts(raster: Any) -> Facts:
    header, spacing = raster.header, raster.spacing
    facts: Facts = {
        "bands": header.bands,
        "bands_read": list(header.choice.colours),
        "dtype": str(header.dtype),
        "nodata": _number(header.nodata[0]),
        "mask": "alpha" if header.choice.alpha else "mask" if header.has_mask else None,
        "crs": None,
        "metres_per_pixel": None if spacing is None else [spacing.across, spacing.down],
        "levels": _level_facts(raster),
    }
    return facts if raster.georeference is None else facts | _place_facts(raster, raster.georeference)


def _place_facts(raster: Any, georeference: Georeference) -> Facts:
    """Return the CRS, and the bounds in it and in degrees (west, south, east, north)."""
    height, width = raster.size
    edge = np.linspace(0, 1, 9)
    along = [(edge * width, edge * 0), (edge * width, edge * 0 + height), (edge * 0, edge * height)]
    points = np.concatenate([np.column_stack(one) for one in [*along, (edge * 0 + width, edge * height)]])
    x, y = georeference.project(points)
    degrees = georeference.longitude_latitude(points)
    crs = georeference.crs
    return {
        "crs": crs.to_string() if crs.to_epsg() else crs.to_wkt(),
        "bounds": _box(x, y),
        "longitude_latitude": _box(*degrees[np.isfinite(degrees).all(axis=1)].T),
    }


def _box(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> list[float] | None:
    return [float(x.min()), float(y.min()), float(x.max()), float(y.max())] if x.size else None


def _number(value: float | None) -> float | str | None:
    """Return a number that JSON can hold: not-a-number and infinity as text."""
    return value if value is None or np.isfinite(value) else str(value)


def _level_facts(source: PyramidSource) -> list[Facts]:
    return [
        {
            "width": level.size[1],
            "height": level.size[0],
            "downsample": round(level.step[1], 4),
            "tile_width": level.tile[1],
            "tile_height": level.tile[0],
        }
        for level in source.levels
    ]


def _reading_facts(size: tuple[int, int], reading: Reading) -> Facts:
    grid, _ = frame_for(*size, reading)
    return {"grid": list(grid), "patch": reading.patch}


def _level_read(source: PyramidSource, reading: Reading) -> int:
    """Return the level, from 0, that cells are read from."""
    grid, (left, top, right, bottom) = frame_for(*source.size, reading)
    down, across = (bottom - top) / (grid[0] * reading.patch), (right - left) / (grid[1] * reading.patch)
    return scale_for(source.levels, down, across).number


def _picture_facts(path: str, reading: Reading) -> Facts:
    with opened_picture(path, path, reading.max_pixels) as picture:
        notes = (*header_notes(picture), *plain_notes(path, reading))
        orientation = _orientation(picture)
        height, width = (picture.width, picture.height) if orientation >= 5 else (picture.height, picture.width)
        return {
            "path": path,
            "read_as": "picture",
            "format": picture.format,
            "width": width,
            "height": height,
            "bands": len(picture.getbands()),
            "dtype": "uint16" if picture.mode.startswith("I;16") else _DTYPES.get(picture.mode, "uint8"),
            "mode": picture.mode,
            "frames": getattr(picture, "n_frames", 1),
            "orientation": orientation,
            "colour_profile": bool(picture.info.get("icc_profile")),
            **_reading_facts((height, width), reading),
            "notes": list(notes),
        }


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 where Pillow turns the picture itself."""
    from lookwhere_cli.images.header import turn_of
    from lookwhere_cli.images.orientation import TURNS

    turn = turn_of(picture)
    return next(number for number, one in TURNS.items() if one == turn)


def _film_facts(path: str) -> Facts:
    """Return what a film is. Raises PictureError without the extra, or if it holds no pictures."""
    film = describe_film(path)
    height, width = film.size
    return {
        "path": path,
        "read_as": "film",
        "format": film.container,
        "codec": film.coding,
        "width": width,
        "height": height,
        "frames": film.frames,
        "frames_per_second": film.rate,
        "seconds": film.seconds,
        "turned": film.turned,
        "streams": list(film.streams),
        "notes": ["variable frame rate"] if film.varies else [],
    }


def lines(facts: Facts) -> Iterable[tuple[str, str]]:
    """Yield names and values of the facts, as people read them."""
    yield "read as", _read_as(facts)
    yield "format", _format(facts)
    yield "size", f"{facts['width']} x {facts['height']} px"
    yield from _film_lines(facts)
    yield from _value_lines(facts)
    yield from _place_lines(facts)
    for place, level in enumerate(facts.get("levels", ())):
        yield ("" if place else "levels"), _level(level, place == facts.get("level"))
    for place, note in enumerate(facts["notes"]):
        yield ("" if place else "notes"), note


def _read_as(facts: Facts) -> str:
    if "grid" not in facts:
        return "film, frame by frame"
    rows, columns = facts["grid"]
    return f"{facts['read_as']}, {rows} x {columns} cells of {facts['patch']} px"


def _format(facts: Facts) -> str:
    return ", ".join(str(facts[name]) for name in ("format", "codec", "mode") if facts.get(name))


def _film_lines(facts: Facts) -> Iterable[tuple[str, str]]:
    if facts.get("frames_per_second"):
        yield "rate", f"{facts['frames_per_second']:g} frames per second"
    if facts.get("seconds"):
        yield "length", f"{facts['seconds']:g} s"
    if (frames := facts.get("frames")) and frames > 1:
        yield "frames", str(frames)
    if facts.get("turned"):
        yield "turned", f"by {facts['turned']} degrees"
    for place, stream in enumerate(facts.get("streams", ())):
        yield ("" if place else "streams"), stream
    if facts.get("orientation", 1) != 1:
        yield "turned", f"as EXIF orientation {facts['orientation']} says"


def _value_lines(facts: Facts) -> Iterable[tuple[str, str]]:
    if "bands" in facts:
        read = facts.get("bands_read", [])
        chosen = f", of which {', '.join(map(str, read))} are read" if 0 < len(read) < facts["bands"] else ""
        yield "bands", f"{facts['bands']} of {facts['dtype']}{chosen}"
    if facts.get("nodata") is not None:
        yield "no data", f"{facts['nodata']:g}" if isinstance(facts["nodata"], float) else facts["nodata"]
    if facts.get("mask"):
        yield "mask", facts["mask"]
    if facts.get("colour_profile"):
        yield "colours", "by an ICC profile"


def _place_lines(facts: Facts) -> Iterable[tuple[str, str]]:
    for name, unit in (("microns_per_pixel", "µm"), ("metres_per_pixel", "m")):
        if name in facts:
            sizes = facts[name]
            yield "pixel", "size unknown" if sizes is None else f"{sizes[0]:.6g} x {sizes[1]:.6g} {unit}"
    if facts.get("objective_power"):
        yield "objective", f"{facts['objective_power']}x"
    if "bounds_in_file" in facts:
        yield "scanned", "{:g}, {:g} to {:g}, {:g} px of the file".format(*facts["bounds_in_file"])
    if "crs" in facts:
        yield (
            "CRS",
            (facts["crs"] or "none").partition("[")[0] if len(facts["crs"] or "") > 200 else facts["crs"] or "none",
        )
    if facts.get("bounds"):
        yield "bounds", "{:.10g}, {:.10g} to {:.10g}, {:.10g}".format(*facts["bounds"])
    if facts.get("longitude_latitude"):
        yield (
            "degrees",
            "{:.6f}, {:.6f} to {:.6f}, {:.6f} (west, south to east, north)".format(*facts["longitude_latitude"]),
        )


def _level(level: Facts, is_read: bool) -> str:
    read = ", read for the cells" if is_read else ""
    return f"{level['width']} x {level['height']} (1:{level['downsample']:g}), {_tiles(level)}{read}"


def _tiles(level: Facts) -> str:
    if level["tile_width"] < level["width"]:
        return f"tiles of {level['tile_width']} x {level['tile_height']}"
    rows = level["tile_height"]
    return f"strips of {counted(rows, 'row')}" if rows < level["height"] else "in one piece"
