"""Masks of objects in training: each is a raster of shares over its object's box, and follows the box."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from numpy import ndarray
from PIL import Image
from torch import Tensor

from lookwhere_cli.metrics.scores import TrueBoxes
from lookwhere_cli.models.candidates import MASK_SIDE
from lookwhere_cli.output.masks.run_lengths import decode_part, encode_outline

RASTER = 2 * MASK_SIDE
"""Rows and columns of a raster: twice those of a mask, so that a crop through an object has the detail it needs."""


def rasters_of(objects: TrueBoxes) -> Float32[Tensor, "objects rows columns"]:
    """Return the share of each place in each object's box that belongs to the object, 0..1.

    NaN for an object without an outline. Raises UsageError without pycocotools.
    """
    unknown = np.full((RASTER, RASTER), np.nan, np.float32)
    rasters = [unknown] * len(objects.boxes)
    if objects.outlines is not None:
        size, shapes = objects.outlines
        pairs = zip(objects.boxes.tolist(), shapes, strict=True)
        rasters = [unknown if shape is None else _raster(shape, size, box) for box, shape in pairs]
    return torch.from_numpy(np.stack(rasters)) if rasters else torch.zeros(0, RASTER, RASTER)


def _raster(shape: Any, size: tuple[int, int], box: list[float]) -> Float32[ndarray, "rows columns"]:
    part, first_column, first_row = decode_part(encode_outline(shape, size))
    left, top, right, bottom = box
    column, row = math.floor(left), math.floor(top)
    pixels = np.zeros((math.ceil(bottom) - row, math.ceil(right) - column), np.uint8)
    # The outline may reach beyond its box, and the box beyond its outline.
    from_row, from_column = max(row, first_row), max(column, first_column)
    to_row = min(row + len(pixels), first_row + len(part))
    to_column = min(column + pixels.shape[1], first_column + part.shape[1])
    if to_row > from_row and to_column > from_column:
        inside = part[from_row - first_row : to_row - first_row, from_column - first_column : to_column - first_column]
        pixels[from_row - row : to_row - row, from_column - column : to_column - column] = 255 * inside
    within = (left - column, top - row, right - column, bottom - row)
    resized = Image.fromarray(pixels).resize((RASTER, RASTER), Image.Resampling.BOX, box=within)
    return np.asarray(resized, np.float32) / 255


def cut_rasters(
    rasters: Float[Tensor, "objects rows columns"], boxes: Float[Tensor, "objects 4"], parts: Float[Tensor, "objects 4"]
) -> Float[Tensor, "objects rows columns"]:
    """Return the rasters of parts of the boxes, with as many places. A part lies in its box, in the same lengths."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2).clamp(min=1e-6)
    left, top, right, bottom = ((parts - boxes[:, :2].repeat(1, 2)) / sides).unbind(1)
    is_cut = ((left > 0) | (top > 0) | (right < 1) | (bottom < 1)).nonzero()[:, 0]
    if not len(is_cut):
        return rasters
    scale, middle = torch.stack([right - left, bottom - top], 1), torch.stack([left + right, top + bottom], 1) - 1
    theta = torch.cat([torch.diag_embed(scale), middle[:, :, None]], dim=2)[is_cut]
    places = F.affine_grid(theta, [len(is_cut), 1, *rasters.shape[1:]], align_corners=False)
    sampled = F.grid_sample(rasters[is_cut, None], places, padding_mode="border", align_corners=False)
    return rasters.index_copy(0, is_cut, sampled[:, 0])


def as_targets(rasters: Float[Tensor, "objects rows columns"]) -> Float[Tensor, "objects places"]:
    """Return the share of each of MASK_SIDE x MASK_SIDE places, row by row."""
    return rasters.reshape(len(rasters), MASK_SIDE, 2, MASK_SIDE, 2).mean((2, 4)).flatten(1)
