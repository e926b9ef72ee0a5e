"""The pages of docs/ as a site, and the pages that are written from `--help`."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md"]


def load_script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_command_has_its_page_with_the_text_of_its_help():
    script = ROOT / "docs" / "commands" / "make.py"
    written = {page.name: page.read_text() for page in script.parent.glob("*.md")}
    assert written == load_script(script).pages(), "run python docs/commands/make.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_list_begins_after_an_empty_line(page):
    """Python-Markdown takes it as part of the paragraph otherwise."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    item = r"(?:- |\d+\. )"
    assert not re.findall(rf"^(?!{item}|  |#|$)(.*)\n{item}", text, re.MULTILINE)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    index = (tmp_path / "site" / "index.html").read_text()
    assert 'href="docs/tutorial/"' in index and (tmp_path / "site" / "docs" / "images" / "signs.jpg").exists()
    for name in ("classify", "train", "models"):
        assert "<table>" in (tmp_path / "site" / "docs" / "commands" / name / "index.html").read_text()
