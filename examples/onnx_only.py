"""Classify photographs with an exported model: onnxruntime, NumPy and Pillow, nothing else.

    lookwhere export lookwhere-tiny-in1k --out tiny-onnx
    python onnx_only.py tiny-onnx photo.jpg ...

It prints each photograph's path and best label. For models that give one label and read no coarse thumbnail.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def grid_for(height, width, side):
    """Choose (rows, columns), at most side * side cells in all, for a picture of height x width."""
    if height > width:
        return grid_for(width, height, side)[::-1]

    def cost(grid):
        """Return how unlike the picture the grid is, its missing cells included; then the shape alone."""
        distortion = abs(math.log(grid[1] * height / (grid[0] * width)))
        return round(distortion + math.log(side / math.sqrt(grid[0] * grid[1])), 9), distortion

    pairs = ((rows, rows * width // height + more) for rows in range(1, side + 1) for more in (0, 1))
    return min(sorted({(rows, min(columns, side * side // rows)) for rows, columns in pairs}), key=cost)


def resize_map(scores, grid):
    """Resize a map of scores to the grid, bilinearly, with half-pixel centres."""
    for axis, wanted in enumerate(grid):
        count = scores.shape[axis]
        centres = ((np.arange(wanted) + 0.5) * count / wanted - 0.5).clip(0, count - 1)
        lower = centres.astype(int)
        weight = np.expand_dims((centres - lower).astype(np.float32), 1 - axis)
        upper = np.minimum(lower + 1, count - 1)
        scores = scores.take(lower, axis) * (1 - weight) + scores.take(upper, axis) * weight
    return scores


def resized(picture, grid, patch):
    """Return the pixels (height, width, 3) of the whole picture at patch x patch pixels per cell."""
    return np.asarray(picture.resize((grid[1] * patch, grid[0] * patch), Image.Resampling.BICUBIC))


def classify(picture, config, selector, extractor):
    """Return the logits of a picture (a Pillow image, RGB)."""
    patch, k = config["patch"], config["k"]  # k: {"cells": 94} or {"share": 0.25}
    side, thumbnail_side = (math.ceil(math.sqrt(math.prod(config[name]))) for name in ("grid", "thumbnail_grid"))
    grid = grid_for(picture.height, picture.width, side)
    thumbnail = resized(picture, grid_for(*grid, thumbnail_side), patch)[None].astype(np.float32)
    scores, prefix = selector.run(["map", "prefix"], {"thumbnails": thumbnail})

    every_other = np.indices(grid).sum(0) % 2
    scores = resize_map(scores[0], grid) + config.get("map_spacing", 0.0) * every_other
    count = k["cells"] if "cells" in k else max(1, int(k["share"] * math.prod(grid)))
    chosen = np.argsort(-scores.ravel(), kind="stable")[:count]
    patches = resized(picture, grid, patch).reshape(grid[0], patch, grid[1], patch, 3).swapaxes(1, 2)
    patches = patches.reshape(-1, patch, patch, 3)[chosen]
    feeds = {"patches": patches[None], "cells": chosen[None], "grid": np.array(grid), "prefix": prefix}
    return extractor.run(["logits"], feeds)[0][0]


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    graphs = [onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("selector", "extractor")]
    for file in sys.argv[2:]:
        logits = classify(ImageOps.exif_transpose(Image.open(file)).convert("RGB"), settings, *graphs)
        print(file, settings["labels"][int(logits.argmax())], sep="\t")
