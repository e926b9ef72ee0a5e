"""From the tokens of the cells that were read to boxes: each token is asked alone, at several points of its cell.

FCOS (Tian et al. 2019): a point predicts its classes and its distances to the sides of its box.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor, nn

from lookwhere_cli.models.candidates import MASK_PLACES, MASK_TERMS
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.layers import Linear, gelu

PRIOR = 0.01
"""Probability of each class at a point before training: most points are of the background."""
Count: TypeAlias = int | Tensor
"""Cells along an axis; a tensor without axes while a graph is traced whose grid is an input."""
LONGEST = 8.0
"""Largest exponent of a distance in cells, so that no box is infinite."""


class PointNumbers(NamedTuple):
    """What the points of each cell predict, in the order of `points_of`.

    distances: to the left, top, right and bottom of the point's box, in cells. others: a score for each class before
    the sigmoid and, of a model that finds masks, the numbers that they are made of; each (batch, points, numbers).
    """

    distances: Float32[Tensor, "batch points 4"]
    others: tuple[Float32[Tensor, "batch points numbers"], ...]


class Detector(nn.Module):
    """A layer for both questions, then a layer and an output for each: which classes, and how far the sides are."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.side, channels = config.detect_points, config.detect_channels
        points = self.side**2
        self.shared = Linear(config.dim, channels)
        self.class_hidden = Linear(channels, channels)
        self.class_head = Linear(channels, points * len(config.labels))
        self.box_hidden = Linear(channels, channels)
        self.box_head = Linear(channels, points * 4)
        self.masks = MaskLayers(config) if config.has_masks else None
        self._start_near_background()

    def _start_near_background(self) -> None:
        """Let training begin at the background's probability, and at boxes of two cells a side."""
        for head, bias in ((self.class_head, math.log(PRIOR / (1 - PRIOR))), (self.box_head, 0.0)):
            nn.init.normal_(head.weight, std=0.01)
            nn.init.constant_(head.bias, bias)

    def forward(
        self, tokens: Float[Tensor, "batch k dim"], cells: Int[Tensor, "batch k"], grid: Grid
    ) -> Float32[Tensor, "batch candidates numbers"]:
        """Return the candidates of each picture; see `candidates` for their numbers. Lengths are in cells of `grid`."""
        with torch.autocast(tokens.device.type, enabled=False):  # bfloat16 is too coarse for the sides of boxes
            found = self.predict(tokens)
        points = points_of(cells, grid, self.side)
        return torch.cat([boxes_around(points, found.distances), points, *found.others], dim=-1)

    def predict(self, tokens: Float[Tensor, "batch k dim"]) -> PointNumbers:
        """Return what the points of each cell predict."""
        hidden = gelu(self.shared(tokens.to(self.shared.weight.dtype)))
        classes = self.class_head(gelu(self.class_hidden(hidden))).float()
        distances = self.box_head(gelu(self.box_hidden(hidden))).float().clamp(max=LONGEST).exp()
        batch, points = tokens.shape[0], tokens.shape[1] * self.side**2
        masks = () if self.masks is None else (self.masks(hidden),)
        return PointNumbers(distances.reshape(batch, points, 4), (classes.reshape(batch, points, -1), *masks))


class MaskLayers(nn.Module):
    """The numbers that the masks of objects are made of, for each point (see `split_numbers`).

    A mask is a sum of channels, weighted by the factors of its object's point (YOLACT, Bolya et al. 2019), and of terms
    of the place in its box, which tell objects of a class apart that touch each other, and the shape of small ones.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, points = config.detect_channels, config.detect_points**2
        self.points = points
        self.factor_hidden = Linear(channels, channels)
        self.factor_head = Linear(channels, points * (config.detect_mask_channels + MASK_TERMS))
        self.value_hidden = Linear(channels, channels)
        self.value_head = Linear(channels, MASK_PLACES**2 * config.detect_mask_channels)
        self._start_as_ellipses(config.detect_mask_channels)

    def _start_as_ellipses(self, channels: int) -> None:
        """Let training begin at the ellipse in each box: 2 - 2 x squared - 2 y squared."""
        nn.init.normal_(self.factor_head.weight, std=0.01)
        start = torch.tensor([0.0] * channels + [2.0, 0.0, 0.0, -2.0, -2.0, 0.0])
        with torch.no_grad():
            self.factor_head.bias.copy_(start.repeat(self.points))

    def forward(self, hidden: Float[Tensor, "batch k channels"]) -> Float32[Tensor, "batch candidates numbers"]:
        """Return the numbers of each point, those of a cell in the order of `points_of`."""
        factors = self.factor_head(gelu(self.factor_hidden(hidden))).float()
        values = self.value_head(gelu(self.value_hidden(hidden))).float()
        batch, points = hidden.shape[0], hidden.shape[1] * self.points
        return torch.cat([factors.reshape(batch, points, -1), values.reshape(batch, points, -1)], dim=-1)


def points_of(cells: Int[Tensor, "batch k"], grid: tuple[Count, Count], side: int) -> Float32[Tensor, "batch points 2"]:
    """Return the (x, y) of side x side points in each cell, in cells of `grid`, row by row."""
    within = (torch.arange(side, device=cells.device, dtype=torch.float32) + 0.5) / side
    offsets = torch.stack([within.repeat(side), within.repeat_interleave(side)], dim=-1)
    corners = torch.stack([cells % grid[1], cells // grid[1]], dim=-1).float()
    return (corners[:, :, None] + offsets).flatten(1, 2)


def boxes_around(
    points: Float[Tensor, "batch points 2"], distances: Float[Tensor, "batch points 4"]
) -> Float[Tensor, "batch points 4"]:
    """Return left, top, right, bottom of the boxes whose sides are at these distances from their points."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)
