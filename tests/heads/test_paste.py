"""Small masks of boxes at the size of the picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.heads.paste import paste_masks
from lookwhere_cli.output.masks.run_lengths import decode, encode_box

SIDE = st.floats(-5, 45)


@given(left=SIDE, top=SIDE, right=SIDE, bottom=SIDE, value=st.sampled_from([0.4, 0.5, 1.0]))
def test_a_mask_that_is_the_same_everywhere_is_its_box_or_nothing(left, top, right, bottom, value):
    box = np.array([[min(left, right), min(top, bottom), max(left, right), max(top, bottom)]], np.float32)
    (mask,) = paste_masks(np.full((1, 28, 28), value, np.float32), box, (30, 40))
    assert (decode(mask) == (decode(encode_box(box[0].tolist(), (30, 40))) if value >= 0.5 else False)).all()


@pytest.mark.parametrize("side", [8, 28, 112])
def test_a_disc_stays_a_disc(side):
    """Drawn at 28 x 28, at any size of its box, and cut at the picture's edge."""
    places = (np.arange(28) + 0.5) / 28 - 0.5
    disc = (places[:, None] ** 2 + places**2 < 0.4**2).astype(np.float32)
    box = np.array([[50, 20, 50 + side, 20 + side]], np.float32)
    pixels = decode(paste_masks(disc[None], box, (200, 100))[0])
    rows, columns = np.indices((200, 100)) + 0.5
    expected = ((columns - 50) / side - 0.5) ** 2 + ((rows - 20) / side - 0.5) ** 2 < 0.4**2
    assert (pixels & expected).sum() / (pixels | expected).sum() > 0.9


def test_a_step_is_halfway_between_two_places():
    values = np.array([[[1.0, 0.0]]], np.float32)  # left half 1, right half 0, interpolated from 1/4 to 3/4
    pixels = decode(paste_masks(values, np.array([[0, 0, 40, 4]], np.float32), (4, 40))[0])
    assert pixels[:, :20].all() and not pixels[:, 20:].any()
