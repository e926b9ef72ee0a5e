import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import shape

from lookwhere_cli.output.geo.outlines import PARTS, box_geometry, mask_geometry
from lookwhere_cli.output.geo.placement import Placement
from lookwhere_cli.output.masks.polygons import outlines


def on_earth(place):
    return Placement("map.tif", (1000, 1000), place, is_earth=True)


def degrees(left, top, step):
    """A map in longitude and latitude, north up, that wraps around at 180 degrees."""

    def place(points):
        longitude = (left + points[:, 0] * step + 180) % 360 - 180
        return np.column_stack([longitude, top - points[:, 1] * step])

    return on_earth(place)


def is_right_handed(geometry):
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return all(shapely.is_ccw(shapely.LinearRing(polygon[0])) for polygon in polygons) and not any(
        shapely.is_ccw(shapely.LinearRing(hole)) for polygon in polygons for hole in polygon[1:]
    )


def test_boxes_on_slides_are_in_pixels():
    geometry = box_geometry((10.126, 20, 30, 50), Placement.in_pixels("a.svs", (100, 100)))
    assert geometry["type"] == "Polygon" and shape(geometry).bounds == (10.13, 20, 30, 50)
    assert len(geometry["coordinates"][0]) == 5 and is_right_handed(geometry)


@given(st.floats(-170, 160), st.floats(-60, 70), st.floats(0, 900), st.floats(0, 900))
def test_boxes_on_maps_are_where_their_corners_are(west, north, left, top):
    placement = degrees(west, north, 0.01)
    geometry = box_geometry((left, top, left + 100, top + 50), placement)
    corner = placement.place(np.array([(left, top)]))[0]
    assert shape(geometry).bounds == pytest.approx((corner[0], corner[1] - 0.5, corner[0] + 1, corner[1]), abs=1e-6)
    assert is_right_handed(geometry) and len(geometry["coordinates"][0]) == 5


def test_a_map_with_south_up_is_right_handed_too():
    placement = on_earth(lambda points: points * (0.01, 0.01))
    assert is_right_handed(box_geometry((0, 0, 100, 50), placement))


@pytest.mark.parametrize("west", [179.5, -180.5, 179.999])
def test_a_box_across_the_antimeridian_is_cut_there(west):
    geometry = box_geometry((0, 0, 100, 50), degrees(west, 10, 0.01))
    assert geometry["type"] == "MultiPolygon" and is_right_handed(geometry)
    drawn = shape(geometry)
    assert drawn.is_valid and drawn.area == pytest.approx(0.5, abs=1e-6)
    assert drawn.bounds[0] == -180 and drawn.bounds[2] == 180


def test_a_box_around_a_pole_covers_it():
    """A polar map: the pole in its middle, the distance to it in pixels of 0.1 degrees."""

    def place(points):
        x, y = points[:, 0] - 50, points[:, 1] - 50
        return np.column_stack([np.degrees(np.arctan2(x, y)), 90 - 0.1 * np.hypot(x, y)])

    drawn = shape(box_geometry((0, 0, 100, 100), on_earth(place)))
    assert drawn.is_valid and drawn.bounds[2] - drawn.bounds[0] == pytest.approx(360)
    assert drawn.contains(shapely.Point(12, 89.9)) and drawn.contains(shapely.Point(-170, 89.9))
    assert not drawn.contains(shapely.Point(12, 80))


def test_edges_that_are_bent_on_the_map_get_more_points():
    def place(points):
        return np.column_stack([10 + points[:, 0] * 0.001, 50 - points[:, 1] * 0.001 - (points[:, 0] / 1e4) ** 2])

    ring = box_geometry((0, 0, 1000, 1000), on_earth(place))["coordinates"][0]
    assert len(ring) == 4 * PARTS + 1
    assert len(box_geometry((0, 0, 100, 100), on_earth(place))["coordinates"][0]) == 5


def test_masks_on_maps_keep_their_holes_and_are_right_handed():
    classes = np.zeros((20, 20), np.uint8)
    classes[2:12, 2:12] = 1
    classes[5:8, 5:8] = 0
    geometry = mask_geometry(outlines(classes)[1], degrees(5, 5, 0.01))
    assert is_right_handed(geometry) and shape(geometry).is_valid
    assert shape(geometry).area == pytest.approx(91e-4) and len(shape(geometry).geoms[0].interiors) == 1


def test_a_mask_across_the_antimeridian_is_cut_there():
    classes = np.ones((10, 20), np.uint8)
    drawn = shape(mask_geometry(outlines(classes)[1], degrees(179.9, 5, 0.01)))
    assert drawn.is_valid and drawn.area == pytest.approx(0.02) and len(drawn.geoms) == 2
    assert drawn.bounds[0] == -180 and drawn.bounds[2] == 180
