"""How users name a timm ViT: NAME, FILE or NAME=FILE. It imports no torch, so that mistakes are told at once."""

import re
from typing import NamedTuple

PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
ENDINGS = (".safetensors", *PICKLES)
_NAMED = re.compile(r"(?P<name>[\w.:-]+)=(?P<file>.+)", re.DOTALL)


class TimmSpec(NamedTuple):
    """name: timm's; "" if only a file is given. file: "" if only a name is given."""

    name: str
    file: str


def parse_timm_spec(spec: str) -> TimmSpec:
    """Divide NAME, FILE or NAME=FILE; a file is known by its ending: .safetensors, .pth, .pt, .bin, .ckpt, .tar."""
    if not spec.lower().endswith(ENDINGS):
        return TimmSpec(spec, "")
    named = _NAMED.fullmatch(spec)
    return TimmSpec(named["name"], named["file"]) if named else TimmSpec("", spec)
