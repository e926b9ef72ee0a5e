import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.amounts import Amount
from lookwhere_cli.cli.options import amount, colour, mode
from lookwhere_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("94", 94), ("0.25", 0.25), ("25%", 0.25), ("1.0", 1.0), ("all", 1.0), ("ALL", 1.0), ("12.5%", 0.125)],
)
def test_the_ways_to_write_how_much(text, expected):
    assert amount(text) == Amount.parse(expected)


@pytest.mark.parametrize("text", ["0", "-3", "0.0", "1.5", "150%", "0%", "abc", "", "nan", "nan%", "inf%", "1e3", "%"])
def test_what_is_no_amount(text):
    with pytest.raises(UsageError, match="give a number of cells"):
        amount(text)


@given(st.text(max_size=8))
def test_any_text_is_an_amount_or_a_sentence(text):
    try:
        k = amount(text)
    except UsageError:
        return
    assert 0 < k.value <= 1 if k.is_share else k.value >= 1


def test_colours():
    assert colour("white") == (255, 255, 255)
    assert colour("#ff880080") == (255, 136, 0)
    with pytest.raises(UsageError, match="--background wite is no colour"):
        colour("wite")


def test_crop_and_stretch_exclude_each_other():
    assert [mode(False, False), mode(True, False), mode(False, True)] == ["whole", "crop", "stretch"]
    with pytest.raises(UsageError, match="exclude each other"):
        mode(True, True)
