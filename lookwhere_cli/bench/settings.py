"""What all subjects are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The model under test, the photographs it reads, where it runs, and how often each thing is measured."""

    model: str
    photographs: tuple[Path, ...]
    """About 500 x 375 pixels each; the first is the one of `start`."""
    device: str = "auto"
    rounds: int = 5
