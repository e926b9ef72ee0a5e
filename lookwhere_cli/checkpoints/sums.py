"""SHA256SUMS: the hashes of a model's files, written with them, in the format of `sha256sum -c`."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from lookwhere_cli.checkpoints.layout import CONFIG, SUMS, WEIGHTS
from lookwhere_cli.encodings import decode_text
from lookwhere_cli.errors import ModelError
from lookwhere_cli.output.files import whole_file, writing

_LINE = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](?P<name>[^/\\]+)")


def write_sums(folder: Path) -> None:
    """Write the hashes of the folder's config and weights. Raises OutputError."""
    lines = [f"{sha256(folder / name)}  {name}\n" for name in (CONFIG, WEIGHTS)]
    with whole_file(folder / SUMS) as stream, writing(folder / SUMS):
        stream.write("".join(lines).encode())


def read_sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by name; empty if the folder has no SHA256SUMS.

    Raises ModelError for a damaged SHA256SUMS, and for one that lists files outside the folder.
    """
    file = folder / SUMS
    if not file.is_file():
        return {}
    try:
        lines = decode_text(file.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as failure:
        raise ModelError(f"{str(file)!r} can't be read ({failure}); get it again with its model.") from failure
    return dict(_parse_line(line, file) for line in lines)


def changed_files(folder: Path) -> list[str]:
    """Return the names of the files that are missing or whose hash differs from SHA256SUMS. Raises ModelError."""
    return [name for name, digest in read_sums(folder).items() if digest != sha256(folder / name)]


def sha256(file: Path) -> str | None:
    """Return the file's SHA-256 in hexadecimal digits; None if there is no such file."""
    if not file.is_file():
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parse_line(line: str, file: Path) -> tuple[str, str]:
    parsed = _LINE.fullmatch(line)
    if parsed is None or parsed["name"] in (".", ".."):
        raise ModelError(
            f"{str(file)!r} is damaged: the line {line[:100]!r} is not a SHA-256 and the name of a file beside it; "
            "get it again with its model."
        )
    return parsed["name"], parsed["digest"]
