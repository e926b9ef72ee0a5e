"""Films made within the tests: each frame has its number as a colour, and a bright corner at its top left."""

import struct
from fractions import Fraction

import av
import numpy as np

SIZE = (48, 64)  # height, width
STEP = 5  # by which red grows from frame to frame
LIMITED, FULL = 1, 2
BT709, BT601 = 1, 6


def picture(number, size=SIZE):
    """A frame: red is STEP x number, green is bright in the top left quarter, blue in the top right one."""
    height, width = size
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = STEP * number % 256
    pixels[: height // 2, : width // 2, 1] = 220
    pixels[: height // 2, width // 2 :, 2] = 220
    return pixels


def film(
    path,
    frames=50,
    rate=25,
    size=SIZE,
    times=None,
    turned=None,
    flip=False,
    colour=(BT601, LIMITED),
    shape=None,
    sound=False,
    draw=picture,
    codec="libx264",
    gop=10,
):
    """Write a film and return its path as text.

    times: of the frames in 1/1000 s; None: at the rate. turned: degrees to the left that the display matrix says.
    colour: (matrix, range). shape: of a pixel. gop: frames from one whole one to the next.
    """
    options = {"crf": "4", "preset": "ultrafast"} if codec == "libx264" else {"qscale": "2"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.gop_size = gop
        context = stream.codec_context
        context.colorspace, context.color_range = colour
        if times is not None:
            context.time_base = Fraction(1, 1000)
        if turned is not None:
            stream.set_display_rotation(turned, hflip=flip)
        if shape is not None:
            context.sample_aspect_ratio = shape
        if sound:
            _add_sound(container)
        matrix = "ITU709" if colour[0] == BT709 else "ITU601"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number, size), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=matrix)
            if colour[1] == FULL:
                reformatter = av.video.reformatter.VideoReformatter()
                frame = av.VideoFrame.from_ndarray(draw(number, size), format="rgb24")
                frame = reformatter.reformat(frame, format="yuv420p", dst_colorspace=matrix, dst_color_range=FULL)
            frame.pts = number if times is None else times[number]
            frame.time_base = context.time_base if times is not None else Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)


def song(path):
    """Write a second of silence, and return its path."""
    with av.open(str(path), "w") as container:
        _add_sound(container)
    return str(path)


def _add_sound(container):
    stream = container.add_stream("aac", rate=16000)
    silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
    silence.sample_rate, silence.pts = 16000, 0
    if len(container.streams.video):
        return  # an empty stream of sound is enough beside pictures
    container.mux(stream.encode(silence))
    container.mux(stream.encode())


def without_samples(path):
    """Turn an MP4 of one frame into one that has none, and return its path: its tables say so."""
    content = bytearray(path.read_bytes())
    for name, place in ((b"stsz", 8), (b"stts", 4), (b"stsc", 4), (b"stco", 4), (b"stss", 4), (b"ctts", 4)):
        start = content.find(name)
        if start >= 0:
            content[start + 4 + place : start + 8 + place] = struct.pack(">I", 0)
    path.write_bytes(content)
    return str(path)


def red_of(pixels):
    """The number of a frame, by its colour."""
    height, width = pixels.shape[:2]
    return round(float(np.median(pixels[height // 2 + 4 :, 4 : width - 4, 0])) / STEP)
