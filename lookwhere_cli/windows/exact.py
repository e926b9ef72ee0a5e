"""Rows and plans as JSON that gives back exactly what went in; rows for users are rounded."""

from __future__ import annotations

import base64
import zlib
from dataclasses import MISSING, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.output.rows import Detection, Label, Row, Share, WindowCounts
from lookwhere_cli.windows.grid import WindowGrid
from lookwhere_cli.windows.plan import WindowPlan

_DEFAULTS = {field.name: None if field.default is MISSING else field.default for field in fields(Row)}
_NESTED: dict[str, Any] = {"labels": Label, "shares": Share, "boxes": Detection}


def row_to_json(row: Row, with_cells: bool) -> dict[str, Any]:
    """Return the fields of a row that have a value; `cells` only if wanted, because it is long."""
    values = {name: getattr(row, name) for name, default in _DEFAULTS.items() if getattr(row, name) != default}
    if not with_cells:
        values.pop("cells", None)
    for name, part in _NESTED.items():
        if name in values:
            names = [field.name for field in fields(part)]
            values[name] = [[getattr(one, field) for field in names] for one in values[name]]
    if row.windows is not None:
        values["windows"] = _counts(row.windows)
    return values


def row_from_json(values: dict[str, Any]) -> Row:
    """Return the row. Raises TypeError or ValueError for values that are none."""
    made = {name: _tuples(value) for name, value in values.items()}
    for name, part in _NESTED.items():
        if name in values:
            made[name] = tuple(part(*map(_tuples, one)) for one in values[name])
    if "windows" in values:
        made["windows"] = WindowCounts(*values["windows"])
    return Row(**made)


def plan_to_json(plan: WindowPlan) -> dict[str, Any]:
    """Return what can't be computed again without work: which windows are read."""
    return {
        "numbers": _packed(plan.numbers.astype(np.int64)),
        "contents": _packed(plan.contents.astype(np.float32)),
        "ranks": None if plan.ranks is None else _packed(plan.ranks.astype(np.int64)),
        "counts": _counts(plan.counts),
        "macs": plan.macs,
        "grid": _grid_sum(plan.grid),
    }


def plan_from_json(values: dict[str, Any], blank: WindowPlan) -> WindowPlan:
    """Return the plan. blank: the same picture's, with any windows.

    Raises ValueError for values that are none, or whose windows lie elsewhere, as another version may place them.
    """
    if values.get("grid") != _grid_sum(blank.grid):
        raise ValueError("the windows of the plan lie elsewhere")
    ranks = None if values["ranks"] is None else _unpacked(values["ranks"], np.int64)
    numbers, contents = _unpacked(values["numbers"], np.int64), _unpacked(values["contents"], np.float32)
    counts = WindowCounts(*values["counts"])
    return replace(blank, numbers=numbers, contents=contents, ranks=ranks, counts=counts, macs=values["macs"])


def _grid_sum(grid: WindowGrid) -> list[int]:
    """Return what tells where all windows lie."""
    return [*grid.size, *grid.shape, zlib.crc32(grid.lefts.tobytes(), zlib.crc32(grid.tops.tobytes()))]


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(zlib.compress(array.tobytes())).decode()


def _unpacked(text: str, kind: Any) -> NDArray[Any]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


def _counts(counts: WindowCounts) -> list[int]:
    return [getattr(counts, field.name) for field in fields(WindowCounts)]


def _tuples(value: Any) -> Any:
    """Return lists as tuples, as rows hold them."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
