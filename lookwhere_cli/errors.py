"""The kinds of failure that we owe a user a sentence for, each with its exit code.

Every message is one sentence or two: what is wrong, with the value and the file, and what to do about it.
"""

from collections.abc import Sequence


class LookWhereError(Exception):
    """Base of all failures that end in a sentence instead of a traceback. Exit code 1.

    Attributes:
        details: lines below the sentence, such as the files that it is about.
    """

    exit_code = 1

    def __init__(self, sentence: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.details = tuple(details)

    def __str__(self) -> str:
        """Return the sentence and the details, each on a line of its own."""
        return "\n".join([*self.args, *self.details])


class UsageError(LookWhereError):
    """Wrong use: a bad option, a path that is not there, a folder without pictures, an output that can't be written."""

    exit_code = 2


class ModelError(LookWhereError):
    """A model that can't be used: missing, broken, no network, made for another task."""

    exit_code = 3


class PictureError(LookWhereError):
    """One picture that can't be read. It becomes a row with `error`; the others go on."""


class OutputError(LookWhereError):
    """Writing failed midway, for instance on a full disk. Exit code 1."""


class DataError(LookWhereError):
    """Training data that can't be used. Exit code 1."""
