"""Masks to write, and Hypothesis strategies for them."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lookwhere_cli.output.rows import Row, Share

LABELS = ("sky", "road", "traffic sign", "car")
ANY_MASK = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.integers(0, len(LABELS) - 1))
)


def shares_of(classes):
    indices, counts = np.unique(classes, return_counts=True)
    pairs = zip(indices.tolist(), counts.tolist(), strict=True)
    return tuple(Share(LABELS[index], index, count / classes.size) for index, count in pairs)


def row_of(classes, path="a.jpg"):
    return Row(path, width=classes.shape[1], height=classes.shape[0], shares=shares_of(classes))


def large(height=90, width=120):
    """Return blocks of all classes, with holes and with blocks that share only a corner."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, len(LABELS), (height // 10, width // 10), dtype=np.uint8)
    return coarse.repeat(10, axis=0).repeat(10, axis=1)
