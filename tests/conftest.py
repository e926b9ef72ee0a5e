"""What all rooms' tests share: a tiny model's folder, photographs of several shapes, the command line in-process."""

import functools
import os
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import typer.main
from hypothesis import settings
from jaxtyping import install_import_hook
from PIL import Image

import lookwhere_cli

# Several threads for tiny tensors cost more than they give, most of all where other work runs.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A script's background jobs ignore Ctrl-C and hand that on; the commands started here must hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Compiled tests and modules are kept (beside the sources, as git ignores them): the tests start many processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes depends on what else the machine does; each run draws other ones.
settings.register_profile("untimed", deadline=None, max_examples=40)
settings.load_profile("untimed")

# Each call of the command line would build the parsers of all commands anew, which takes longer than many commands.
typer.main.get_command = functools.cache(typer.main.get_command)

# Whatever a test calls in models/, the shapes and types in the signatures are checked.
PACKAGE = Path(lookwhere_cli.__file__).parent
SHAPED = [file for file in (PACKAGE / "models").rglob("*.py") if "jaxtyping" in file.read_text()]
install_import_hook(
    [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in SHAPED],
    "tests.typechecker",
)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A model of 24 channels, 6 x 6 cells of 4 pixels and three labels, with random weights."""
    from lookwhere_cli.checkpoints.folder import save_model
    from tests.models.small import LABELLED, small

    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, small(LABELLED), "# tiny\n")
    return folder


@pytest.fixture(scope="session")
def segmenting_folder(tmp_path_factory):
    """A model likewise, that segments."""
    from lookwhere_cli.checkpoints.folder import save_model
    from tests.models.small import SEGMENTING, small

    folder = tmp_path_factory.mktemp("models") / "segmenting"
    save_model(folder, small(SEGMENTING), "# segmenting\n")
    return folder


@pytest.fixture(scope="session")
def detecting_folder(tmp_path_factory):
    """A model likewise, that finds boxes."""
    from lookwhere_cli.checkpoints.folder import save_model
    from tests.models.small import DETECTING, small

    folder = tmp_path_factory.mktemp("models") / "detecting"
    save_model(folder, small(DETECTING), "# detecting\n")
    return folder


@pytest.fixture(scope="session")
def pruning_folder(tmp_path_factory):
    """A model likewise, that classifies and drops some of the cells that it reads."""
    from lookwhere_cli.checkpoints.folder import save_model
    from tests.models.small import PRUNING, small

    folder = tmp_path_factory.mktemp("models") / "pruning"
    save_model(folder, small(PRUNING), "# pruning\n")
    return folder


@pytest.fixture(scope="session")
def cascade_folder(tmp_path_factory):
    """A cascade over three grids likewise."""
    from lookwhere_cli.checkpoints.folder import save_model
    from tests.models.small import small_cascade

    folder = tmp_path_factory.mktemp("models") / "cascade"
    save_model(folder, small_cascade(), "# cascade\n")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Twelve pictures of noise, of four shapes, in turn."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for index in range(12):
        height, width = ((40, 60), (60, 40), (50, 50), (30, 90))[index % 4]
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="session")
def files(photos):
    """The paths of those pictures."""
    return sorted(os.fspath(file) for file in photos.iterdir())


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def lookwhere(model_folder, monkeypatch, capfdbinary):
    """Run the real entry point in this process, with the tiny model as the default."""
    from lookwhere_cli.cli.app import main

    monkeypatch.setenv("LOOKWHERE_MODEL", str(model_folder))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lookwhere", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        written = capfdbinary.readouterr()
        return Ran(ended.value.code or 0, written.out.decode(), written.err.decode())

    return run
