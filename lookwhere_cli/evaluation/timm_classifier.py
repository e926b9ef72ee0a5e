"""A full ViT by timm as a contestant: all patches of the picture, cropped and resized as its makers do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lookwhere_cli.errors import ModelError, PictureError
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.frame import Mode, Reading
from lookwhere_cli.images.view import View, open_view
from lookwhere_cli.macs import passes
from lookwhere_cli.training.timm_models import TimmViT, config_of

BATCH = 32


class Full:
    """The ViT on square pictures of `size` pixels; timm resizes its positions where that is not its own size.

    Raises ModelError for a ViT without a head.
    """

    def __init__(self, source: TimmViT, size: int | None = None, mode: Mode = "crop", device: str = "cpu") -> None:
        if not source.vit.num_classes:
            raise ModelError(f"The ViT {source.name} has no head, so it can't classify; name one that has.")
        config = config_of(source)
        self.name, self.size = source.name, size or config.size
        self.vit = source.vit.to(device)
        self.vit.set_input_size(img_size=(self.size, self.size))
        self.reading = Reading(config.patch, self.size, mode, source.crop_share)
        self.mean, self.std = (torch.tensor(value, device=device) for value in (source.mean, source.std))
        side = self.size // config.patch
        self.cells, self.classes = side * side, int(source.vit.num_classes)
        labels = tuple(map(str, range(self.classes)))
        self.macs = passes.count_full(replace(config, labels=labels), (side, side))

    @torch.inference_mode()
    def logits(self, views: Sequence[View]) -> Float[Tensor, "batch classes"]:
        """Scores of the classes, for pictures that were opened with `reading`."""
        pixels = np.stack([view.thumbnail(self.size, self.size) for view in views])
        pictures = torch.from_numpy(pixels).to(self.mean.device).float() / 255
        return self.vit(((pictures - self.mean) / self.std).movedim(-1, 1)).cpu()

    def lap(self, path: str) -> float:
        """Seconds that a picture takes, alone in its batch, from its decoded pixels to the logits."""
        view = open_view(path, self.reading)
        started = time.perf_counter()
        self.logits([view])
        return time.perf_counter() - started

    def run(self, paths: Sequence[str], workers: int = 2) -> Iterator[Float[Tensor, "batch classes"]]:
        """The logits of all pictures, in their order, some at a time. Raises PictureError."""
        with closing(read_ahead(paths, lambda path: open_view(path, self.reading), workers, BATCH)) as opened:
            views: list[View] = []
            for view in opened:
                if isinstance(view, PictureError):
                    raise view
                views.append(view)
                if len(views) == BATCH:
                    yield self.logits(views)
                    views = []
            if views:
                yield self.logits(views)
