"""Imports between rooms go one way, and what is heavy waits until it is used."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lookwhere_cli"
# Each room may import those of the levels above its own, here from the right end of the line to the left.
LEVELS = (
    {"errors", "machine", "text", "amounts"},
    {"extras", "sizes"},
    {"output"},
    {"macs", "models", "images"},
    {"checkpoints"},
    {"answers", "predictor", "staged", "adaptive", "dvt_predictor", "loading", "segmenter", "show"},
    {"data"},
    {"metrics"},
    {"training"},
    {"evaluation"},
    {"bench"},
    {"cli"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
SAME_LEVEL = {
    *(("predictor", "answers"), ("loading", "predictor"), ("segmenter", "predictor")),
    *((own, other) for own in ("staged", "adaptive", "dvt_predictor") for other in ("answers", "predictor")),
    *((own, "staged") for own in ("adaptive", "dvt_predictor")),
    *(("loading", own) for own in ("adaptive", "dvt_predictor")),
    *(("macs", "models"), ("models", "macs")),
}
ENTRANCES = {"__init__", "__main__"}


def room_of(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_one_way(file):
    room = room_of(file)
    if room in ENTRANCES:
        return
    assert room in LEVEL, f"{room} is a room that this test does not know"
    for module in imports(file):
        assert not module.startswith("."), f"{file} imports relatively"
        if not module.startswith("lookwhere_cli."):
            continue
        other = module.split(".")[1]
        allowed = other == room or LEVEL[other] < LEVEL[room] or (room, other) in SAME_LEVEL
        assert allowed, f"{file.relative_to(PACKAGE)} imports {module}"


def test_pictures_know_no_torch_and_models_no_files_and_no_pictures():
    for file in FILES:
        tops = {module.split(".")[0] for module in imports(file)}
        if room_of(file) == "images":
            assert not tops & {"torch", "timm", "rich", "typer"}, file
        if room_of(file) == "models":
            assert not tops & {"PIL", "pathlib", "timm", "rich", "typer", "safetensors"}, file
        if room_of(file) in ("show", "output", "macs", "data"):
            assert "torch" not in tops, file


def test_no_file_and_no_function_is_too_long():
    for file in FILES:
        text = file.read_text()
        assert len(text.splitlines()) <= 400, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.end_lineno - node.body[0].lineno  # a command's options are a list, not a thought
                assert body < 60, f"{file}: {node.name}"


def imported(code):
    """The modules that are loaded once the code has run, in a fresh interpreter."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('MODULES', *sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    return set(ran.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    "command", [["--help"], ["--version"], ["classify", "--help"], ["segment", "--help"], ["evaluate", "--help"]]
)
def test_help_loads_nothing_heavy(command):
    found = imported(
        f"sys.argv = ['lookwhere', *{command}]; from lookwhere_cli.cli.app import main; main()",
    )
    assert not found & {"torch", "timm", "torchvision", "pyarrow", "numpy", "PIL.Image", "matplotlib", "safetensors"}


def test_classifying_loads_only_what_it_needs(model_folder, photos):
    found = imported(
        f"sys.argv = ['lookwhere', 'classify', {str(photos / '0.png')!r}, '--model', {str(model_folder)!r}]; "
        "from lookwhere_cli.cli.app import main; main()"
    )
    assert "torch" in found
    assert not found & {
        *("timm", "torchvision", "pyarrow", "matplotlib", "huggingface_hub", "accelerate", "jinja2"),
        *("torch._dynamo", "torch._inductor"),
    }
