"""Colours that people with any colour vision can tell apart: for scores and for classes; and the dimming of pixels."""

import numpy as np
from jaxtyping import Float, Float32, UInt8

# Inferno at even steps. Its lightness rises evenly, so it reads with any colour vision and in grey print.
_INFERNO = np.array(
    [
        (0x00, 0x00, 0x04),
        (0x21, 0x0C, 0x4A),
        (0x57, 0x10, 0x6E),
        (0x8A, 0x22, 0x6A),
        (0xBC, 0x37, 0x54),
        (0xE4, 0x5A, 0x31),
        (0xF9, 0x8E, 0x09),
        (0xF9, 0xCB, 0x35),
        (0xFC, 0xFF, 0xA4),
    ],
    dtype=np.float32,
)
# Okabe and Ito's seven colours, then always the colour that lies farthest from all before it: in CAM02-UCS, by the
# smallest of the distances seen with full colour vision and without each kind of cone; lightness 28 to 93.
_CLASSES = bytes.fromhex(
    "56b4e9e69f00009e730072b2d55e00cc79a7f0e442691e3cc3f0d2a500004b2d78785a69a5c38778f0ff1e00e19678ff2d693cd2b4c3"
    "963c8778000f873cffd2e19696a55a004b4b96784b698787c32d0f78b496ff69d2b4c35ac32db4781ea55a4b69a5d2b478d2f0f0783c"
    "5a3c2df0c300965a87871e5aa53c3ca5e1e1a55a5a9696c3b469d2d296b4b4e1699696ff694b4bb469a5d26969c3b4d278871ea5ff78"
    "783c1ef04b875aa53c2d0fff87b47887ffb4f0c3d2695ad287692d5a78788769f0695a965a3c8787c3a5963c5aa5b45a5a0f96875a0f"
    "780f4b1e784b69969696c3ffd2d2a5b4d278ffd2ff5aa596693cd2b41ea55a6978870000d2870000879687a578b4e1c33c5a2d692d69"
    "d21e78789687d2a5b44ba5e178e12db4f0e1b496a5ffa5e1c3b43cb4a5ff5a87e1e100697869d27887b4690f6996874bff96a5b44b4b"
    "e1692d690fc3e1f0969687ff693c78c3a5c396a5d2693c3cb45a9687e1d23c692d781e1e5aff5a78e1f04b3c1e875ab4e11e87d287b4"
    "876969f0b496d22d3c5a3c5aff5ac3b40069782d4b960f785a965ab41e2da5c3e1e15ab4963c1e96000f5a4b965a785ab4d2c396b4a5"
    "a5a58796f0b44b877896b46978c30f5af0873c6969e1d24b0069a5ff78e1d2e1f0a5a54b9687c30f5a5ad2c3a5b41ee1e14ba5ff2d0f"
    "a5c3b4d2b4789669c35a2d878796d2c3785ac3693c4bd2c3a5b487961ec3b40096875a78a59669b43ca53cb43ce1001e3ca50ff0874b"
    "692d3c87a5c3d2002dff5aa5873c4ba5f07896693cb4ff0096e1b4d2789687002d87d2960096a5964b5ac3c34bc3f0a5f078f0c32d87"
    "78694bb4b4f0965ac396d2ffe12df087fff0787896c3d25a78a5f0c31e780096695a4bb4785a2d1e4b0f4b78696900a500d278962d5a"
    "b4c3d2a58778783c87a5e178964bc3d2c369f000e1e169d24bffc3781e960f3cff961eb4695a782d00f0b478f04be1c3960f2d87c369"
    "96ffe1ff00964b96c378c3d2965a1ec3b4964bb487ffb4f09678783c4b78d200a56978e1a50fa5f087b43c78ffe178e1ff692df0a5b4"
    "00695a4b694b87873c"
)
SPAN = 6.0  # logits: a cell so far below the highest is e**6 (400) times less likely to be chosen
_LUMA = np.array((0.299, 0.587, 0.114), dtype=np.float32)


def heat_levels(scores: Float[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Scale scores of any shape to levels in 0..1, from the lowest to the highest.

    Scores more than `SPAN` below the highest become 0: the logits of a map that favours a few cells have a long tail,
    which would leave no contrast to all other cells. Equal scores and NaN become 0.5.
    """
    finite = scores[np.isfinite(scores)]
    if not finite.size or finite.max() == finite.min():
        return np.full(scores.shape, 0.5, dtype=np.float32)
    high = float(finite.max())
    low = max(float(finite.min()), min(high - SPAN, np.nextafter(high, -np.inf)))
    levels = (scores.astype(np.float64) - low) / (high - low)
    return np.nan_to_num(levels, nan=0.5).clip(0, 1).astype(np.float32)


def heat_colours(levels: Float32[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Return the colours of levels in 0..1, from dark to bright."""
    anchors = np.linspace(0, 1, len(_INFERNO))
    channels = [np.interp(levels, anchors, _INFERNO[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def dim(pixels: UInt8[np.ndarray, "*shape 3"], brightness: float, saturation: float) -> UInt8[np.ndarray, "*shape 3"]:
    """Scale the brightness and the saturation of pixels by factors in 0..1."""
    grey = (pixels @ _LUMA)[..., None]
    return np.rint(brightness * (grey + saturation * (pixels - grey))).astype(np.uint8)


def blend(
    below: UInt8[np.ndarray, "*shape 3"], above: UInt8[np.ndarray, "*shape 3"], opacity: float
) -> UInt8[np.ndarray, "*shape 3"]:
    """Lay one picture over another, with `opacity` in 0..1."""
    return np.rint(below + opacity * (above.astype(np.float32) - below)).astype(np.uint8)


def class_colours(count: int) -> UInt8[np.ndarray, "count 3"]:
    """Return distinct colours for up to 255 classes; the first dozen can be told apart with any colour vision.

    The colour of a class depends on its index only.
    """
    return np.frombuffer(_CLASSES, np.uint8).reshape(-1, 3)[:count]


def colour_of_class(index: int) -> tuple[int, int, int]:
    """Return red, green and blue of a class by its index; from the 255th class on colours are used again."""
    red, green, blue = class_colours(255)[index % 255].tolist()
    return red, green, blue
