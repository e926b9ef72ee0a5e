"""Writing films: H.264, or what else the build of PyAV can encode."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from lookwhere_cli.errors import OutputError
from lookwhere_cli.extras import require

if TYPE_CHECKING:  # --help imports this module, and no NumPy
    from jaxtyping import UInt8
    from numpy import ndarray


class _Coding(NamedTuple):
    """container: FFmpeg's name. encoders: FFmpeg's names, the best one first, each with its settings."""

    container: str
    encoders: dict[str, dict[str, str]]


_H264 = {"libx264": {"crf": "20", "preset": "veryfast"}, "libopenh264": {"b": "6M"}, "mpeg4": {"qscale": "3"}}
_VP9 = {"libvpx-vp9": {"crf": "31", "b": "0", "cpu-used": "5", "row-mt": "1"}, "libvpx": {"crf": "10", "b": "4M"}}
_CODINGS = {
    ".mp4": _Coding("mp4", _H264),
    ".m4v": _Coding("mp4", _H264),
    ".mov": _Coding("mov", _H264),
    ".mkv": _Coding("matroska", _H264),
    ".webm": _Coding("webm", _VP9),
}
FILM_ENDINGS = tuple(_CODINGS)
"""Endings of the films that can be written."""
_TICKS = 60_000
"""Parts of a second that times are rounded to: most rates are whole numbers of them, and MPEG-4 allows no more."""
_BT709 = 1
_LIMITED = 1


class FilmWriter:
    """Writes frames to a binary stream that can seek, as a film without sound. The first frame sets its size."""

    def __init__(self, stream: BinaryIO, ending: str, rate: Fraction) -> None:
        """ending: one of FILM_ENDINGS. rate: frames per second, roughly; each frame has a time of its own.

        Raises UsageError if PyAV is missing, OutputError if its build has no encoder for such a film.
        """
        self._av = require("av", "video", "A film")
        coding = _CODINGS[ending]
        available = self._av.codecs_available
        encoder = next((name for name in coding.encoders if name in available and _encodes(self._av, name)), None)
        if encoder is None:
            raise OutputError(f"This build of PyAV has no encoder for {ending}; choose another ending for the film.")
        self._rate, self._last = rate, -1
        self._container = self._av.open(stream, "w", format=coding.container)
        self._coder = self._container.add_stream(encoder, rate=rate, options=coding.encoders[encoder])
        self._reformatter = self._av.video.reformatter.VideoReformatter()
        self._size: tuple[int, int] | None = None

    def write(self, picture: UInt8[ndarray, "height width 3"], time: float) -> None:
        """Add a frame, RGB, shown from `time` (seconds) on. One of another size than the first is resized.

        Odd sides grow by a pixel, as the encoders ask for.
        """
        if self._size is None:
            self._begin(picture.shape[0], picture.shape[1])
        frame = self._encodable(picture)
        frame.pts = self._last = max(self._last + 1, round(time * _TICKS))
        frame.time_base = Fraction(1, _TICKS)
        self._mux(frame)

    def close(self) -> None:
        """Write what is still held, and what completes the film."""
        if self._size is not None:
            self._mux(None)
        self._container.close()

    def _begin(self, height: int, width: int) -> None:
        self._size = height + height % 2, width + width % 2
        coder, context = self._coder, self._coder.codec_context
        coder.height, coder.width = self._size
        coder.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, _TICKS)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED

    def _encodable(self, picture: UInt8[ndarray, "height width 3"]) -> Any:
        """Return a picture as the encoder takes it: sides even, in BT.709."""
        import numpy as np

        assert self._size is not None
        height, width = self._size
        down, across = height - picture.shape[0], width - picture.shape[1]
        if 0 <= down <= 1 and 0 <= across <= 1:
            picture = np.pad(picture, ((0, down), (0, across), (0, 0)), mode="edge")
        return self._reformatter.reformat(
            self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"),
            *(width, height, "yuv420p"),
            dst_colorspace="ITU709",
            dst_color_range=_LIMITED,
            threads=1,
        )

    def _mux(self, frame: Any) -> None:
        for packet in self._coder.encode(frame):
            packet.duration = round(1 / self._rate / packet.time_base)
            self._container.mux(packet)


def _encodes(av: Any, name: str) -> bool:
    try:
        return bool(av.Codec(name, "w").is_encoder)
    except ValueError:  # PyAV's UnknownCodecError is one
        return False
