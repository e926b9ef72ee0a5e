import os
import subprocess
import sys

import pytest

from tests.hub.server import Hub


@pytest.fixture
def hub():
    """An empty Hub on loopback."""
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def home(hub, tmp_path, monkeypatch):
    """The folder of an empty cache; this process uses it, and that Hub, without a token."""
    from huggingface_hub import constants

    from lookwhere_cli.checkpoints import transfer

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path / "home" / "assets"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    return tmp_path / "home"


@pytest.fixture
def files(model_folder):
    """The tiny model's files, as a repository holds them."""
    return {name: (model_folder / name).read_bytes() for name in ("config.json", "model.safetensors", "README.md")}


@pytest.fixture
def start_command(hub, tmp_path):
    """Start the command line in another process, with that Hub and an empty cache."""

    def start(*arguments, **variables):
        environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), **variables}
        environment.pop("HF_TOKEN", None)
        return subprocess.Popen(
            [sys.executable, "-m", "lookwhere_cli", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    return start
