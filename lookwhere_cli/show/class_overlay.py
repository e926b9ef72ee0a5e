"""The picture at its own resolution, each pixel tinted in its class's colour."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.output.rows import Share
from lookwhere_cli.show.legend import BACKGROUND, NARROWEST, class_strip, text_size
from lookwhere_cli.show.overlay import BAND_PIXELS
from lookwhere_cli.text import on_one_line

TINT = 0.6  # of the class's colour; the rest is the picture's


def class_overlay(
    picture: Image.Image,
    classes: NDArray[np.uint8],
    shares: Sequence[Share],
    colours: NDArray[np.uint8],
    caption: str,
) -> Image.Image:
    """Tint a picture by its classes, and draw a legend below it: the classes that occur, with their shares.

    picture: as displayed, full resolution. classes: (height, width) indices of the same size. shares: the classes that
    occur. colours: (classes, 3). caption: a sentence for the legend.
    The picture stands at the top left, unscaled; a narrow one gets a margin on the right for the legend's sake.
    """
    unit = text_size(picture.height, picture.width)
    entries = [(_entry(share), tuple(colours[share.index].tolist())) for share in shares]
    strip = class_strip(max(picture.width, NARROWEST), unit, entries, on_one_line(caption))
    canvas = Image.new("RGB", (strip.width, picture.height + strip.height), BACKGROUND)
    step = max(1, BAND_PIXELS // picture.width)
    for top in range(0, picture.height, step):
        bottom = min(top + step, picture.height)
        band = picture.crop((0, top, picture.width, bottom)).convert("RGB")
        canvas.paste(Image.blend(band, Image.fromarray(colours[classes[top:bottom]]), TINT), (0, top))
    canvas.paste(strip, (0, picture.height))
    return canvas


def _entry(share: Share) -> str:
    return f"{on_one_line(share.label)} {share.share:.1%}"
