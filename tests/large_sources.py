"""Large sources in memory, for tests of everything that reads by windows."""

import numpy as np

from lookwhere_cli.images.large.base import Coordinates, Spacing
from lookwhere_cli.images.source import DecodedSource


class ArraySource:
    """An array as a large source: pixels of 255 in all channels hold nothing.

    reads: the boxes that were read, in order. step: degrees per pixel, with which coordinates are longitude and
    latitude from (10, 50) on; None for pixels.
    """

    def __init__(self, pixels, path="made.svs", spacing=None, step=None, notes=()):
        height, width = pixels.shape[:2]
        self.pixels, self.path, self.notes, self.step = pixels, path, notes, step
        self.size = (height, width)
        self.spacing: Spacing | None = spacing
        self.coordinates: Coordinates = "pixels" if step is None else "longitude and latitude"
        self.reads: list[tuple[float, float, float, float]] = []
        self.closed = False
        self._decoded = DecodedSource(pixels, self.size, (0, 0, width, height), path)

    def read(self, box, height, width):
        self.reads.append(box)
        return self._decoded.read(box, height, width)

    def content(self, box, height, width):
        holds = (self.pixels != 255).any(axis=2).astype(np.uint8) * 255
        made = DecodedSource(np.repeat(holds[..., None], 3, axis=2), self.size, self._decoded.place)
        return made.read(box, height, width)[..., 0].astype(np.float32) / 255

    def place(self, points):
        if self.step is None:
            return points
        return np.column_stack([10 + points[:, 0] * self.step, 50 - points[:, 1] * self.step])

    def locate(self, points):
        if self.step is None:
            return points
        return np.column_stack([(points[:, 0] - 10) / self.step, (50 - points[:, 1]) / self.step])

    def close(self):
        self.closed = True
