"""Views that show parts of four pictures, which meet in a point: what a window of a large picture may show, too.

"YOLOv4: Optimal Speed and Accuracy of Object Detection", Bochkovskiy, Wang, Liao, arXiv 2004.10934. Unlike there, a
part is as much magnified as a view of one picture would be; where the recipe's area is above 1, up to as much reduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from lookwhere_cli.training.augment import Augmentation, augmented, transposed
from lookwhere_cli.training.sample import Sample

PARTS = 4
"""Pictures in a mosaic: left top, right top, left bottom, right bottom."""
EDGE = 0.1
"""Share of a side, from each end, in which parts do not meet: narrower parts would show nothing."""


def mosaic(samples: Sequence[Sample], size: tuple[int, int], recipe: Augmentation, seed: int) -> Sample:
    """Return a view of four samples at `size` (height, width), from the seed alone; each part is changed by itself.

    Objects are cut to their part, and dropped as `augmented` drops them. Samples are of one task, and have no regions
    worth reading. Not for use in several threads, as `augmented`.
    """
    rng = np.random.default_rng((seed, PARTS))
    down, across = (round(length * rng.uniform(EDGE, 1 - EDGE)) for length in size)
    seeds = rng.integers(2**62, size=PARTS).tolist()
    corners = [(0, 0), (0, across), (down, 0), (down, across)]
    parts = []
    for sample, (top, left), own in zip(samples, corners, seeds, strict=True):
        shape = down if top == 0 else size[0] - down, across if left == 0 else size[1] - across
        if recipe.turn and size[0] == size[1] and rng.random() < 0.5:
            sample = transposed(sample)
        share = shape[0] * shape[1] / (size[0] * size[1])
        part = augmented(sample, shape, replace(recipe, area=(recipe.area[0] * share, recipe.area[1] * share)), own)
        moved = None if part.objects is None else part.objects + torch.tensor([left, top] * 2)
        parts.append(part._replace(objects=moved))
    pictures, masks, objects, kinds, rasters = (
        [getattr(part, name) for part in parts] for name in ("picture", "mask", "objects", "kinds", "rasters")
    )
    return Sample(
        _joined(pictures),
        None if masks[0] is None else _joined(masks),
        objects=None if objects[0] is None else torch.cat(objects),
        kinds=None if kinds[0] is None else torch.cat(kinds),
        rasters=None if rasters[0] is None else torch.cat(rasters),
    )


def _joined(parts: Sequence[Shaped[Tensor, "*channels _ _"]]) -> Shaped[Tensor, "*channels height width"]:
    """Join four parts, two beside each other in each of two rows."""
    return torch.cat([torch.cat(list(parts[row : row + 2]), -1) for row in (0, 2)], -2)
