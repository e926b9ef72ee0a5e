"""A model's folder goes to the Hub, with a card written from what is on record of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCardData, constants, get_token
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import disable_progress_bars

from lookwhere_cli.checkpoints.card import full_card
from lookwhere_cli.checkpoints.folder import load_model, read_config, read_results, read_training
from lookwhere_cli.checkpoints.hub import LOG_IN, sentences
from lookwhere_cli.checkpoints.names import CARD, CONFIG, RESULTS, TRAINING, WEIGHTS, HubName
from lookwhere_cli.checkpoints.sums import differing
from lookwhere_cli.errors import ModelError
from lookwhere_cli.models.config import Config

SENT = (CONFIG, WEIGHTS, RESULTS, TRAINING)
TAGS = ["lookwhere", "vision-transformer", "token-selection", "adaptive-computation"]


def push(folder: Path, wanted: HubName) -> str:
    """Upload the model, with a card of its own, to a repository that is made where it is missing; gives the commit.

    Raises ModelError for a model that is broken or without a licence, and where the Hub refuses.
    """
    config = _publishable(folder)
    if get_token() is None:
        raise ModelError(f"Uploading to {wanted.repository!r} needs to know who you are; {LOG_IN}.")
    operations = [CommitOperationAdd(name, str(folder / name)) for name in SENT if (folder / name).is_file()]
    operations.append(CommitOperationAdd(CARD, card(folder, wanted.repository, config).encode()))
    if not sys.stderr.isatty():
        disable_progress_bars()
    with sentences(wanted):
        api = HfApi(library_name="lookwhere")
        api.create_repo(wanted.repository, exist_ok=True)
        try:
            return _commit(api, wanted.repository, operations)
        except OfflineModeIsEnabled:
            raise
        except ConnectionError:
            with _plain_uploads():
                return _commit(api, wanted.repository, operations)


def _commit(api: HfApi, repository: str, operations: Sequence[CommitOperationAdd]) -> str:
    return api.create_commit(repository, operations, commit_message="Upload a LookWhere model").oid


@contextmanager
def _plain_uploads() -> Iterator[None]:
    """Without Xet, which the client takes for granted where it is installed: a Hub of one's own need not have it."""
    before = constants.HF_HUB_DISABLE_XET
    constants.HF_HUB_DISABLE_XET = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


def card(folder: Path, name: str, config: Config) -> str:
    """The card with the Hub's metadata in front."""
    data = ModelCardData(
        license=config.license,
        library_name="lookwhere",
        pipeline_tag="image-classification" if config.labels else "image-feature-extraction",
        tags=TAGS,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{full_card(name, config, read_training(folder), read_results(folder))}"


def _publishable(folder: Path) -> Config:
    config = read_config(folder)
    if not config.license:
        raise ModelError(
            f"The model in {str(folder)!r} has no licence, so nobody could use it; say under which one it may be used, "
            f'in {CONFIG}: "license": "mit".'
        )
    changed = differing(folder)
    if WEIGHTS in changed:
        raise ModelError(f"{str(folder / WEIGHTS)!r} is not what it was when it was saved; it is not uploaded.")
    load_model(str(folder.resolve()), "cpu")
    return config
