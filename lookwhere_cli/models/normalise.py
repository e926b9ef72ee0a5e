"""Pixels to what a model reads: each channel shifted by its mean and divided by its standard deviation."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lookwhere_cli.models.config import Config


class Normaliser:
    """Computes (pixels / white - mean) / std with a model's own mean and std, on the pixels' device.

    white: the value of white in the pixels: 255 for bytes, 1 for pictures in 0..1.
    """

    def __init__(self, config: Config, white: float = 255.0) -> None:
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
        self._scale, self._shift = 1 / (white * std), -mean / std
        self._moved: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def __call__(
        self, pixels: Shaped[Tensor, "*batch 3 height width"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*batch 3 height width"]:
        """Return the normalised pixels in `dtype`; `pixels` are RGB in 0..white, of any dtype."""
        scale, shift = self._constants(pixels.device, dtype)
        return pixels.to(dtype).mul(scale).add(shift)

    def _constants(self, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Scale and shift on a device, copied there once."""
        if (device, dtype) not in self._moved:
            self._moved[device, dtype] = (self._scale.to(device, dtype), self._shift.to(device, dtype))
        return self._moved[device, dtype]
