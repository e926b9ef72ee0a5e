"""Text from outside (file names, labels, model metadata) made safe to write and to print."""

import os
import re

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet may take for the beginning of a formula, or skip before one."""


def printable(text: str) -> str:
    r"""Return `text` as valid Unicode: bytes of a path that are not UTF-8 (lone surrogates) become `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def on_one_line(text: str) -> str:
    r"""Return `text` safe for one line of a terminal: control characters and line breaks become escapes like `\n`."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in printable(text))


def shared_name(path: str) -> str:
    """Return a path for what people share: a relative one as it is, of an absolute one only its last part."""
    return (os.path.basename(os.path.normpath(path)) or path) if os.path.isabs(path) else path  # noqa: PTH117, PTH119


def shared_sentence(sentence: str) -> str:
    """Return a sentence in which each quoted path is one for what people share; see `shared_name`."""
    return re.sub(r"""(['"])(.+?)\1""", lambda found: f"{found[1]}{shared_name(found[2])}{found[1]}", sentence)


def escape_formula(text: str) -> str:
    """Return `text` as a CSV cell that no spreadsheet computes: with `'` before what looks like a formula.

    Cells that already begin with `'` before a formula get another one, so that `unescape_formula` is exact.
    """
    return f"'{text}" if text.lstrip("'").startswith(FORMULA_STARTS) else text


def unescape_formula(cell: str) -> str:
    """Undo `escape_formula`; return all other cells unchanged."""
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(FORMULA_STARTS) else cell
