"""TIFFs: what their tags say, which of them Pillow reads wrongly, and what can be mended before it decodes."""

import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from PIL import Image, ImagePalette, TiffImagePlugin

from lookwhere_cli.images.quiet import silence_libtiff

_SUBFILE, _WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _MAKE = 254, 256, 258, 259, 262, 271
_PLANAR, _COLOUR_MAP, _SUB_DIRECTORIES, _SAMPLE_FORMAT, _DNG_VERSION = 284, 320, 330, 339, 50706
_SENSOR_DATA = (32803, 34892)  # a colour filter array, and DNG's linear values
_SAMPLES, _EXTRA_SAMPLES, _WEBP = 277, 338, 50001
_PLANES = 2
_MOST_DIRECTORIES = 16
_NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
_TYPES = {1: "", 2: "signed ", 3: "float ", 5: "complex ", 6: "complex "}
_COLOURS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "L*a*b*"}

Tags = Mapping[int, Any]


def is_tiff(start: bytes) -> bool:
    """Return True if a file that starts with these bytes is a TIFF or a BigTIFF."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tags(stream: IO[bytes], offset: int | None = None) -> Tags:
    """Read the tags of a TIFF's first directory, or of the one at `offset`; none if they are damaged."""
    with suppress(SyntaxError, OSError, struct.error, ValueError, IndexError, KeyError, TypeError):
        stream.seek(0)
        start = stream.read(8)
        directory = TiffImagePlugin.ImageFileDirectory_v2(start + stream.read(8) if start[2] == 43 else start)
        if start[:4] == b"MM\0+":  # which Pillow takes for a TIFF with short offsets
            directory._bigtiff, directory.next = True, struct.unpack(">Q", stream.read(8))[0]
        stream.seek(directory.next if offset is None else offset)
        directory.load(stream)
        return dict(directory)
    return {}


def is_camera_raw(stream: IO[bytes]) -> bool:
    """Return True if a TIFF holds the data of a camera's sensor, of which its first picture is only a preview."""
    tags = read_tags(stream)
    if _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _SENSOR_DATA:
        return True
    inner = tags.get(_SUB_DIRECTORIES, ())
    offsets = inner if isinstance(inner, tuple) else (inner,)
    return any(
        read_tags(stream, offset).get(_PHOTOMETRIC) in _SENSOR_DATA
        for offset in offsets[:_MOST_DIRECTORIES]
        if isinstance(offset, int)
    )


def is_misread(picture: Image.Image) -> bool:
    """Return True if Pillow opens a TIFF but would decode its pixels wrongly, or print what it lacks.

    Of planes, it takes those of more than 8 bits for noise and, of grey, only the first.
    """
    tags: Tags = getattr(picture, "tag_v2", {})
    in_planes = tags.get(_PLANAR) == _PLANES and tags.get(_SAMPLES, 1) > 1
    grey, associated = tags.get(_PHOTOMETRIC) in (0, 1), 1 in tags.get(_EXTRA_SAMPLES, ())
    unread = grey or associated or max(tags.get(_BITS, (1,))) > 8
    return (in_planes and unread) or tags.get(_COMPRESSION) == _WEBP


def mend(picture: Image.Image) -> None:
    """Correct what Pillow would get wrong, before it decodes: byte order of compressed values, 8-bit colour maps."""
    tiles = getattr(picture, "tile", [])
    if len(tiles) == 1 and tiles[0].codec_name == "libtiff":  # it returns values in the machine's own byte order
        silence_libtiff()
        mode, *others = tiles[0].args
        picture.tile = [tiles[0]._replace(args=(_NATIVE.get(mode, mode), *others))]  # type: ignore[attr-defined]
    colours = getattr(picture, "tag_v2", {}).get(_COLOUR_MAP)
    if picture.mode in ("P", "PA") and colours and max(colours) < 256:
        picture.palette = ImagePalette.raw("RGB;L", bytes(colours))


def seek_picture(picture: Image.Image) -> None:
    """Go to the first page that is no thumbnail of another one; stay at the first if there is none."""
    if not is_thumbnail(getattr(picture, "tag_v2", {})):
        return
    with suppress(EOFError, SyntaxError, OSError, ValueError):
        for page in range(1, min(getattr(picture, "n_frames", 1), _MOST_DIRECTORIES)):
            picture.seek(page)
            if not is_thumbnail(getattr(picture, "tag_v2", {})):
                return
    picture.seek(0)


def is_thumbnail(tags: Tags) -> bool:
    """Return True if a directory's tags say that it holds a smaller version of another picture."""
    kind = tags.get(_SUBFILE, 0)
    return isinstance(kind, int) and bool(kind & 1)


def description(tags: Tags) -> str:
    """Return what kind of TIFF it is: "16-bit RGB in planes"; "" if its tags are too damaged to say."""
    if _WIDTH not in tags:
        return ""
    bits = max(tags.get(_BITS, (1,)))
    kind = _TYPES.get(next(iter(tags.get(_SAMPLE_FORMAT, (1,))), 1), "")
    colour = _COLOURS.get(tags.get(_PHOTOMETRIC, 0), f"colour of kind {tags.get(_PHOTOMETRIC)}")
    planes = " in planes" if tags.get(_PLANAR) == _PLANES else ""
    return f"{bits}-bit {kind}{colour}{planes}"
