"""A call in a process of its own."""

import os

import pytest

from lookwhere_cli.errors import LookWhereError, UsageError
from lookwhere_cli.jobs.apart import call_apart


def refuse(sentence):
    raise UsageError(sentence, ["a detail"])


@pytest.mark.slow
def test_values_and_errors_come_back_and_a_death_is_said():
    assert call_apart(os.getpid) != os.getpid()
    with pytest.raises(UsageError, match="no such picture") as refused:
        call_apart(refuse, "no such picture")
    assert refused.value.details == ("a detail",)
    with pytest.raises(LookWhereError, match="died with exit code 7"):
        call_apart(os._exit, 7)
