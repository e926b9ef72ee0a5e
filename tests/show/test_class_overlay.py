import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.output.rows import Share
from lookwhere_cli.show import class_overlay as module
from lookwhere_cli.show.class_overlay import class_overlay
from lookwhere_cli.show.colours import class_colours
from lookwhere_cli.show.legend import BACKGROUND

SHARES = (Share("road", 1, 0.75), Share("sky", 0, 0.25))


def drawn(size=(400, 300), shares=SHARES, caption="90 of 200 cells read"):
    picture = Image.new("RGB", size, "white")
    classes = np.ones(size[::-1], np.uint8)
    classes[: size[1] // 4] = 0
    return np.asarray(class_overlay(picture, classes, shares, class_colours(8), caption))


@pytest.mark.parametrize("band", [1, 1 << 20])
def test_pixels_are_tinted_by_class_at_the_picture_s_full_resolution(monkeypatch, band):
    monkeypatch.setattr(module, "BAND_PIXELS", band)
    pixels = drawn().astype(int)
    for index, rows in ((0, slice(0, 75)), (1, slice(75, 300))):
        tinted = 0.6 * class_colours(8)[index] + 0.4 * 255
        assert np.abs(pixels[rows, :400] - tinted).max() <= 1
    assert (pixels[300] == BACKGROUND).all()


def test_the_legend_has_a_swatch_for_each_class_that_occurs():
    legend = drawn()[300:].reshape(-1, 3)
    for index in range(8):
        swatch = (legend == class_colours(8)[index]).all(axis=1).sum()
        assert (swatch > 50) == (index in (0, 1))


@pytest.mark.parametrize("size", [(1, 1), (30, 400), (3000, 20)])
def test_extreme_shapes_and_many_long_names_work(size):
    shares = tuple(Share(f"a class of a rather long name {index}", index % 8, 0.02) for index in range(40))
    pixels = drawn(size, shares, "a very long caption " * 20)
    assert pixels.shape[1] == max(size[0], 300) and pixels.shape[0] > size[1] + 20
    assert (pixels[:, -1] == BACKGROUND).all() or size[0] >= 300


def test_all_colours_differ_and_depend_on_the_index_only():
    colours = class_colours(255)
    assert colours.shape == (255, 3) and len(np.unique(colours, axis=0)) == 255
    assert (class_colours(11) == colours[:11]).all()


# Colour vision without one kind of cones, in linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.
WITHOUT = {
    "long": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "middle": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "short": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def lab(linear):
    """Convert linear RGB in 0..1 to CIELAB (white at D65)."""
    to_xyz = np.array(((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)))
    xyz = np.clip(linear, 0, 1) @ (to_xyz / to_xyz.sum(axis=1, keepdims=True)).T
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1)


@pytest.mark.parametrize("missing", [None, *WITHOUT])
def test_the_first_dozen_colours_differ_with_any_colour_vision(missing):
    seen = (class_colours(12) / 255) ** 2.2
    if missing:
        seen = seen @ np.array(WITHOUT[missing]).T
    apart = np.linalg.norm(lab(seen)[:, None] - lab(seen)[None], axis=-1)
    assert apart[~np.eye(12, dtype=bool)].min() > 10, "2.3 is a just noticeable difference"
