"""A full ViT by timm as a classifier: all patches of the picture, cropped and resized as its makers do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float32
from numpy import ndarray

from lookwhere_cli.errors import ModelError, PictureError
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.frame import Mode, Reading
from lookwhere_cli.images.view import View, open_view
from lookwhere_cli.macs import passes
from lookwhere_cli.scoring.passes import Measure, Measured
from lookwhere_cli.training.timm_models import TimmViT, config_of

BATCH = 32  # pictures
WORKERS = 2  # threads that open pictures


class TimmClassifier:
    """A timm ViT on square pictures.

    size: side of the pictures in pixels. classes: the number of its logits. cells, macs: of a picture.
    """

    def __init__(self, source: TimmViT, size: int | None = None, mode: Mode = "crop", device: str = "cpu") -> None:
        """size: None for the ViT's own; for another one, timm resizes the positions.

        Raises ModelError for a ViT without a head.
        """
        if not source.vit.num_classes:
            raise ModelError(f"The ViT {source.name} has no head, so it can't classify; give one that has a head.")
        config = config_of(source)
        self.name, self.size = source.name, size or config.size
        self.classes = int(source.vit.num_classes)
        side = self.size // config.patch
        self.cells = side * side
        self.macs = passes.count_full(replace(config, labels=tuple(map(str, range(self.classes)))), (side, side))
        self._vit = source.vit.to(device)
        self._vit.set_input_size(img_size=(self.size, self.size))
        self._reading = Reading(config.patch, self.size, mode, source.crop_share)
        self._mean, self._std = (torch.tensor(value, device=device) for value in (source.mean, source.std))

    def logits(self, paths: Sequence[str]) -> Iterator[tuple[View, Float32[ndarray, " classes"]] | str]:
        """Yield each picture's view and logits, in order; a sentence for one that can't be read."""
        with closing(read_ahead(paths, self._open, WORKERS, BATCH)) as opened:
            while batch := list(islice(opened, BATCH)):
                views = [one for one in batch if not isinstance(one, PictureError)]
                logits = iter(self._run(views) if views else ())
                for one in batch:
                    yield str(one) if isinstance(one, PictureError) else (one, next(logits))

    def measure(self, measure: Measure, paths: Sequence[str]) -> Iterator[Measured | str]:
        """Yield what scoring needs of each picture, in order; a sentence for one that can't be read."""
        for one in self.logits(paths):
            if isinstance(one, str):
                yield one
            else:
                view, logits = one
                yield Measured([measure(logits, view)], view.size)

    def seconds(self, path: str) -> float:
        """Return the seconds from an opened picture, alone in its batch, to its logits."""
        view = self._open(path)
        started = time.perf_counter()
        self._run([view])
        return time.perf_counter() - started

    def _open(self, path: str) -> View:
        return open_view(path, self._reading)

    @torch.inference_mode()
    def _run(self, views: Sequence[View]) -> Float32[ndarray, "batch classes"]:
        pixels = np.stack([view.thumbnail(self.size, self.size) for view in views])
        pictures = torch.from_numpy(pixels).to(self._mean.device).float() / 255
        logits: torch.Tensor = self._vit(((pictures - self._mean) / self._std).movedim(-1, 1))
        return logits.cpu().numpy()
