"""Without a network, a model or a teacher that must be fetched is refused at once, in one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants
from safetensors.torch import save_file

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.checkpoints.timm_weights import check_obtainable
from lookwhere_cli.errors import ModelError
from lookwhere_cli.training.timm_models import load_vit
from tests.hub.test_pull import forbid_sockets

EXAMPLES = Path(__file__).parents[2] / "examples"
CLOSED = "http://127.0.0.1:9"  # nobody listens
TEACHER = "vit_tiny_patch16_224"
COMMANDS = [
    (["classify", EXAMPLES, "--model", "me/birds"], "me/birds"),
    (["explain", EXAMPLES, "--model", "me/birds"], "me/birds"),
    (["segment", EXAMPLES, "--out", "out", "--model", "me/birds"], "me/birds"),
    (["features", EXAMPLES, "--out", "out.safetensors", "--model", "me/birds"], "me/birds"),
    (["train", EXAMPLES, "--out", "out", "--model", "me/birds"], "me/birds"),
    (["evaluate", EXAMPLES, "--out", "out", "--teacher", TEACHER], TEACHER),
    (["compare", EXAMPLES, "--out", "out", "--use", "full=me/birds"], "me/birds"),
    (["pretrain", EXAMPLES, "--out", "out", "--teacher", TEACHER], TEACHER),
    (["pretrain", EXAMPLES, "--out", "out", "--teacher", f"timm/{TEACHER}"], TEACHER),
    (["pretrain", EXAMPLES, "--out", "out", "--teacher", "a.safetensors", "--init", "me/birds"], "me/birds"),
]
SCRIPT = """
import json
import sys
from lookwhere_cli.cli.app import main

for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        print("ENDED", ended.code, "TORCH", "torch" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("variables", "reason"),
    [({"HF_ENDPOINT": CLOSED}, "the Hub can't be reached"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids")],
    ids=["closed", "offline"],
)
def test_every_command_ends_in_one_sentence_before_torch_is_imported(tmp_path, variables, reason):
    """The commands run one after the other in one process, which takes the Hub's variables when it starts."""
    environment = os.environ | {"HF_HOME": str(tmp_path / "home"), **variables}
    arguments = json.dumps([[str(word) for word in command] for command, _ in COMMANDS])
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0 and ran.stdout == "", ran.stderr
    lines = ran.stderr.splitlines()  # no line of the Hub's client, which would announce each of its attempts
    assert lines[1::2] == ["ENDED 3 TORCH False"] * len(COMMANDS), ran.stderr
    for sentence, (command, name) in zip(lines[::2], COMMANDS, strict=True):
        assert sentence.startswith("Error: ") and f"{name}'" in sentence and reason in sentence, command
    assert not list(tmp_path.glob("out*"))


def test_a_teacher_that_was_downloaded_before_opens_no_socket(home, monkeypatch):
    timm = import_timm()
    vit = timm.create_model(TEACHER)
    repository = timm.get_pretrained_cfg(TEACHER).hf_hub_id
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    save_file(vit.state_dict(), snapshot / "model.safetensors")
    forbid_sockets(monkeypatch)
    check_obtainable(TEACHER)
    loaded = load_vit(TEACHER)
    assert (loaded.vit.head.weight == vit.head.weight).all() and loaded.license == "apache-2.0"


def test_python_refuses_a_teacher_without_waiting_for_timm(home, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    with pytest.raises(ModelError, match=rf"^The weights of '{TEACHER}' are not in the cache, and the Hub can't be re"):
        load_vit(TEACHER)
