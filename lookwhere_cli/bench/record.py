"""What a measurement says, and what it is held against."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Limit:
    """How small ("at most") or large ("at least") a figure has to be."""

    kind: Literal["at most", "at least"]
    bound: float

    def holds(self, figure: float) -> bool:
        """Tell whether the figure keeps within the limit; the bound itself does."""
        return figure <= self.bound if self.kind == "at most" else figure >= self.bound


@dataclass(frozen=True)
class Record:
    """One figure, and what it was compared with in the same run.

    value: in `unit`. ratio: of the value and that of `against`, put so that `limit` speaks of it; without a ratio the
    limit speaks of the value. macs_ratio: what the ratio would be if time went by multiply-adds alone.
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
        """Whether the limit holds; None where there is none."""
        if self.limit is None:
            return None
        return self.limit.holds(self.value if self.ratio is None else self.ratio)

    def to_dict(self) -> dict[str, Any]:
        """The fields and `met`, ready for JSON."""
        return asdict(self) | {"met": self.met}
