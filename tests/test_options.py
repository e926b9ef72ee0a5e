"""Options: what `load` and the command line accept."""

import typing

import pytest

from lookwhere_cli import Amount, Options
from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import OptionChanges, parse_bytes, parse_colour


def test_values_are_read_in_the_forms_that_users_write():
    options = Options(k="25%", prune="50%", memory="512M", background="white")
    assert options.k == Amount.share(0.25) == Options(k=0.25).k
    assert options.memory == 512 * 1024 * 1024 and options.background == (255, 255, 255)
    assert Options(k="AUTO").k == "auto" and Options(k=1).k == Amount.cells(1) != Options(k=1.0).k
    assert Options() == Options(background=(255, 255, 255))


def test_every_field_may_be_changed_by_name():
    assert set(typing.get_type_hints(OptionChanges)) == set(Options.__dataclass_fields__)


@pytest.mark.parametrize(
    ("text", "size"),
    [(1, 1), ("1", 1), ("10k", 10240), ("512M", 2**29), ("2GB", 2**31), ("1.5 GiB", 3 * 2**29), (" 1t ", 2**40)],
)
def test_the_ways_to_write_memory(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", 0, -5, "-1M", "much", "12 parsecs", "1e9", "G", "0.4", float("nan"), "1k1"])
def test_what_is_no_memory(text):
    with pytest.raises(UsageError, match="is not an amount of memory; write, for instance, 512M or 2G"):
        parse_bytes(text)


def test_colours():
    assert parse_colour("white") == (255, 255, 255) and parse_colour((1, 2, 3)) == (1, 2, 3)
    assert parse_colour("#ff880080") == (255, 136, 0)
    with pytest.raises(UsageError, match="--background wite is not a colour"):
        parse_colour("wite", "--background")
