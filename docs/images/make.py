"""Make README's pictures from what the commands themselves print and write.

pip install -c constraints.txt '.[test]' && python docs/images/make.py

Needs Chromium on the path. Another model than the bundled one: LOOKWHERE_MODEL=FOLDER.
"""

import io
import os
import pty
import shutil
import subprocess
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
COLUMNS = 96
# A line of whole pixels, no higher than the font's own box, so that half blocks meet.
TERMINAL = """<meta charset="utf-8"><style>
pre {{ margin: 0; padding: 18px 22px; display: inline-block; color: {foreground}; background: {background};
      font: 14px/16px "DejaVu Sans Mono", monospace; border-radius: 8px }}
body {{ margin: 0; background: transparent }}
{stylesheet}</style><pre>{code}</pre>"""


def printed(command: list[str]) -> str:
    """Run a command in a terminal of its own, from the examples; gives what it printed, colours included."""
    ours, theirs = pty.openpty()
    settings = {"COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with subprocess.Popen(command, stdout=theirs, cwd=EXAMPLES, env=os.environ | settings) as process:
        os.close(theirs)
        written = bytearray()
        try:
            while piece := os.read(ours, 1 << 16):
                written += piece
        except OSError:  # Linux's way to say that the other end is closed
            pass
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}.")
    return written.decode().replace("\r\n", "\n")


def terminal(command: list[str]) -> str:
    """Give an HTML page that looks like a terminal in which the command was run."""
    console = Console(width=COLUMNS, record=True, color_system="truecolor", file=io.StringIO())
    console.print(f"[bold green]$[/] {' '.join(command)}\n", highlight=False)
    console.print(Text.from_ansi(printed(command).rstrip()), end="")
    return console.export_html(theme=MONOKAI, code_format=TERMINAL)


def shoot_terminal(tab: Page, scratch: Path) -> None:
    """Take the picture of `classify`: labels, and the map beside them."""
    file = scratch / "terminal.html"
    file.write_text(terminal(["lookwhere", "classify", "cat.jpg", "coffee.jpg"]))
    tab.goto(file.as_uri())
    tab.locator("pre").screenshot(path=HERE / "classify.png", omit_background=True)


def shoot_page(tab: Page, scratch: Path) -> None:
    """Take the picture of the page that `explain --html` writes."""
    file = scratch / "page.html"
    printed(["lookwhere", "explain", "coffee.jpg", "--html", str(file)])
    tab.goto(file.as_uri())
    tab.wait_for_function("document.getElementById('picture').complete")
    tab.screenshot(path=HERE / "page.png")


def main() -> None:
    """Make all pictures."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1000, "height": 740})
        shoot_terminal(tab, Path(scratch))
        shoot_page(tab, Path(scratch))
        browser.close()


if __name__ == "__main__":
    main()
