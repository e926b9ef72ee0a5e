"""Make the pictures of README and docs from the output of the commands.

pip install -c constraints.txt '.[test]' && python docs/images/make.py [--tutorial]

Needs Chromium on the path. LOOKWHERE_MODEL=FOLDER selects another model than the bundled one. --tutorial also
trains the tutorial's model, which takes ten minutes on two cores, and draws what `evaluate` says about it.
"""

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "examples"
COLUMNS = 96
WIDTHS = (40, 80, 200)
"""Columns of the terminals of all sizes."""
SIGNS_WIDTH = 1100  # pixels
# The line height is a whole number of pixels and at most that of the font, so that half blocks leave no gaps.
TERMINAL = """<meta charset="utf-8"><style>
pre {{ margin: 0; padding: 18px 22px; display: inline-block; color: {foreground}; background: {background};
      font: 14px/16px "DejaVu Sans Mono", monospace; border-radius: 8px }}
body {{ margin: 0; background: transparent }}
{stylesheet}</style><pre>{code}</pre>"""


def run_in_terminal(command: list[str], columns: int = COLUMNS) -> str:
    """Run a command in a pseudo-terminal, in the folder of examples, and return its output with colours."""
    leader, follower = pty.openpty()
    settings = {"COLUMNS": str(columns), "LINES": "50", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdout=follower, cwd=EXAMPLES, env=os.environ | settings) as process:
        os.close(follower)
        output = bytearray()
        try:
            while chunk := os.read(leader, 1 << 16):
                output += chunk
        except OSError:  # on Linux, the other end is closed
            pass
    os.close(leader)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}.")
    return output.decode().replace("\r\n", "\n")


def terminal_page(command: list[str], columns: int = COLUMNS) -> str:
    """Return an HTML page that shows the command and its output as a terminal does."""
    console = Console(width=columns, record=True, color_system="truecolor", file=io.StringIO())
    console.print(f"[bold green]$[/] {' '.join(command)}\n", highlight=False)
    console.print(Text.from_ansi(run_in_terminal(command, columns).rstrip()), end="")
    return console.export_html(theme=MONOKAI, code_format=TERMINAL)


def shoot_terminal(tab: Page, scratch: Path, command: list[str], name: str, columns: int = COLUMNS) -> None:
    """Save the picture of a command in a terminal."""
    file = scratch / "terminal.html"
    file.write_text(terminal_page(command, columns))
    tab.goto(file.as_uri())
    tab.locator("pre").screenshot(path=HERE / name, omit_background=True)


def draw_signs(scratch: Path) -> None:
    """Save the boxes that are found in the photograph of signs, at README's width."""
    run_in_terminal(["lookwhere", "detect", "signs.jpg", "--conf", "0.45", "--overlay", "--out", str(scratch)])
    with Image.open(scratch / "signs.overlay.png") as overlay:
        overlay.thumbnail((SIGNS_WIDTH, SIGNS_WIDTH), Image.Resampling.LANCZOS)
        overlay.convert("RGB").save(HERE / "signs.jpg", quality=88)


def shoot_page(tab: Page, scratch: Path, name: str) -> None:
    """Save the picture of the page of `explain --html`."""
    file = scratch / "page.html"
    if not file.exists():
        run_in_terminal(["lookwhere", "explain", "coffee.jpg", "--html", str(file)])
    tab.goto(file.as_uri())
    tab.wait_for_function("document.getElementById('picture').complete")
    tab.screenshot(path=HERE / name)


def plot_tutorial(scratch: Path) -> None:
    """Walk the tutorial up to its evaluation, and save the plot."""
    (scratch / "examples").symlink_to(EXAMPLES)
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    for command in commands:
        if "evaluate" in command:
            subprocess.run(["bash", "-c", f"{command} --out results"], cwd=scratch, check=True)
            shutil.copy(scratch / "results" / "accuracy.png", HERE / "tutorial.png")
            return
        if not command.startswith("pip"):
            subprocess.run(["bash", "-c", command], cwd=scratch, check=True)


def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        scratch = Path(folder)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1000, "height": 740})
        phone = browser.new_page(viewport={"width": 390, "height": 780}, color_scheme="dark")
        draw_signs(scratch)
        shoot_terminal(tab, scratch, ["lookwhere", "classify", "cat.jpg", "coffee.jpg"], "classify.png")
        for columns in WIDTHS:
            shoot_terminal(tab, scratch, ["lookwhere", "explain", "coffee.jpg"], f"terminal-{columns}.png", columns)
        shoot_page(tab, scratch, "page.png")
        shoot_page(phone, scratch, "page-phone.png")
        browser.close()
        if "--tutorial" in sys.argv:
            plot_tutorial(scratch)


if __name__ == "__main__":
    main()
