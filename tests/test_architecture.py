"""Imports between rooms go one way, and what is heavy waits until it is used."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lookwhere_cli"
# A room may import those of the lines above its own.
LEVELS = (
    {"amounts", "encodings", "errors", "interrupts", "machine", "probabilities", "text"},
    {"budget", "extras", "options", "sizes", "torchvision_stub"},
    {"images", "output"},
    {"detections", "macs", "metrics", "models"},
    {"checkpoints", "reader", "runtimes", "show"},
    {"heads"},
    {"strategies"},
    {"card", "stream"},
    {"pipeline"},
    {"explain", "features", "windows"},
    {"predictor"},
    {"loading", "segmenter"},
    {"export"},
    {"data"},
    {"scoring"},
    {"training"},
    {"evaluation"},
    {"jobs"},
    {"bench"},
    {"cli"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# `macs` reads configs and pruning schedules, which in turn are solved for multiply-adds.
NEIGHBOURS = {("macs", "models"), ("models", "macs")}
ENTRANCES = {"__init__", "__main__"}
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES
}


def room_of(file):
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def tree_of(file):
    return ast.parse(file.read_text())


@cache
def nodes_of(file):
    return list(ast.walk(tree_of(file)))


def imports(file):
    """All that a file imports, in functions and under TYPE_CHECKING too."""
    for node in nodes_of(file):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level


def test_imports_go_one_way():
    wrong = []
    for file in FILES:
        room, name = room_of(file), file.relative_to(PACKAGE)
        if room in ENTRANCES:
            continue
        assert room in LEVEL, f"{room} is a room that this test does not know"
        for module in imports(file):
            assert not module.startswith("."), f"{name} imports relatively"
            other = module.split(".")[1] if module.startswith("lookwhere_cli.") else room
            if other != room and LEVEL[other] >= LEVEL[room] and (room, other) not in NEIGHBOURS:
                wrong.append(f"{name} imports {module}")
    assert wrong == []


def test_no_files_import_each_other_in_a_circle():
    graph = {module: {other for other in imports(file) if other in MODULES} for module, file in MODULES.items()}
    try:
        list(TopologicalSorter({module: others - {module} for module, others in graph.items()}).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("words", [r"\b(task|kind)\b *(==|!=|in\b)", r"isinstance\([^)]*DVT", r"config\.exits"])
def test_tasks_and_methods_are_told_apart_by_objects(words):
    """A task is a file in heads/, a method one in strategies/; nothing else asks which one it has."""
    allowed = {"heads", "strategies", "models", "data"}
    found = [
        f"{file.relative_to(PACKAGE)}:{number}"
        for file in FILES
        if room_of(file) not in allowed
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(words, line)
    ]
    assert not found


def test_no_two_public_classes_share_a_name():
    names = Counter(
        node.name
        for file in FILES
        for node in nodes_of(file)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


WITHOUT_TORCH = (
    *("budget", "data", "detections", "explain", "features", "macs", "output", "pipeline", "predictor"),
    *("probabilities", "reader", "segmenter", "show", "strategies", "stream", "windows"),
)
FORBIDDEN = {
    "images": {"torch", "timm", "rich", "typer"},
    "models": {"PIL", "pathlib", "timm", "rich", "typer", "safetensors"},
    **{room: {"torch", "timm"} for room in WITHOUT_TORCH},
}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_each_room_knows_only_its_own_libraries(room):
    for file in FILES:
        if room_of(file) == room:
            assert not {module.split(".")[0] for module in imports(file)} & FORBIDDEN[room], file


def test_the_main_line_is_short_and_no_file_is_long():
    assert len((PACKAGE / "predictor.py").read_text().splitlines()) < 150
    for file in FILES:
        assert len(file.read_text().splitlines()) <= 400, file


def test_functions_are_short():
    """Signatures included; bodies of protocols' methods are no functions."""
    lengths = {
        f"{file.relative_to(PACKAGE)}: {node.name}": node.end_lineno - node.lineno + 1
        for file in FILES
        for node in nodes_of(file)
        if isinstance(node, ast.FunctionDef)
    }
    ordered = sorted(lengths.values())
    assert {name: length for name, length in lengths.items() if length > 80} == {}
    assert ordered[len(ordered) // 2] <= 8
    assert ordered[len(ordered) * 95 // 100] <= 30


def is_documented(node):
    """True if the function has a docstring, or takes that of another: an overload, a wrapped command."""
    shared = {"overload", "wraps", "override"}
    return ast.get_docstring(node) is not None or any(
        getattr(part, "id", getattr(part, "attr", None)) in shared
        for decorator in node.decorator_list
        for part in ast.walk(decorator)
    )


def public_functions(node, in_private_class=False):
    """All functions without a leading underscore, those in functions too; methods of public classes only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef) and not child.name.startswith("_") and not in_private_class:
            yield child
        is_private = isinstance(child, ast.ClassDef) and child.name.startswith("_")
        yield from public_functions(child, is_private)


def test_what_ruff_leaves_out_is_documented_too():
    """Ruff's D1 asks for docstrings, but neither of functions in functions nor where it is told to be silent."""
    missing = [
        f"{file.relative_to(PACKAGE)}:{function.lineno} {function.name}"
        for file in FILES
        for function in public_functions(tree_of(file))
        if not is_documented(function)
    ]
    assert missing == []
    silenced = [file for file in FILES if re.search(r"# noqa:.*\bD1", file.read_text())]
    assert silenced == []


def imported(code):
    """The modules that are loaded once the code has run, in a fresh interpreter."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('MODULES', *sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    return set(ran.stdout.rpartition("MODULES")[2].split())


def test_help_loads_nothing_heavy():
    commands = ["classify", "segment", "evaluate", "train", "calibrate"]
    found = imported(
        "from contextlib import suppress; from lookwhere_cli.cli.app import main\n"
        f"    for arguments in [['--version'], ['--help'], *([name, '--help'] for name in {commands})]:\n"
        "        sys.argv = ['lookwhere', *arguments]\n"
        "        with suppress(SystemExit): main()"
    )
    assert "typer" in found
    assert not found & {
        "torch",
        "timm",
        "torchvision",
        "pyarrow",
        "numpy",
        "PIL.Image",
        "matplotlib",
        "safetensors",
        "accelerate",
        "ray",
    }


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
