"""The hashes of a model's files, taken when they are written and kept beside them, as `sha256sum -c` reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lookwhere_cli.checkpoints.names import CONFIG, WEIGHTS
from lookwhere_cli.errors import ModelError
from lookwhere_cli.output.files import whole_file, writing

SUMS = "SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Write the hashes of config and weights. Raises OutputError."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in (CONFIG, WEIGHTS)]
    with whole_file(folder / SUMS) as stream, writing(folder / SUMS):
        stream.write("".join(lines).encode())


def read_sums(folder: Path) -> dict[str, str]:
    """The hash of each file, by name; empty where none were kept. Raises ModelError for a file that says no such."""
    file = folder / SUMS
    if not file.is_file():
        return {}
    try:
        pairs = [line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines()]
        return {name: digest for digest, name in pairs}
    except ValueError as failure:
        raise ModelError(f"{str(file)!r} is damaged; it should hold a hash and a name in each line.") from failure


def differing(folder: Path) -> list[str]:
    """The names of the files whose bytes are not what they were when the hashes were taken, or that are gone."""
    return [name for name, digest in read_sums(folder).items() if digest != sha256(folder / name)]


def sha256(file: Path) -> str | None:
    """The file's SHA-256, in hexadecimal digits; None where there is no such file."""
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
