import numpy as np
import pytest
from rasterio.warp import transform

from lookwhere_cli.output.geo.areas import area_on_earth
from lookwhere_cli.output.geo.placement import Placement


def test_a_world_map_has_the_area_of_the_earth():
    world = Placement(
        "w", (180, 360), lambda points: np.column_stack([points[:, 0] - 180, 90 - points[:, 1]]), is_earth=True
    )
    assert area_on_earth((0, 0, 180, 180), world) * 2 == pytest.approx(510_065_621_724_000, rel=1e-9)
    assert area_on_earth((0, 0, 1, 10), world) < 0.1 * area_on_earth((0, 80, 1, 90), world)


@pytest.mark.parametrize(("code", "x", "y", "scale"), [("EPSG:32618", 5e5, 4.5e6, 0.9996), ("EPSG:3035", 4e6, 3e6, 1)])
def test_pixels_of_projected_maps_have_their_area(code, x, y, scale):
    def place(points):
        return np.column_stack(transform(code, "EPSG:4326", x + 10 * points[:, 0], y - 10 * points[:, 1]))

    area = area_on_earth((0, 0, 200, 100), Placement("p", (100, 200), place, is_earth=True))
    assert area == pytest.approx(200 * 100 * 100 / scale**2, rel=1e-5)
