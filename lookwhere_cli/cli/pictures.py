"""The pictures that a command's arguments name, with a line about what was passed over."""

from __future__ import annotations

from collections.abc import Sequence

from lookwhere_cli.cli.summary import say_done
from lookwhere_cli.images.find import FoundPictures, find_pictures


def pictures_of(arguments: Sequence[str], quiet: bool, films: bool = True) -> FoundPictures:
    """Find the pictures and print, on stderr and unless `quiet`, what was passed over. Raises UsageError.

    films: whether those in folders are taken, too.
    """
    found = find_pictures(arguments, films=films)
    for note in found.notes:
        say_done(note, quiet)
    return found
