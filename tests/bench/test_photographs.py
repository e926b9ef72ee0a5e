"""The pictures that `bench` reads if none are given."""

from pathlib import Path

import pytest
from PIL import Image

from lookwhere_cli.bench import photographs
from lookwhere_cli.bench.photographs import SHAPES, draw_pictures, example_photographs, make_photographs

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package lies, no examples lie; the current folder is empty."""
    monkeypatch.setattr(photographs, "FOLDERS", (photographs.FOLDERS[0], tmp_path / "site-packages" / "examples"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_the_source_tree_are_found_from_any_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in example_photographs()] == sorted(path.name for path in EXAMPLES.glob("*.jpg"))


def test_an_installed_package_finds_the_examples_of_the_clone_it_is_run_in(installed: Path) -> None:
    (installed / "examples").symlink_to(EXAMPLES)
    assert [path.name for path in example_photographs()] == sorted(path.name for path in EXAMPLES.glob("*.jpg"))


def test_without_examples_pictures_are_drawn(installed: Path) -> None:
    assert example_photographs() == []
    made = make_photographs(draw_pictures(installed), 7, installed)
    assert [Image.open(path).size for path in made] == [SHAPES[number % len(SHAPES)] for number in range(7)]
    sizes = [path.stat().st_size for path in made]
    assert min(sizes) > 10_000 and max(sizes) < 200_000  # as photographs of that size have


def test_the_command_says_that_pictures_are_drawn(lookwhere, installed: Path, monkeypatch) -> None:
    from lookwhere_cli.cli import bench

    monkeypatch.setattr(bench, "PHOTOGRAPHS", 5)
    ran = lookwhere("bench", "folder", "--rounds", "1", "--device", "cpu")
    assert ran.code == 0 and "classify, 5 photographs" in ran.out
    assert ran.err.startswith("No photographs in examples/, so drawn pictures are read")
