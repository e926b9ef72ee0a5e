"""Small slides and rasters, made for tests."""

import numpy as np
import rasterio
import tifffile
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import from_origin

UTM = CRS.from_epsg(32633)
PLACE = from_origin(400_000, 5_000_000, 10, 10)


def smooth(height, width, channels=3, seed=0):
    """Waves of several lengths, without noise: resampling them in two ways gives nearly the same."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        sum(np.sin(x / rng.uniform(20, 90) + rng.uniform(0, 6)) * np.cos(y / rng.uniform(20, 90)) for _ in range(3))
        for _ in range(channels)
    ]
    return np.rint(127.5 + 40 * np.stack(waves, -1)).clip(0, 255).astype(np.uint8)


def write_raster(path, pixels, tile=64, overviews=(2, 4), crs=UTM, transform=PLACE, colours=None, **options):
    """Write (height, width, bands) as a GeoTIFF. tile: side of the tiles, or None for strips."""
    layout = {"tiled": True, "blockxsize": tile, "blockysize": tile} if tile else {}
    if colours and "alpha" in colours:
        options["alpha"] = "yes"
    height, width, count = pixels.shape
    profile = {"driver": "GTiff", "height": height, "width": width, "count": count, "dtype": pixels.dtype}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **layout, **options) as dataset:
        dataset.write(np.moveaxis(pixels, -1, 0))
        if colours is not None:
            dataset.colorinterp = [ColorInterp[name] for name in colours]
    if overviews:
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews(overviews, Resampling.average)
    return str(path)


def write_slide(path, pixels, levels=2, description="Aperio Image Library v1\n|MPP = 0.5|AppMag = 20"):
    """Write RGB pixels as an Aperio slide whose levels are four times smaller, each."""
    with tifffile.TiffWriter(path) as writer:
        for level in range(levels):
            writer.write(
                pixels[:: 4**level, :: 4**level],
                tile=(64, 64),
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": 95},
                description=description,
                metadata=None,
            )
    return str(path)
