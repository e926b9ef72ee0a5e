"""A measured value, what it is compared with, and the limit that it should keep."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Limit:
    """How small ("at most") or large ("at least") a value should be."""

    kind: Literal["at most", "at least"]
    bound: float

    def holds(self, value: float) -> bool:
        """Return True if the value keeps the limit; the bound itself does."""
        return {"at most": value <= self.bound, "at least": value >= self.bound}[self.kind]


@dataclass(frozen=True)
class Measurement:
    """A value, and what it was compared with in the same run.

    value: in `unit`. against: what the value is compared with. ratio: of the two values, so that `limit` applies to it;
    without a ratio the limit applies to the value. macs_ratio: the ratio if time went by multiply-adds alone.
    """

    subject: str
    what: str
    value: float
    unit: str
    against: str | None = None
    ratio: float | None = None
    macs_ratio: float | None = None
    limit: Limit | None = None

    @property
    def met(self) -> bool | None:
        """True if the limit is kept; None without a limit."""
        if self.limit is None:
            return None
        return self.limit.holds(self.value if self.ratio is None else self.ratio)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and `met`, ready for JSON."""
        return asdict(self) | {"met": self.met}
