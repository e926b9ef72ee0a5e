import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.amounts import Amount
from lookwhere_cli.cli.options import amount, amount_or_auto, amounts, mode
from lookwhere_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("94", 94), ("0.25", 0.25), ("25%", 0.25), ("1.0", 1.0), ("all", 1.0), ("ALL", 1.0), ("12.5%", 0.125)],
)
def test_forms_of_an_amount(text, expected):
    assert amount(text) == Amount.parse(expected)


@pytest.mark.parametrize("text", ["0", "-3", "0.0", "1.5", "150%", "0%", "abc", "", "nan", "nan%", "inf%", "1e3", "%"])
def test_other_text_is_not_an_amount(text):
    with pytest.raises(UsageError, match="give a number of cells"):
        amount(text)


@given(st.text(max_size=8))
def test_any_text_is_an_amount_or_raises_usage_error(text):
    try:
        k = amount(text)
    except UsageError:
        return
    assert 0 < k.value <= 1 if k.is_share else k.value >= 1


def test_auto_is_an_amount_only_for_commands_that_accept_it():
    assert amount_or_auto(" Auto ") == "auto" and amount_or_auto("5%") == Amount.share(0.05)
    with pytest.raises(UsageError, match="-k auto is only for classify, explain and evaluate"):
        amount("auto")
    assert amounts("2%,5%,9") == [Amount.share(0.02), Amount.share(0.05), Amount.cells(9)]


def test_crop_and_stretch_exclude_each_other():
    assert [mode(False, False), mode(True, False), mode(False, True)] == ["whole", "crop", "stretch"]
    with pytest.raises(UsageError, match="exclude each other"):
        mode(True, True)
