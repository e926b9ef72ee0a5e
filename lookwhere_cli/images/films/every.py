"""Which frames of a film are looked at: one in every so many seconds, or every so many frames."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from lookwhere_cli.errors import UsageError

DEFAULT = "1s"
Wanted = Callable[[int, Fraction], bool]
"""Says of a frame, from its number and its time in seconds, whether it is looked at. Frames come in their order."""
_WRITTEN = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([sf])")


@dataclass(frozen=True)
class Every:
    """One frame in every `seconds`, or every so many `frames`; one of the two is None."""

    seconds: Fraction | None = None
    frames: int | None = None

    @classmethod
    def parse(cls, text: str, option: str = "every") -> Every:
        """Read "1s", "0.5s" or "10f". Raises UsageError that names `option`."""
        seconds, frames = parse_span(text)
        if not (seconds or frames):
            raise UsageError(
                f"{option} {text} is neither a time nor a number of frames; write 1s or 0.5s for seconds, 10f for "
                "every 10th frame, 1f for all."
            )
        return cls(seconds, frames)

    def wanted(self, tick: Fraction) -> Wanted:
        """Return what says which frames are looked at: the first one of each interval.

        tick: seconds between two times that the film can tell apart.
        """
        frames, seconds = self.frames, self.seconds
        if seconds is None:
            return lambda number, time: number % (frames or 1) == 0
        due = Fraction(0)

        def first_of_interval(number: int, time: Fraction) -> bool:
            """Return True for the first frame at or after each multiple of `seconds`. time: in seconds."""
            nonlocal due
            rounded = time + tick / 2  # times are whole ticks: one that is meant to be 1 s may be half a tick less
            if rounded < due:
                return False
            due = (math.floor(rounded / seconds) + 1) * seconds
            return True

        return first_of_interval

    def rate(self, film: Fraction) -> Fraction:
        """Return the frames per second that are looked at, of a film with `film` frames per second."""
        if self.seconds is None:
            return film / (self.frames or 1)
        return min(film, 1 / self.seconds)

    def count(self, frames: int | None, seconds: float | None) -> int | None:
        """Estimate how many frames of a film are looked at, from its own number of frames and its duration."""
        if self.seconds is not None and seconds is not None:
            most = math.ceil(Fraction(seconds) / self.seconds)
            return max(1, most if frames is None else min(most, frames))
        return None if self.frames is None or frames is None else math.ceil(frames / self.frames)


def parse_span(text: str) -> tuple[Fraction | None, int | None]:
    """Read "12.5s" as seconds or "300f" as a number of frames; both are None for anything else."""
    written = _WRITTEN.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    if written is None:
        return None, None
    value = Fraction(written[1])
    if written[2] == "s":
        return value, None
    return None, int(value) if value.denominator == 1 else None
