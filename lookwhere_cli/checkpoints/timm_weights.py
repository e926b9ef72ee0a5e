"""Weights of timm's models on the Hub: whether they can be had, asked before torch is imported or timm retries."""

from __future__ import annotations

import glob
from pathlib import Path

from lookwhere_cli.checkpoints.environment import check_client, check_network, said_of_environment
from lookwhere_cli.checkpoints.transfer import TIMEOUT
from lookwhere_cli.errors import ModelError

WEIGHTS_FILE = "model.safetensors"


def check_obtainable(name: str) -> None:
    """Raise ModelError if no weights of that name are in the Hub's cache and the Hub can't be reached.

    name: timm's, with its tag or without; whether timm has such a model is not asked.
    """
    check_client()
    import httpx2
    from huggingface_hub import constants
    from huggingface_hub.errors import OfflineModeIsEnabled
    from huggingface_hub.utils import get_session

    repositories = f"models--*{glob.escape(name.replace('/', '--'))}*"
    if any(Path(constants.HF_HUB_CACHE).glob(f"{repositories}/snapshots/*/{WEIGHTS_FILE}")):
        return
    check_network()
    try:
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)
    except OfflineModeIsEnabled as failure:
        raise _missing(name, "HF_HUB_OFFLINE forbids fetching them; unset that variable") from failure
    except (httpx2.HTTPError, ConnectionError) as failure:
        reason = str(failure) or type(failure).__name__
        raise _missing(
            name, f"the Hub can't be reached ({reason}); check the network{said_of_environment()}"
        ) from failure


def cached_weights(repository: str) -> str | None:
    """Return the file of a timm repository's weights in the Hub's cache; None if it is not there."""
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(repository, WEIGHTS_FILE)
    return file if isinstance(file, str) else None


def _missing(name: str, reason: str) -> ModelError:
    return ModelError(f"The weights of {name!r} are not in the cache, and {reason}, or give a file: {name}=FILE.")
