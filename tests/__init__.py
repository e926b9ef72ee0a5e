from collections.abc import Callable
from typing import Any


def typechecker(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function so that its arguments and results are checked. Imported late, for tests without torch."""
    from tests.shapes import check

    return check(function)
