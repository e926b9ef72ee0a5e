"""README, docs and examples agree with the code: commands, links, fields, exit codes, source tree, Python blocks."""

import re
import runpy
import shlex
import shutil
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

import lookwhere_cli
from lookwhere_cli import errors
from lookwhere_cli.loading import load
from lookwhere_cli.options import Options
from lookwhere_cli.output.rows import COLUMNS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
README = PAGES[0].read_text()


def blocks(text, language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


def shell_lines():
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        fenced = [line for block in blocks(text, "sh") for line in block.splitlines()]
        yield from fenced + re.findall(r"^    (\S.*)$", text, re.MULTILINE) + re.findall(r"`(lookwhere [^`]+)`", text)


def commands():
    """Yield each `lookwhere` command on these pages as a list of its words, without the first."""
    for line in shell_lines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        parts = [[]]
        for word in words:
            if set(word) <= set("|&;<>()"):
                parts.append([])
            else:
                parts[-1].append(word)
        yield from (part[1:] for part in parts if part and part[0] == "lookwhere")


@pytest.mark.parametrize("words", sorted(set(map(tuple, commands()))), ids=" ".join)
def test_each_command_is_valid(lookwhere, words):
    result = lookwhere(*words, "--help")
    assert result.code == 0, result.err
    assert "Usage: lookwhere" in result.out and (words[0].startswith("-") or words[0] in result.out)


def test_an_unknown_option_is_an_error_even_with_help(lookwhere):
    assert lookwhere("classify", "photos/", "--no-such-option", "--help").code == 2


def anchors(page):
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_linked_file_and_heading_exists(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
        if not target.startswith("https://"):
            file = page.parent / target if target else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_the_tree_lists_the_rooms_and_modules():
    tree = next(block for block in blocks(README, "") if "lookwhere_cli/" in block)
    listed = set(re.findall(r"^  (\S+?)/? ", tree, re.MULTILINE))
    package = ROOT / "lookwhere_cli"
    rooms = {room.parent.name for room in package.glob("*/__init__.py")}
    assert listed == rooms | {module.name for module in package.glob("*.py")}
    for folder in re.findall(r"^(\S+)/", tree, re.MULTILINE):
        assert (ROOT / folder).is_dir(), folder


def test_the_exit_codes_match_the_errors():
    listed = set(map(int, re.findall(r"^\| (\d+) \|", README, re.MULTILINE)))
    raised = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    assert listed == raised | {0, 130, 141}


def test_the_fields_match_the_columns_of_rows():
    table = (ROOT / "docs" / "rows.md").read_text().partition("## In each format")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == ("schema", *COLUMNS)


def test_the_options_match_the_fields_of_options():
    text = (ROOT / "docs" / "python.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [field.name for field in fields(Options)]


@pytest.fixture
def tiny_by_default(model_folder, monkeypatch):
    monkeypatch.setattr(lookwhere_cli, "load", partial(load, str(model_folder)))


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "python.md"], ids=lambda page: page.name)
def test_python_blocks_run(tiny_by_default, photos, tmp_path, monkeypatch, page):
    for name in ("a", "b"):
        Image.open(photos / "0.png").save(tmp_path / f"{name}.jpg")
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks(page.read_text(), "python")), {})


def test_the_example_prints_a_line_per_picture(tiny_by_default, photos, tmp_path, monkeypatch, capsys):
    shutil.copy(photos / "0.png", tmp_path)
    (tmp_path / "bad.png").touch()
    script = ROOT / "examples" / "python_api.py"
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, sorted(tmp_path.iterdir()))])
    runpy.run_path(str(script), run_name="__main__")
    good, bad = capsys.readouterr().out.splitlines()
    assert "looked first at row" in good and bad.startswith(f"{tmp_path / 'bad.png'}: ") and "looked" not in bad


def test_the_examples_are_small_and_their_terms_are_listed():
    pictures = sorted((ROOT / "examples").glob("*.jpg"))
    assert 5 <= len(pictures) <= 7
    assert all(picture.stat().st_size < 150_000 for picture in pictures)
    listed = re.findall(r"^\| `(\S+\.jpg)` \|", PAGES[2].read_text(), re.MULTILINE)
    assert listed == [picture.name for picture in pictures]


NEEDS_EXTRA = {
    "train": r"lookwhere (train|pretrain|compare|evaluate) |`lookwhere (train|pretrain|compare|evaluate)`",
    "parquet": r"\.parquet\b|--format parquet",
    "segment": r"--format (rle|geojson)",
    "heif": r"HEIC",
}


@pytest.mark.parametrize("extra", NEEDS_EXTRA)
def test_each_page_names_the_extras_that_its_commands_need(extra):
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    missing = [
        page.name
        for page in pages
        if re.search(NEEDS_EXTRA[extra], page.read_text()) and f".[{extra}]'" not in page.read_text()
    ]
    assert not missing
