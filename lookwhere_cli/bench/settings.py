"""What all subjects are measured with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BenchSettings:
    """The model, the photographs, the device, and how often everything is measured.

    photographs: about 500 x 375 pixels each; `start` reads the first of them.
    """

    model: str
    photographs: tuple[Path, ...]
    device: str = "auto"
    rounds: int = 5
