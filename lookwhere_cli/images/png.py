"""PNGs whose pixels are whole although something beside them is not: texts, profiles, checksums."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from typing import IO, NamedTuple

from PIL import Image, PngImagePlugin

from lookwhere_cli.images.notes import add_note

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"zTXt", b"iTXt", b"tEXt")
_FOR_PIXELS = (b"tRNS", b"iCCP", b"eXIf")
_REFUSED = (SyntaxError, ValueError, EOFError, IndexError, struct.error)
_LARGEST_PROFILE = 1 << 26
_MANY_BYTES = PngImagePlugin.MAX_TEXT_CHUNK
_SRGB_GAMMA = 0.45455
_SAME_GAMMA = 0.03


class Chunk(NamedTuple):
    """A chunk of a PNG. whole: its type, its data and its checksum, with the length before them."""

    name: bytes
    data: bytes
    whole: bytes

    @property
    def is_ancillary(self) -> bool:
        """True if the pixels can be decoded without it."""
        return self.name[:1].islower()

    @property
    def has_its_checksum(self) -> bool:
        """True if the checksum is that of the type and the data."""
        return struct.pack(">I", zlib.crc32(self.name + self.data)) == self.whole[-4:]


def open_leniently(stream: IO[bytes], name: str) -> PngImagePlugin.PngImageFile:
    """Open a PNG that Pillow refuses, without the texts and the ancillary chunks that keep it from doing so.

    Raises SyntaxError if that does not help; notes say what was left out.
    """
    stream.seek(len(SIGNATURE))
    chunks = list(_chunks(stream))
    try:
        return _without_bad(chunks, name)
    except _REFUSED:  # more is damaged than can be told chunk by chunk
        kept = [chunk for chunk in chunks if not chunk.is_ancillary or chunk.name in _FOR_PIXELS]
    try:
        picture = _without_bad(kept, name)
    except _REFUSED as error:
        raise SyntaxError(str(error)) from error
    add_note(picture, "damaged or too many texts and other extras left out")
    return picture


def _without_bad(chunks: Sequence[Chunk], name: str) -> PngImagePlugin.PngImageFile:
    """Open a PNG without the chunks that are damaged or too large."""
    kept, notes, profile = [SIGNATURE], [], None
    for chunk in chunks:
        if not chunk.is_ancillary:
            kept.append(chunk.whole)
        elif not chunk.has_its_checksum:
            notes.append(f"{chunk.name.decode('latin-1')} chunk with a bad checksum left out")
        elif chunk.name in _TEXTS and _unpacked_size(chunk) > _MANY_BYTES:
            notes.append("text of over 1 MB left out")
        elif chunk.name == b"iCCP" and _unpacked_size(chunk) > _MANY_BYTES:
            profile = _profile(chunk)
            notes.append("colour profile of over 1 MB" + ("" if profile else " left out"))
        else:
            kept.append(chunk.whole)
    picture = PngImagePlugin.PngImageFile(BytesIO(b"".join(kept)), name)
    if profile is not None:
        picture.info["icc_profile"] = profile
    for note in notes:
        add_note(picture, note)
    return picture


def note_gamma(picture: Image.Image) -> None:
    """Note the gamma of a PNG without a profile if it is not that of sRGB: it is not applied."""
    gamma = picture.info.get("gamma")
    if not isinstance(gamma, int | float) or not gamma or picture.info.keys() & {"icc_profile", "srgb"}:
        return
    if abs(gamma - _SRGB_GAMMA) > _SAME_GAMMA:
        add_note(picture, f"gamma {gamma:.3g} of the PNG (gAMA) not applied")


def _chunks(stream: IO[bytes]) -> Iterator[Chunk]:
    """Yield the chunks of a PNG up to its end."""
    while len(start := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        rest = stream.read(length + 4)
        yield Chunk(name, rest[:length], start + rest)
        if name == b"IEND" or len(rest) < length + 4:
            return


def _unpacked_size(chunk: Chunk) -> int:
    """Return a text's or a profile's size in bytes, up to a little over 1 MB."""
    packed = _packed(chunk)
    if packed is None:
        return len(chunk.data)
    with suppress(zlib.error):
        return len(zlib.decompressobj().decompress(packed, _MANY_BYTES + 1))
    return 0


def _packed(chunk: Chunk) -> bytes | None:
    """Return the compressed part of a chunk; None if nothing in it is compressed."""
    _, _, rest = chunk.data.partition(b"\0")
    if chunk.name in (b"zTXt", b"iCCP"):
        return rest[1:]
    if chunk.name == b"iTXt" and rest[:1] == b"\1":
        return rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    return None


def _profile(chunk: Chunk) -> bytes | None:
    unpacker = zlib.decompressobj()
    profile = unpacker.decompress(_packed(chunk) or b"", _LARGEST_PROFILE)
    return None if unpacker.unconsumed_tail else profile
