"""From logits to probabilities, in single precision."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray


def softmax(logits: Float[ndarray, "*batch classes"]) -> Float32[ndarray, "*batch classes"]:
    """Turn logits into probabilities that sum to 1."""
    shifted = np.exp(logits.astype(np.float32) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def sigmoid(logits: Float[ndarray, "*batch labels"]) -> Float32[ndarray, "*batch labels"]:
    """Turn logits into independent probabilities."""
    small = np.exp(-np.abs(logits.astype(np.float32)))
    return np.where(logits >= 0, 1, small) / (1 + small)


def confidence(logits: Float[ndarray, "*batch classes"]) -> Float32[ndarray, "*batch"]:
    """Return the highest softmax probability, 0..1."""
    return softmax(logits).max(axis=-1)
