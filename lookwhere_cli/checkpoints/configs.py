"""A model's config.json: reading and writing it. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lookwhere_cli.checkpoints.layout import CONFIG
from lookwhere_cli.checkpoints.records import read_json
from lookwhere_cli.encodings import encode_text
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import check_own_schedule, pruning_of
from lookwhere_cli.output.files import whole_file, writing

DIGEST_DIGITS = 12


def write_config(folder: Path, config: Config) -> None:
    """Write the folder's config. Raises OutputError."""
    text = json.dumps(config.to_dict(), indent=2, ensure_ascii=False)
    with whole_file(folder / CONFIG) as stream, writing(folder / CONFIG):
        stream.write(encode_text(text) + b"\n")


def read_config(folder: Path) -> Config:
    """Return the folder's config. Raises ModelError with the file's name and what is wrong in it."""
    values = read_json(folder / CONFIG)
    try:
        config = Config.from_dict(values)
        check_own_schedule(config, pruning_of(config))
    except ValueError as failure:
        raise ModelError(f"In {str(folder / CONFIG)!r}: {failure}.") from failure
    return config


def config_digest(folder: Path) -> str:
    """Return the short hash of the folder's config: answers depend on it beside the weights. Raises ModelError."""
    text = json.dumps(read_config(folder).to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]
