"""Lists and near misses of names, for messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lookwhere_cli.text import near_names


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a sentence that offers the known names most like `name`, or else the first ten of all."""
    known = list(dict.fromkeys(known))
    near = near_names(name, known)
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    return f"There {'is' if len(known) == 1 else 'are'}: {list_names(known)}."


def list_names(names: Sequence[str], most: int = 10) -> str:
    """Return the first names, quoted, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
