"""The folder of an exported model: graphs in place of weights, and export.json, which lists them. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from lookwhere_cli.checkpoints.configs import read_config
from lookwhere_cli.checkpoints.layout import CONFIG, EXPORT, RESULTS, SUMS, TRAINING
from lookwhere_cli.checkpoints.names import ModelLocation
from lookwhere_cli.checkpoints.records import read_json
from lookwhere_cli.checkpoints.sums import changed_files, read_sums
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.files import whole_file, writing

VERSION = 1
"""Of what the graphs are given and return; a change that older code would misread raises it."""
REVISION_DIGITS = 12


@dataclass(frozen=True)
class ExportRecord:
    """What export.json says.

    format: "onnx" or "torch". graphs: the file of each graph, by the graph's name. weights: how they are stored:
    "float32", "float16" or "int8". opset: of ONNX, 0 for other formats. source, revision: the model that was exported.
    tools: versions of the libraries that wrote the files. verified: what a comparison with the source found.
    """

    version: int
    format: str
    graphs: dict[str, str]
    weights: str
    opset: int
    source: str
    revision: str
    tools: dict[str, str]
    verified: dict[str, Any] | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the folder that a copy needs, the record last; the card and other records may be missing."""
        return (CONFIG, *self.graphs.values(), SUMS, EXPORT)


@dataclass(frozen=True)
class Exported:
    """An exported model whose files are whole. revision: its commit, else the short hash of its files."""

    config: Config
    record: ExportRecord
    name: str
    revision: str
    folder: Path


def is_exported(folder: Path) -> bool:
    """Return True for the folder of an exported model."""
    return (folder / EXPORT).is_file()


def write_record(folder: Path, record: ExportRecord) -> None:
    """Write the folder's export.json. Raises OutputError."""
    with whole_file(folder / EXPORT) as stream, writing(folder / EXPORT):
        stream.write(json.dumps(asdict(record), indent=2, ensure_ascii=False).encode() + b"\n")


def read_record(folder: Path) -> ExportRecord:
    """Return what export.json says. Raises ModelError if it is damaged, or of a version that this code can't read."""
    file = folder / EXPORT
    values = read_json(file)
    if values.get("version") != VERSION:
        raise ModelError(
            f"{str(file)!r} is of version {values.get('version')!r}, and this lookwhere reads version {VERSION}; "
            "export the model again with it."
        )
    try:
        record = msgspec.convert(values, ExportRecord)
    except msgspec.ValidationError as failure:
        raise ModelError(f"{str(file)!r} is damaged: {failure}; export the model again.") from failure
    if "extractor" not in record.graphs:
        raise ModelError(f"{str(file)!r} is damaged: it lists no graph of the extractor; export the model again.")
    for name in record.graphs.values():
        if not name or Path(name).name != name:
            raise ModelError(f"{str(file)!r} is damaged: {name!r} is not the name of a file beside it.")
    return record


def open_exported(location: ModelLocation) -> Exported:
    """Read and check all of an exported model's files.

    Raises ModelError for a file that is missing or has changed since it was written, and for an unknown version.
    """
    folder = location.folder
    record = read_record(folder)
    check_files(folder, record)
    return Exported(read_config(folder), record, location.name, exported_revision(location), folder)


def exported_revision(location: ModelLocation) -> str:
    """Return what tells one state of an exported model's files from another, without reading them."""
    return location.commit or hashlib.sha256((location.folder / SUMS).read_bytes()).hexdigest()[:REVISION_DIGITS]


def check_files(folder: Path, record: ExportRecord) -> None:
    """Raise ModelError for a file that is missing, has no stored hash, or has changed since it was written."""
    check_present(folder, record)
    unknown = {CONFIG, *record.graphs.values()} - read_sums(folder).keys()
    changed = sorted({*unknown, *changed_files(folder)})
    if changed:
        raise ModelError(
            f"{str(folder / changed[0])!r} is damaged or was edited: its hash is not the one in {SUMS}; copy the "
            "exported model again, or export it again."
        )


def check_present(folder: Path, record: ExportRecord) -> None:
    """Raise ModelError for a file that is missing."""
    for name in record.files:
        if not (folder / name).is_file():
            raise ModelError(f"The exported model in {str(folder)!r} lacks {name}; copy it again, or export it again.")


def uploaded_files(folder: Path, record: ExportRecord) -> list[str]:
    """Return the names of the files that make a whole copy, without the card."""
    return [*record.files, *(name for name in (RESULTS, TRAINING) if (folder / name).is_file())]


def holds_exported(folder: Path) -> bool:
    """Return True if the folder has all files that its export.json lists; their bytes are not read."""
    try:
        return all((folder / name).is_file() for name in read_record(folder).files)
    except ModelError:
        return False
