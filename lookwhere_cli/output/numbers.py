"""Numbers that are none (NaN, infinity) reach no file: JSON has no such values, and most readers stop at them."""

import json
import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """Return plain values with None for each number that is NaN or infinite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value


def to_json(value: Any, indent: int | None = None) -> str:
    """Return plain values as JSON, with null for NaN and infinity."""
    return json.dumps(finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
