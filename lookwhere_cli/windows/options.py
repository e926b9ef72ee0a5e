"""How a large picture is divided into windows, checked once for Python and the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

from lookwhere_cli.amounts import Amount, AmountLike
from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import AUTO


@dataclass(frozen=True)
class WindowOptions:
    """How a picture is read in windows. Raises UsageError for a value that is impossible whatever the picture is."""

    window: int | Literal["auto"] = AUTO
    """Side of a window in pixels, of full resolution unless `mpp` or `gsd` says otherwise; "auto": the model's size."""
    overlap: float | None = None
    """Share of a window that the next one shows, too, at least 0 and below 1; None: 0.2 for boxes, else 0."""
    mpp: float | None = None
    """Microns that a pixel of a window covers; None: full resolution."""
    gsd: float | None = None
    """Metres that a pixel of a window covers; None: full resolution."""
    best: Amount | None = None
    """How many windows are read, those that the selector ranks highest; a share is of those that are not blank."""
    roi: str | None = None
    """Path of a GeoJSON file with the polygons to which reading is limited."""
    size: int | None = None
    """A window's grid holds about size x size pixels; None: the window's own pixels."""

    def __post_init__(self) -> None:
        if self.window != AUTO and (not isinstance(self.window, int) or self.window < 1):
            raise UsageError(f"window is {self.window}; give the side of a window in pixels (1024), or auto.")
        if self.overlap is not None and not 0 <= self.overlap < 1:
            raise UsageError(f"window overlap is {self.overlap:g}; it must be at least 0 and below 1.")
        for name in ("mpp", "gsd"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is {value:g}; it must be above 0.")
        if self.mpp is not None and self.gsd is not None:
            raise UsageError("mpp and gsd both set the resolution; give mpp for slides, gsd for rasters.")
        if self.best is not None:
            try:
                object.__setattr__(self, "best", Amount.parse(self.best))
            except ValueError as error:
                raise UsageError(f"best windows: {error}.") from error


class WindowChanges(TypedDict, total=False):
    """The fields of `WindowOptions` in the forms that users write, for `Predictor.windows(picture, window=1024)`."""

    window: int | Literal["auto"]
    overlap: float | None
    mpp: float | None
    gsd: float | None
    best: AmountLike | None
    roi: str | None
    size: int | None
