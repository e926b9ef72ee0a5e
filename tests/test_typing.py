"""What a user's type checker knows: the package has types, which reach it through the installed wheel."""

import subprocess
import sys

import pytest

SCRIPT = """
from lookwhere_cli import Amount, Options, load

predictor = load(k="25%", device="cpu")
reveal_type(predictor)
reveal_type(predictor.classify("a.jpg"))
reveal_type(predictor.classify(["a.jpg"]))
reveal_type(predictor.explain("a.jpg").scores.shape)
load(options=Options(k=Amount.share(0.25)))
load(k=b"wrong")
load(colour="white")
"""


@pytest.mark.slow
def test_a_users_type_checker_knows_what_load_gives(tmp_path):
    pytest.importorskip("mypy")
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "script.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    revealed = [
        line.partition('Revealed type is "')[2].rstrip('"') for line in ran.stdout.splitlines() if "Reveal" in line
    ]
    assert revealed[:2] == ["lookwhere_cli.predictor.Predictor", "lookwhere_cli.output.rows.Row"], ran.stdout
    assert revealed[2].endswith("Iterator[lookwhere_cli.output.rows.Row]")
    errors = [line for line in ran.stdout.splitlines() if "error:" in line]
    assert [line.partition("error: ")[2][:40] for line in errors] == [
        'Argument "k" to "load" has incompatible ',
        'Unexpected keyword argument "colour" for',
    ]
