"""What all HTML pages share: templates that escape text, and pictures as data URIs."""

import base64
import io

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image


def render(template: str, **values: object) -> str:
    """Fill a template of this folder. Text is escaped; a value that the template uses must be given."""
    environment = Environment(
        loader=PackageLoader("lookwhere_cli.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def shrink(picture: Image.Image, side: int) -> Image.Image:
    """Return an RGB copy whose longer side is at most `side` pixels."""
    small = picture.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small


def picture_uri(picture: Image.Image, kind: str, quality: int) -> str:
    """Encode a picture as JPEG or PNG in a data URI; PNG ignores the quality."""
    file = io.BytesIO()
    picture.save(file, kind, quality=quality, optimize=True)
    return data_uri(file.getvalue(), kind)


def data_uri(content: bytes, kind: str) -> str:
    """Return an encoded picture as a data URI."""
    return f"data:image/{kind.lower()};base64,{base64.b64encode(content).decode()}"
