"""Write a page of docs/commands for each command, from the same texts as its --help.

python docs/commands/make.py
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from lookwhere_cli.cli.app import app

PAGES = Path(__file__).parent
GUIDES = {
    "classify": ("How a picture is read", "reading.md"),
    "segment": ("Segment", "segment.md"),
    "explain": ("How a picture is read", "reading.md"),
    "features": ("Features", "models.md#features"),
    "pretrain": ("How the bundled model was trained", "training.md"),
    "train": ("Train on your own labels", "train.md"),
    "calibrate": ("Calibrate", "calibrate.md"),
    "detect": ("Boxes", "detect.md"),
    "evaluate": ("Evaluate", "evaluate.md"),
    "compare": ("Compare", "compare.md"),
    "export": ("Models without torch", "export.md"),
    "bench": ("Speed and memory", "speed.md"),
    "models": ("Models", "models.md"),
    "info": ("Slides and rasters", "large.md"),
    "jobs": ("Millions of pictures", "scale.md"),
}
PARQUET = "Parquet needs `pip install '.[parquet]'`."
TRAIN = "Needs `pip install '.[train]'`."
EXTRAS = {
    "classify": PARQUET,
    "features": PARQUET,
    "segment": f"{PARQUET} The formats rle and geojson need `pip install '.[segment]'`.",
    "export": "Needs `pip install '.[export]'`; to run what it writes, `pip install '.[onnx]'` is enough.",
    "jobs": "Needs `pip install '.[parquet]'`.",
    **dict.fromkeys(("train", "pretrain", "compare", "evaluate"), TRAIN),
}
NO_HELP = ("help", "help_all", "install_completion", "show_completion")
WRITTEN_BY = "<!-- Written by docs/commands/make.py from --help. -->"


def pages() -> dict[str, str]:
    """Return the text of each page, by its file name."""
    group: Any = typer.main.get_command(app)
    texts = {f"{name}.md": _page(name, command) for name, command in group.commands.items()}
    return {"README.md": _index(group), **texts}


def _index(group: Any) -> str:
    rows = [f"| [{name}]({name}.md) | {_first_line(command)} |" for name, command in group.commands.items()]
    return "\n".join(
        [
            "# Commands",
            "",
            "Every option of every command. `--help` after a command shows the same in a terminal. Results go to",
            "standard output, everything else to standard error. [Exit codes](../../README.md#exit-codes) are the",
            "same for all.",
            "",
            "| command | what it does |",
            "|---|---|",
            *rows,
            "",
            WRITTEN_BY,
            "",
        ]
    )


def _page(name: str, command: Any) -> str:
    title, guide = GUIDES[name]
    commands = {name: command} if not hasattr(command, "commands") else _with_subcommands(name, command)
    sections = [part for full, one in commands.items() for part in _sections(full, one, len(commands) > 1)]
    guide_and_extras = " ".join([f"Guide: [{title}](../{guide}).", *filter(None, [EXTRAS.get(name)])])
    opening = (f"# lookwhere {name}", "", guide_and_extras, "")
    return "\n".join([*opening, *sections, WRITTEN_BY, ""])


def _with_subcommands(name: str, group: Any) -> dict[str, Any]:
    return {f"{name} {sub}": command for sub, command in group.commands.items()}


def _sections(name: str, command: Any, several: bool) -> Iterator[str]:
    """Yield the lines that describe a command: what it does, usage, examples, arguments, options by panel."""
    if several:
        yield from (f"## {name}", "")
    text, _, examples = inspect.cleandoc(command.help).partition("Examples:")
    yield from (text.strip(), "", "```", _usage(name, command), "```", "")
    if examples:
        yield from ("```sh", *_lines(examples), "```", "")
    for panel, params in _by_panel(command).items():
        head = f"| {'argument' if panel == 'Arguments' else 'option'} | value | meaning |"
        yield from (f"{'###' if several else '##'} {panel}", "", head, "|---|---|---|")
        yield from (_row(param) for param in params)
        yield ""


def _usage(name: str, command: Any) -> str:
    context = typer.Context(command)
    return " ".join([f"lookwhere {name}", *command.collect_usage_pieces(context)])


def _lines(examples: str) -> list[str]:
    return [line.strip() for line in examples.splitlines() if line.strip()]


def _by_panel(command: Any) -> dict[str, list[Any]]:
    panels: dict[str, list[Any]] = {}
    for param in command.params:
        if param.name not in NO_HELP:
            usual = "Arguments" if param.param_type_name == "argument" else "Options"
            panels.setdefault(getattr(param, "rich_help_panel", None) or usual, []).append(param)
    return panels


def _row(param: Any) -> str:
    names = _names(param)
    is_named = param.param_type_name != "argument" and not param.is_flag
    value = f"`{param.metavar}`" if is_named else ""
    notes = [param.help or ""]
    if param.required:
        notes.append("Required.")
    if _shows_default(param):
        notes.append(f"Default: `{_shown(param.default)}`.")
    if getattr(param, "envvar", None):
        notes.append(f"Environment: `{param.envvar}`.")
    return f"| {names} | {_escape(value)} | {_escape(' '.join(note for note in notes if note))} |"


def _names(param: Any) -> str:
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper())
    both = sorted([*param.opts, *param.secondary_opts], key=lambda name: (len(name) > len("-k"), name))
    return ", ".join(f"`{name}`" for name in both)


def _shows_default(param: Any) -> bool:
    return bool(getattr(param, "show_default", False)) and param.default not in (None, False, (), [])


def _shown(default: Any) -> str:
    return ",".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)


def _first_line(command: Any) -> str:
    return _escape(re.split(r"\n\s*\n", inspect.cleandoc(command.help))[0].replace("\n", " "))


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for file, text in pages().items():
        (PAGES / file).write_text(text)
