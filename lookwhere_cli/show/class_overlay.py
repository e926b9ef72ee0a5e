"""A segmented picture at its full resolution, each pixel tinted in the colour of its class."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lookwhere_cli.output.rows import Share
from lookwhere_cli.show.legend import BACKGROUND, MIN_WIDTH, class_strip, text_size
from lookwhere_cli.show.overlay import BAND_PIXELS
from lookwhere_cli.text import on_one_line

TINT = 0.6  # opacity of the class's colour
NO_CLASS = 255
"""The index of pixels that were not read; models have fewer classes."""
DARKENED = [round(0.55 * value) for value in range(256)]


def class_overlay(
    picture: Image.Image,
    classes: UInt8[np.ndarray, "height width"],
    shares: Sequence[Share],
    colours: UInt8[np.ndarray, "classes 3"],
    caption: str,
) -> Image.Image:
    """Tint a picture by its classes, and draw a legend of the classes and their shares below it.

    picture: as displayed, at full resolution. classes: class indices, of the same size, or NO_CLASS. shares: the
    classes that occur. colours: red, green and blue by class index. caption: a sentence for the legend.
    The result has the picture at its top left, unscaled; if the picture is narrower than the legend, there is a margin
    on its right.
    """
    unit = text_size(picture.height, picture.width)
    entries = [(_entry(share), tuple(colours[share.index].tolist())) for share in shares]
    strip = class_strip(max(picture.width, MIN_WIDTH), unit, entries, on_one_line(caption))
    canvas = Image.new("RGB", (strip.width, picture.height + strip.height), BACKGROUND)
    palette = np.concatenate([colours, np.zeros((NO_CLASS + 1 - len(colours), 3), np.uint8)])
    step = max(1, BAND_PIXELS // picture.width)
    for top in range(0, picture.height, step):
        bottom = min(top + step, picture.height)
        band = picture.crop((0, top, picture.width, bottom)).convert("RGB")
        canvas.paste(_tinted(band, classes[top:bottom], palette), (0, top))
    canvas.paste(strip, (0, picture.height))
    return canvas


def _tinted(
    band: Image.Image, classes: UInt8[np.ndarray, "height width"], palette: UInt8[np.ndarray, "256 3"]
) -> Image.Image:
    """Tint the pixels of classes; what was not read is grey and darker."""
    tinted = Image.blend(band, Image.fromarray(palette[classes]), TINT)
    unread = classes == NO_CLASS
    if not unread.any():
        return tinted
    return Image.composite(band.convert("L").point(DARKENED).convert("RGB"), tinted, Image.fromarray(unread))


def _entry(share: Share) -> str:
    return f"{on_one_line(share.label)} {share.share:.1%}"
