"""Upload of a model's folder to the Hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCardData, constants, get_token
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import disable_progress_bars

from lookwhere_cli.checkpoints.configs import read_config
from lookwhere_cli.checkpoints.exported import open_exported, read_record, uploaded_files
from lookwhere_cli.checkpoints.hub import LOG_IN, hub_errors
from lookwhere_cli.checkpoints.layout import CARD, CONFIG, EXPORT, RESULTS, TRAINING, WEIGHTS
from lookwhere_cli.checkpoints.names import HubName, ModelLocation
from lookwhere_cli.checkpoints.sums import changed_files
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.config import Config
from lookwhere_cli.text import printable

UPLOADED = (CONFIG, WEIGHTS, RESULTS, TRAINING)
TAGS = ["lookwhere", "vision-transformer", "token-selection", "adaptive-computation"]


def push(folder: Path, model: HubName, card: str, pipeline: str) -> str:
    """Upload the folder's model to a repository, which is created if it is missing; return the commit.

    card: the text of README.md, without the Hub's metadata, which is put in front of it.
    pipeline: the Hub's name for what the model does, by which people find it: "image-classification".

    Raises ModelError for a model that is damaged or has no licence, and if the Hub refuses.
    """
    config = _checked_config(folder)
    if get_token() is None:
        raise ModelError(f"Uploading to {model.repository!r} requires a login; {LOG_IN}.")
    operations = [CommitOperationAdd(name, str(folder / name)) for name in _uploaded(folder)]
    operations.append(CommitOperationAdd(CARD, printable(f"{_metadata(config, pipeline)}\n\n{card}").encode()))
    if not sys.stderr.isatty():
        disable_progress_bars()
    with hub_errors(model):
        api = HfApi(library_name="lookwhere")
        api.create_repo(model.repository, exist_ok=True)
        try:
            return _commit(api, model.repository, operations)
        except OfflineModeIsEnabled:
            raise
        except ConnectionError:
            with _xet_disabled():
                return _commit(api, model.repository, operations)


def _uploaded(folder: Path) -> list[str]:
    """Return the names of the files to upload, without the card."""
    if (folder / EXPORT).is_file():
        return uploaded_files(folder, read_record(folder))
    return [name for name in UPLOADED if (folder / name).is_file()]


def _commit(api: HfApi, repository: str, operations: Sequence[CommitOperationAdd]) -> str:
    return api.create_commit(repository, operations, commit_message="Upload a LookWhere model").oid


@contextmanager
def _xet_disabled() -> Iterator[None]:
    """Upload without Xet, which the client uses wherever it is installed: a self-hosted Hub may not support it."""
    before = constants.HF_HUB_DISABLE_XET
    constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


def _metadata(config: Config, pipeline: str) -> str:
    """Return the card's YAML header, which the Hub reads."""
    data = ModelCardData(
        license=config.license,
        library_name="lookwhere",
        pipeline_tag=pipeline,
        tags=TAGS,
    )
    return f"---\n{data.to_yaml()}\n---"


def _checked_config(folder: Path) -> Config:
    """Return the config of a model that may be uploaded. Raises ModelError for any other."""
    config = read_config(folder)
    if not config.license:
        raise ModelError(
            f"The model in {str(folder)!r} has no licence, so nobody may use it; name its licence in {CONFIG}, for "
            'instance "license": "mit".'
        )
    if (folder / EXPORT).is_file():
        open_exported(ModelLocation(folder.name, folder))
        return config
    if WEIGHTS in changed_files(folder):
        raise ModelError(
            f"{str(folder / WEIGHTS)!r} has changed since it was saved, and is not uploaded; save or copy it again."
        )
    from lookwhere_cli.checkpoints.folder import load_folder  # it imports torch

    load_folder(ModelLocation(folder.name, folder), "cpu")
    return config
