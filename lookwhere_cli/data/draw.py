"""Drawing a validation split from a seed: groups stay together and every class keeps a training example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lookwhere_cli.data.examples import Example

_ANY = -1
"""Counted with every example's classes, so that the last example of all is kept for training like that of a class."""


@dataclass(frozen=True)
class _Unit:
    """Examples that stay together: a group, or a single example.

    members: their indices. shown: how many of them show each class, and how many there are (_ANY).
    stratum: the most frequent combination of classes among them.
    """

    members: list[int]
    shown: Counter[int]
    stratum: tuple[int, ...]


def draw_validation(examples: Sequence[Example], share: float, seed: int) -> set[int]:
    """Return the indices of the examples for validation, about `share` (0..1) of all; empty if none can be spared.

    The units are visited stratum by stratum, and one goes to validation whenever validation is short of at least half
    of it. So validation gets its share of every stratum to within one unit, several strata that are too small for a
    unit of their own share one, and what can't be spared in one stratum (a class's last example) is taken from the
    next.
    """
    units = _units(examples)
    order = np.random.default_rng(seed).permutation(len(units))
    # Large units first within a stratum: the small ones after them even out what they take too much or too little.
    units = sorted((units[index] for index in order), key=lambda unit: (unit.stratum, -len(unit.members)))
    remaining = Counter[int]()
    for unit in units:
        remaining += unit.shown
    chosen: set[int] = set()
    shortage = 0.0
    for unit in units:
        shortage += share * len(unit.members)
        if shortage >= len(unit.members) / 2 and _can_be_spared(unit, remaining):
            shortage -= len(unit.members)
            remaining -= unit.shown
            chosen.update(unit.members)
    return chosen or _nearest_in_size(units, remaining, share * len(examples))


def _units(examples: Sequence[Example]) -> list[_Unit]:
    members: dict[object, list[int]] = {}
    for index, example in enumerate(examples):
        members.setdefault(index if example.group is None else example.group, []).append(index)
    return [_unit(indices, [examples[index].classes for index in indices]) for indices in members.values()]


def _unit(members: list[int], classes: Sequence[tuple[int, ...]]) -> _Unit:
    shown = Counter(index for combination in classes for index in (*combination, _ANY))
    return _Unit(members, shown, Counter(classes).most_common(1)[0][0])


def _can_be_spared(unit: _Unit, remaining: Counter[int]) -> bool:
    """Return True if every class that the unit shows keeps a training example without it."""
    return all(remaining[index] > count for index, count in unit.shown.items())


def _nearest_in_size(units: Iterable[_Unit], remaining: Counter[int], size: float) -> set[int]:
    """Return the members of the unit, among those that can be spared, whose number is nearest to `size`."""
    spare = [unit for unit in units if _can_be_spared(unit, remaining)]
    return set(min(spare, key=lambda unit: abs(len(unit.members) - size)).members) if spare else set()
