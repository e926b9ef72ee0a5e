"""Amounts that a user chooses: how many cells are read, and how many tokens are dropped between blocks.

Each amount knows its own unit, so that a count of 1 and a share of 1.0 can't be confused, in Python or in a file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, SupportsFloat, TypeAlias

ALL = "all"


class _Value:
    """An immutable value that equals, and hashes like, another of its class with the same fields."""

    __slots__: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def _fields(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def _typed_fields(self) -> tuple[object, ...]:
        """The fields with their types: a count of 1 differs from a share of 1.0."""
        return (type(self), *((type(field), field) for field in self._fields()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Value) and self._typed_fields() == other._typed_fields()

    def __hash__(self) -> int:
        return hash(self._typed_fields())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._fields()


class Amount(_Value):
    """How many of a picture's cells: a count, or a share of its grid.

    Attributes:
        value: cells (int, at least 1), or a share of them (float, above 0 and at most 1).
    """

    __slots__ = ("value",)
    value: int | float

    def __init__(self, value: int | float) -> None:
        """A count as int, a share as float; `Amount.cells` and `Amount.share` say which. Raises ValueError."""
        if isinstance(value, float) and not 0 < value <= 1:
            raise ValueError(f"a share must be above 0 and at most 1.0, and {value:g} is not")
        if isinstance(value, int) and value < 1:
            raise ValueError(f"a count must be at least 1, and {value} is not")
        object.__setattr__(self, "value", value)

    @classmethod
    def cells(cls, count: int) -> Amount:
        """A count of cells, at least 1. Raises ValueError."""
        return cls(int(count))

    @classmethod
    def share(cls, share: float) -> Amount:
        """A share of a picture's cells, above 0 and at most 1. Raises ValueError."""
        return cls(float(share))

    @classmethod
    def parse(cls, value: AmountLike) -> Amount:
        """Read an amount as users write it.

        An integer is a count and any other real number a share, NumPy's included; text is a count ("94"), a share
        ("0.25", "25%") or "all". Raises ValueError with a sentence that names the value.
        """
        if isinstance(value, Amount):
            return value
        if isinstance(value, str):
            return _parse_text(value)
        number = _plain(value)
        if number is None:
            raise ValueError(_not_an_amount(value))
        return cls(number)

    @classmethod
    def from_json(cls, value: Any) -> Amount:
        """Read {"cells": 94} or {"share": 0.25}, and the older form: a whole number or a fraction by itself.

        Raises ValueError.
        """
        unit, number = _tagged(value)
        if number is not None and unit == "cells" and number == int(number):
            return cls.cells(int(number))
        if number is not None and unit == "share":
            return cls.share(float(number))
        if number is not None and unit is None:
            return cls(number)
        raise ValueError('write {"cells": 94} or {"share": 0.25}')

    def to_json(self) -> dict[str, int | float]:
        """The form that `from_json` reads, which a tool that writes 1.0 as 1 leaves intact."""
        return {"share" if self.is_share else "cells": self.value}

    @property
    def is_share(self) -> bool:
        """True for a share, False for a count."""
        return isinstance(self.value, float)

    @property
    def is_all(self) -> bool:
        """True if it is all cells of any picture."""
        return self.is_share and self.value == 1.0

    def resolve(self, cells: int) -> int:
        """Count the cells that this amounts to in a grid of `cells`: 1 to `cells`."""
        if isinstance(self.value, float):
            return max(1, int(self.value * cells))
        return min(self.value, cells)

    def __str__(self) -> str:
        """Write it as users do: "94", "25%", "all"."""
        if not self.is_share:
            return str(self.value)
        return ALL if self.is_all else f"{100 * self.value:.4g}%"

    def __repr__(self) -> str:
        return f"Amount.{'share' if self.is_share else 'cells'}({self.value!r})"


AmountLike: TypeAlias = Amount | str | SupportsFloat
"""What `Amount.parse` reads."""
ALL_CELLS = Amount(1.0)


class PruneAmount(_Value, ABC):
    """How many tokens the pruning modules of an extractor drop; one of the three classes below."""

    __slots__: tuple[str, ...] = ()

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The form that `PruneAmount.from_json` reads."""

    @property
    @abstractmethod
    def number(self) -> int | float | list[int]:
        """The bare number or numbers, without their unit."""

    @staticmethod
    def parse(value: PruneLike) -> PruneAmount:
        """Read an amount as users write it: 8 tokens after each block, or 0.5 ("50%") of the blocks' multiply-adds.

        A sequence of integers is the tokens that remain after each module. Raises ValueError.
        """
        if isinstance(value, PruneAmount):
            return value
        if isinstance(value, str):
            return _parse_pruning(value)
        if isinstance(value, Sequence):
            return RemainingTokens(tuple(map(int, value)))
        number = _plain(value)
        if number is None:
            raise ValueError(_not_prunable(value))
        return DropRate(number) if isinstance(number, int) else MacsShare(number)

    @staticmethod
    def from_json(value: Any) -> PruneAmount:
        """Read {"rate": 8}, {"share": 0.5} or {"counts": [160, 120]}, and the older form without a unit.

        Raises ValueError.
        """
        if isinstance(value, Mapping) and value.keys() == {"counts"}:
            value = value["counts"]
        if isinstance(value, list | tuple):
            return RemainingTokens(_whole_numbers(value))
        unit, number = _tagged(value)
        if number is not None and unit == "rate" and number == int(number):
            return DropRate(int(number))
        if number is not None and unit == "share":
            return MacsShare(float(number))
        if number is not None and unit is None:
            return PruneAmount.parse(number)
        raise ValueError('write {"rate": 8}, {"share": 0.5} or {"counts": [160, 120]}')


class DropRate(PruneAmount):
    """The same number of tokens is dropped after each block. tokens: at least 0."""

    __slots__ = ("tokens",)
    tokens: int

    def __init__(self, tokens: int) -> None:
        object.__setattr__(self, "tokens", tokens)

    def to_json(self) -> dict[str, Any]:
        """{"rate": tokens}."""
        return {"rate": self.tokens}

    @property
    def number(self) -> int:
        """Tokens after each block."""
        return self.tokens

    def __str__(self) -> str:
        return str(self.tokens)

    def __repr__(self) -> str:
        return f"DropRate({self.tokens})"


class MacsShare(PruneAmount):
    """As many tokens are dropped as leave a share of the blocks' multiply-adds. share: above 0 and at most 1."""

    __slots__ = ("share",)
    share: float

    def __init__(self, share: float) -> None:
        object.__setattr__(self, "share", share)

    def to_json(self) -> dict[str, Any]:
        """{"share": share}."""
        return {"share": self.share}

    @property
    def number(self) -> float:
        """The share."""
        return self.share

    def __str__(self) -> str:
        return f"{100 * self.share:.4g}%"

    def __repr__(self) -> str:
        return f"MacsShare({self.share})"


class RemainingTokens(PruneAmount):
    """The number of tokens that remain after each pruning module. counts: one for each module, never rising."""

    __slots__ = ("counts",)
    counts: tuple[int, ...]

    def __init__(self, counts: tuple[int, ...]) -> None:
        object.__setattr__(self, "counts", counts)

    def to_json(self) -> dict[str, Any]:
        """{"counts": counts}."""
        return {"counts": list(self.counts)}

    @property
    def number(self) -> list[int]:
        """The counts."""
        return list(self.counts)

    def __str__(self) -> str:
        return str(list(self.counts))

    def __repr__(self) -> str:
        return f"RemainingTokens({self.counts})"


PruneLike: TypeAlias = PruneAmount | str | SupportsFloat | Sequence[int]
"""What `PruneAmount.parse` reads."""


def _plain(value: Any) -> int | float | None:
    """Turn any integer into int and any other real number into float; None for everything else, booleans too."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return int(value) if isinstance(value, Integral) else float(value)


def _tagged(value: Any) -> tuple[str | None, int | float | None]:
    """Split {"unit": number} into both; a bare number has no unit."""
    if isinstance(value, Mapping) and len(value) == 1:
        unit, number = next(iter(value.items()))
        return str(unit), _plain(number)
    return None, _plain(value)


def _parse_text(text: str) -> Amount:
    number = _number(text)
    if (
        number is None
        or not math.isfinite(number)
        or not (0 < number <= 1 if isinstance(number, float) else number > 0)
    ):
        raise ValueError(_not_an_amount(text))
    return Amount(number)


def _parse_pruning(text: str) -> PruneAmount:
    number = None if text.strip().lower() == ALL else _number(text)
    if number is None or not (0 < number <= 1 if isinstance(number, float) else number >= 0):
        raise ValueError(_not_prunable(text))
    return PruneAmount.parse(number)


def _number(text: str) -> int | float | None:
    """A count as int; a share as float, from 25%, 0.25 or all; None for anything else."""
    text = text.strip().lower()
    if text == ALL:
        return 1.0
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return float(text) if "." in text else int(text)
    except ValueError:
        return None


def _whole_numbers(values: Sequence[Any]) -> tuple[int, ...]:
    if not all(isinstance(value, Integral) and not isinstance(value, bool) for value in values):
        raise ValueError("counts must be whole numbers")
    return tuple(map(int, values))


def _not_an_amount(value: object) -> str:
    shown = value if isinstance(value, str) else repr(value)
    return f"{shown} is not an amount to read; give a number of cells (94), a share of them (0.25 or 25%), or all"


def _not_prunable(value: object) -> str:
    shown = value if isinstance(value, str) else repr(value)
    return (
        f"{shown} is not an amount to drop; give the share of the blocks' multiply-adds to keep to (50%), or how many "
        "tokens to drop after each block (8)"
    )


def plain_number(amount: Any) -> Any:
    """Return an amount's bare number: for `json.dumps(..., default=plain_number)` of a training recipe."""
    return amount.value if isinstance(amount, Amount) else amount.number
