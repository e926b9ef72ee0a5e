"""Text from outside (file names, labels, metadata) made safe to write and print; numbers and names in sentences."""

import difflib
import os
import re
from collections.abc import Iterable

NEAR = 0.7
"""The least similarity, 0..1, of a name that is offered instead of another."""
TIE = 0.05
"""How much less similar than the best name another one may be, to be offered beside it."""
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet may take for the beginning of a formula, or skip before one."""


def printable(text: str) -> str:
    r"""Return `text` as valid Unicode: bytes of a path that are not UTF-8 (lone surrogates) become `\udcff`."""
    return text.encode("utf-8", "backslashreplace").decode()


def on_one_line(text: str) -> str:
    r"""Return `text` safe for one line of a terminal: control characters and line breaks become escapes like `\n`."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in printable(text))


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return "1 picture", "1,200 pictures": the number with the noun; the plural has an s unless it is given."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def near_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known names that are so similar to `name` that it may be a misspelling, most similar first.

    Names that share a long beginning are similar, so only those that are about as similar as the best one count.
    """
    similarity = {other: difflib.SequenceMatcher(None, other, name).ratio() for other in known}
    least = max(NEAR, max(similarity.values(), default=0.0) - TIE)
    near = [other for other in similarity if similarity[other] >= least]
    return sorted(near, key=lambda other: -similarity[other])[:most]


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
