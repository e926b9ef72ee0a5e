"""Without the libraries of the extras, a command that needs one says so before it does anything else."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lookwhere_cli.extras import EXTRAS

# torchvision stays: timm, which is no extra, needs it too.
BLOCKED = sorted({package for packages in EXTRAS.values() for package in packages} - {"torchvision"})
SCRIPT = f"""
import json
import sys
sys.modules.update(dict.fromkeys({BLOCKED}))
from lookwhere_cli.cli.app import main
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as ended:
        print("ENDED", ended.code or 0, "TORCH", "torch" in sys.modules, file=sys.stderr)
"""
MODULES = {"openslide_python": "openslide"}
"""Packages that are imported by another name than they are installed by."""
NEEDS = [
    ("train", ["train", "data", "--out", "out"]),
    ("train", ["pretrain", "data", "--teacher", "vit_tiny_patch16_224", "--out", "out"]),
    ("train", ["compare", "data", "--out", "out"]),
    ("train", ["evaluate", "data"]),
    ("train", ["evaluate", "data", "--out", "out"]),
    ("parquet", ["classify", "data", "--format", "parquet", "--out", "out"]),
    ("parquet", ["features", "data", "--out", "out.parquet"]),
    ("parquet", ["segment", "data", "--out", "out", "--rows", "rows.parquet"]),
    ("parquet", ["segment", "data", "--out", "out", "--rows-format", "parquet"]),
    ("segment", ["segment", "data", "--out", "out", "--format", "rle"]),
    ("segment", ["segment", "data", "--out", "out", "--format", "geojson"]),
]


def without_extras(folder, *commands):
    """Run commands one after the other in one process; each ends in a line with its exit code."""
    arguments = json.dumps([list(map(str, command)) for command in commands])
    command = [sys.executable, "-c", SCRIPT, arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_extra_is_named_before_any_work_is_done(tmp_path):
    ran = without_extras(tmp_path, *(arguments for _, arguments in NEEDS))  # not even the missing data is noticed
    assert ran.returncode == 0 and ran.stdout == "", ran.stderr
    lines = ran.stderr.splitlines()
    assert lines[1::2] == ["ENDED 2 TORCH False"] * len(NEEDS), ran.stderr
    for line, (extra, arguments) in zip(lines[::2], NEEDS, strict=True):
        sentence = rf"Error: .* needs {EXTRAS[extra][0]}|Error: .* needs shapely" if extra == "segment" else "Error: .*"
        install = re.escape(f", which is not installed; install it with: pip install 'lookwhere[{extra}]'.")
        assert re.fullmatch(rf"({sentence}){install}", line), arguments
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_other_commands_need_no_extra(tmp_path, files, model_folder, cascade_folder):
    many = tmp_path / "many"
    many.mkdir()
    for number, file in enumerate(files * 3):  # calibration refuses fewer than ten for each of three stages
        shutil.copy(file, many / f"{number}.png")
    commands = (
        ["classify", many, "--format", "csv", "--out", "rows.csv", "--model", model_folder],
        ["explain", files[0], "--out", "overlay.png", "--html", "page.html", "--model", model_folder],
        ["calibrate", many, "--model", cascade_folder, "--budget", "60%", "--out", "calibrated"],
    )
    ran = without_extras(tmp_path, *([*arguments, "--device", "cpu"] for arguments in commands))
    assert ran.stderr.count("ENDED 0 ") == len(commands), ran.stderr


def test_the_extras_and_all_of_them_are_in_the_project():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    for extra, packages in EXTRAS.items():
        names = {re.split(r"[^\w-]", requirement)[0].replace("-", "_") for requirement in optional[extra]}
        assert {MODULES.get(name, name) for name in names} == set(packages)
    assert optional["all"] == [f"lookwhere[{','.join(EXTRAS)}]"]
