"""TIFFs that Pillow can't read, or reads wrongly, by means of tifffile (an extra)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from numpy import ndarray
from PIL import Image, ImageFile

from lookwhere_cli.errors import PictureError
from lookwhere_cli.extras import install_command
from lookwhere_cli.images.levels import Range, range_of, to_levels
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.notes import add_note
from lookwhere_cli.images.orientation import TURNS
from lookwhere_cli.images.samples import FULL_RANGE, Samples, declared_high, number_of

if TYPE_CHECKING:
    import tifffile

_ORIENTATION, _MAX_VALUE, _PROFILE, _NODATA = 274, 281, 34675, 42113
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_STRIP_PIXELS = 1 << 18


class Channels(NamedTuple):
    """The samples of a page, in their own type. colour: (h, w, 1, 3 or 4). alpha: (h, w) or None."""

    colour: Shaped[ndarray, "h w c"]
    alpha: Shaped[ndarray, "h w"] | None


def has_tifffile() -> bool:
    """Return True if tifffile is installed."""
    return find_spec("tifffile") is not None


class DeepTiffFile(ImageFile.ImageFile):
    """A TIFF of any depth and layout as a Pillow image file: 8 bits a channel, upright."""

    format = "TIFF"
    format_description = "TIFF, by tifffile"

    def _open(self) -> None:
        import tifffile  # deferred: few pictures need it

        logging.getLogger("tifffile").addHandler(logging.NullHandler())  # its warnings would go to stderr
        try:
            self._file = tifffile.TiffFile(self.fp)
            self._page = _picture_page(self._file)
        except (tifffile.TiffFileError, IndexError) as error:
            raise SyntaxError(str(error)) from error
        self._turn = TURNS.get(_tag(self._page, _ORIENTATION, 1), TURNS[1])
        height, width = self._turn.size(self._page.imagelength, self._page.imagewidth)
        self._size, self._mode = (width, height), _mode(self._page)
        self.n_frames = len(self._file.pages)
        if (profile := _tag(self._page, _PROFILE, None)) is not None:
            self.info["icc_profile"] = profile

    @property
    def decoder_pixel_bytes(self) -> float:
        """The bytes per pixel that decoding takes beside the pixels returned: the values in their own type."""
        return float(self._page.samplesperpixel * (np.dtype(self._page.dtype or np.uint8).itemsize + 1))

    def load(self) -> Any:
        """Decode the page, once."""
        if self._im is None:
            picture, notes = self._decoded()
            self.im, self._mode = picture.im, picture.mode
            for note in notes:
                add_note(self, note)
        return Image.Image.load(self)

    def _decoded(self) -> tuple[Image.Image, tuple[str, ...]]:
        try:
            return _picture_of(self._page, self._turn.displayed, self._file.filehandle.size)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            raise PictureError(
                f"{in_message(str(self.filename))} is a TIFF compressed with {self._page.compression.name}, which "
                f"needs one more package: {install_command('tiff')}."
            ) from error


def _picture_page(file: tifffile.TiffFile) -> tifffile.TiffPage:
    """Return the first page that is no thumbnail."""
    pages = (file.pages.get(number) for number in range(min(len(file.pages), 16)))
    return next((page for page in pages if not page.is_reduced), file.pages.first)


def _tag(page: tifffile.TiffPage, code: int, otherwise: Any) -> Any:
    tag = page.tags.get(code)
    return otherwise if tag is None else tag.value


def _mode(page: tifffile.TiffPage) -> str:
    """Return Pillow's mode of the picture; raise SyntaxError for a kind of colour that is not known."""
    if page.dtype is None or page.dtype.kind not in "buif":
        raise SyntaxError(f"values of an unknown kind ({page.dtype})")
    if page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        return "RGB" if _colour_count(page) == 3 else "L"
    if page.photometric not in _COLOURS:
        raise SyntaxError(f"colours of an unknown kind ({page.photometric})")
    return "CMYK" if page.photometric == _CMYK else "RGB"


def _colour_count(page: tifffile.TiffPage) -> int:
    if page.photometric in _COLOURS:
        return _COLOURS[page.photometric]
    return 3 if page.samplesperpixel - _alpha_count(page) >= 3 else 1


def _alpha_count(page: tifffile.TiffPage) -> int:
    return sum(int(extra) in (_ASSOCIATED, _UNASSOCIATED) for extra in page.extrasamples)


def _picture_of(page: tifffile.TiffPage, upright: Any, file_bytes: int) -> tuple[Image.Image, tuple[str, ...]]:
    """Decode a page; return it with 8 bits a channel, and notes. Raises OSError if it is cut short."""
    ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True))
    if max(ends, default=0) > file_bytes:
        raise OSError("image file is truncated")
    channels = _channels(page, upright)
    samples = _samples(page)
    notes: tuple[str, ...]
    span: Range | None
    if page.photometric == _PALETTE:
        span, levels, notes = None, _looked_up(channels.colour[..., 0], page.colormap), ()
    else:
        span = range_of((part for _, part in _strips(channels.colour)), samples, channels.colour.dtype)
        levels, notes = _scaled(channels.colour, span, samples), span.notes
    hidden = np.asarray(samples.is_nodata(channels.colour).all(-1)) if samples.nodata is not None else None
    alpha = None if channels.alpha is None else to_levels(channels.alpha, _alpha_range(channels.alpha, span))
    return _assembled(page, levels, alpha, hidden), notes + _channel_notes(page)


def _channels(page: tifffile.TiffPage, upright: Any) -> Channels:
    """Decode a page into its colours and its alpha channel, upright."""
    values = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # (planes, height, width, samples)
    values = upright(np.moveaxis(values, 0, -1).reshape(*values.shape[1:3], -1))
    extras = [int(extra) for extra in page.extrasamples]
    first = values.shape[-1] - len(extras)
    alphas = [first + place for place, extra in enumerate(extras) if extra in (_ASSOCIATED, _UNASSOCIATED)]
    return Channels(values[..., : _colour_count(page)], values[..., alphas[0]] if alphas else None)


def _samples(page: tifffile.TiffPage) -> Samples:
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    return Samples(
        declared_high(_tag(page, _MAX_VALUE, None), bits),
        page.photometric == _WHITE_IS_ZERO,
        number_of(_tag(page, _NODATA, None)),
    )


def _strips(values: Shaped[ndarray, "h w c"]) -> Iterator[tuple[int, Shaped[ndarray, "rows w c"]]]:
    rows = max(1, _STRIP_PIXELS // values.shape[1])
    for top in range(0, len(values), rows):
        yield top, values[top : top + rows]


def _scaled(values: Shaped[ndarray, "h w c"], span: Range, samples: Samples) -> UInt8[ndarray, "h w c"]:
    levels = np.empty(values.shape, np.uint8)
    for top, part in _strips(values):
        levels[top : top + len(part)] = to_levels(part, span, samples.inverted)
    return levels


def _looked_up(indices: Shaped[ndarray, "h w"], colours: Any) -> UInt8[ndarray, "h w 3"]:
    table = np.asarray(colours)
    table = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
    return np.ascontiguousarray(table[:, indices].transpose(1, 2, 0))


def _assembled(
    page: tifffile.TiffPage,
    levels: UInt8[ndarray, "h w c"],
    alpha: UInt8[ndarray, "h w"] | None,
    hidden: Bool[ndarray, "h w"] | None,
) -> Image.Image:
    """Put colours, alpha and "no data" together."""
    if page.photometric == _CMYK:
        return Image.fromarray(levels, "CMYK")
    if page.photometric == _YCBCR and page.compression == 1:
        levels = np.asarray(Image.fromarray(levels, "YCbCr").convert("RGB"))
    if alpha is None and hidden is None:
        return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    opacity = np.full(levels.shape[:2], 255, np.uint8) if alpha is None else alpha
    if hidden is not None:
        opacity = np.where(hidden, np.uint8(0), opacity)
    rgba = np.dstack([levels.repeat(3, -1) if levels.shape[-1] == 1 else levels, opacity])
    associated = alpha is not None and any(int(extra) == _ASSOCIATED for extra in page.extrasamples)
    raw_mode = "RGBa" if associated else "RGBA"
    return Image.frombytes("RGBA", rgba.shape[1::-1], rgba.tobytes(), "raw", raw_mode)


def _alpha_range(alpha: Shaped[ndarray, "h w"], colours: Range | None) -> Range:
    """Return the range of alpha: its type's, or that of 16-bit colours of fewer bits if it has no more than these."""
    if colours is not None and alpha.dtype == np.uint16 and 0 < alpha.max() <= colours.high < FULL_RANGE:
        return Range(0.0, colours.high)
    if np.issubdtype(alpha.dtype, np.floating):
        return Range(0.0, 1.0)
    return Range(0.0, 1.0 if alpha.dtype == np.bool_ else float(np.iinfo(alpha.dtype).max))


def _channel_notes(page: tifffile.TiffPage) -> tuple[str, ...]:
    """Note which of several channels without a name are read."""
    if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        return ()
    count = page.samplesperpixel - _alpha_count(page)
    if count < 2:
        return ()
    return (f"first of {count} channels",) if count == 2 else (f"channels 1 to 3 of {count} as red, green, blue",)
