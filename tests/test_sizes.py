"""A size that is no multiple of the patch is refused with the nearest ones that are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.errors import UsageError
from lookwhere_cli.sizes import check_multiple_of_patch


@given(st.integers(1, 99), st.integers(1, 64))
def test_a_multiple_is_returned(count: int, patch: int) -> None:
    assert check_multiple_of_patch("size", count * patch, patch) == count * patch


@pytest.mark.parametrize(
    ("size", "offer"), [(20, "use 16 or 24"), (7, "use 8"), (0, "use 8"), (-8, "use 8"), (25, "use 24 or 32")]
)
def test_another_size_is_refused_with_the_nearest_multiples(size: int, offer: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_multiple_of_patch("thumbnail", size, 8)
    assert str(raised.value) == (
        f"The thumbnail is {size} pixels, which is not a multiple of the model's patch of 8 pixels; {offer}."
    )
