import io
import json
from pathlib import Path

import pytest

from lookwhere_cli.cli.inventory import list_models
from lookwhere_cli.show.console import SafeConsole
from lookwhere_cli.show.model_tables import facts_table, models_table


@pytest.fixture(scope="module")
def models():
    return list_models()[0]


def printed(table, width):
    console = SafeConsole(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "last"), [(40, "Where"), (80, "GMACs"), (200, "Pixels")])
def test_a_narrow_terminal_shows_fewer_columns_and_wraps_none(models, width, last):
    lines = printed(models_table(models, width), width)
    assert lines[0].split()[-1] == last and len(lines) == 1 + len(models)
    assert all(model["name"] in line for model, line in zip(models, lines[1:], strict=True))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_all_facts_are_readable_at_any_width(models, width):
    for model in models:
        lines = printed(facts_table(model), width)
        assert all(len(line) <= width and "…" not in line for line in lines)
        if "folder" in model:
            assert Path(model["folder"]).name in "".join("".join(lines).split())


def test_facts_are_plain_json(models):
    assert json.loads(json.dumps(models)) == models
