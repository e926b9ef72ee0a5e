"""Files that Pillow can't write, byte by byte."""

import struct
import zlib

import numpy as np
from PIL import Image, ImageCms


def noise(height, width, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def smooth(height, width):
    """Return three channels of soft gradients, which JPEG hardly changes."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / width * 3), np.cos(y / height * 4), np.sin((x + y) / (width + height) * 5)]
    return np.stack([128 + 120 * wave for wave in waves], axis=-1).astype(np.uint8)


def write_png(path, height, width, depth, colour, rows):
    """Write a PNG of a bit depth and colour type from an array of rows, or from raw bytes, some of which may miss."""
    if not isinstance(rows, bytes):
        rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_tiff_16(path, rgb, order="<"):
    """Write (h, w, 3) uint16 as an uncompressed TIFF in the given byte order."""
    height, width = rgb.shape[:2]
    data = rgb.astype(f"{order}u2").tobytes()
    # tag: (type 3 is short, 4 is long; count; value)
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 3, 8 + len(data)), 259: (3, 1, 1), 262: (3, 1, 2)}
    tags |= {273: (4, 1, 8), 277: (3, 1, 3), 278: (4, 1, height), 279: (4, 1, len(data))}
    directory = struct.pack(f"{order}H", len(tags))
    for tag, (kind, count, value) in tags.items():
        short = kind == 3 and count == 1
        directory += struct.pack(
            f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, value, *([0] if short else [])
        )
    mark = b"II*\0" if order == "<" else b"MM\0*"
    start = struct.pack(f"{order}I", 8 + len(data) + 6)
    path.write_bytes(mark + start + data + struct.pack(f"{order}3H", 16, 16, 16) + directory + bytes(4))


def profile(space=b"RGB ", gamma=1.0, swap=False):
    """Build an ICC profile: sRGB's primaries (red and blue exchanged if `swap`), or grey, with a plain gamma."""
    red, green, blue = (0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    if swap:
        red, blue = blue, red
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": _xyz(*red), b"gXYZ": _xyz(*green), b"bXYZ": _xyz(*blue)}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    offset, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", offset + len(body), len(data))
        body += data
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", space, b"XYZ ").ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + _xyz(0.9642, 1.0, 0.8249)[8:]
    return header.ljust(128, b"\0") + table + body


def _xyz(*values):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def srgb_profile():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def write_ycck(path, cmyk):
    """Write (h, w, 4) inks as an Adobe YCCK JPEG, which stores them inverted, as luma and chroma."""
    luma = np.asarray(Image.fromarray(np.ascontiguousarray(cmyk[..., :3])).convert("YCbCr"))
    picture = Image.frombytes("CMYK", cmyk.shape[1::-1], np.dstack([255 - luma, cmyk[..., 3:]]).tobytes())
    picture.save(path, "JPEG", quality=100, subsampling=0)
    data = bytearray(path.read_bytes())
    data[data.index(b"Adobe") + 11] = 2
    path.write_bytes(data)
