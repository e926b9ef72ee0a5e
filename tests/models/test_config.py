"""The config survives JSON; impossible values are refused with the name of the key and the value."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lookwhere_cli.models.config import Config
from tests.models.small import ADDING, KINDS, LABELLED
from tests.models.small import CASCADE as SMALL_CASCADE

CASCADE = SMALL_CASCADE.to_dict()
LOOKING = LABELLED.to_dict() | {"looks": [0.125, 0.375]}
WRONG_LOOKS = ([0.5], [0.5, 0.5], [8, 4], [0, 4], [0.5, 4], [0.5, 1.5])


@pytest.mark.parametrize("prune", [None, 0, 8, 0.5, (30, 20)])
def test_schedules_survive_json(prune: int | float | tuple[int, ...] | None) -> None:
    config = Config(prune=prune, prune_fusion=True)
    back = Config.from_dict(json.loads(json.dumps(config.to_dict())))
    assert back == config


@pytest.mark.parametrize(
    "config",
    [*KINDS.values(), SMALL_CASCADE, replace(SMALL_CASCADE, thresholds=(0.25, 2.0), expected_macs=10**9), ADDING],
    ids=[*KINDS, "cascade", "calibrated", "adding"],
)
def test_survives_json(config: Config) -> None:
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"pach": 16}, "did you mean 'patch'"),
        ({"zzz": 16}, "unknown key 'zzz'"),
        ({"patch": 0}, "patch is 0"),
        ({"patch": "16"}, "patch is '16'"),
        ({"patch": True}, "patch is True"),
        ({"dim": 100, "heads": 3}, "dim is 100; it must be a multiple of heads, 3"),
        ({"prefix": "subtract"}, "replace, add"),
        ({"thumbnail_filter": "lanczos"}, "must be one of antialias, alias"),
        ({"k": 0}, "k is 0"),
        ({"k": 1.5}, "k is 1.5"),
        ({"grid": [14]}, "grid is"),
        ({"grid": [-14, -14]}, "grid is"),
        ({"thumbnail_grid": [0, 7]}, "thumbnail_grid is"),
        ({"registers": -1}, "registers is -1"),
        ({"std": [0.5, 0.0, 0.5]}, "std is"),
        ({"eps": -1.0}, "eps is -1.0"),
        ({"crop_share": 0}, "crop_share is 0"),
        ({"labels": [1, 2]}, "labels is 1"),
        ({"coarse_size": 100}, "coarse_size is 100; it must be 0 or a multiple of patch, 16"),
        ({"coarse_size": -16}, "coarse_size is -16"),
        ({"prune": "half"}, "prune is 'half'"),
        ({"prune": True}, "prune is True"),
        ({"prune": [9, 8.5]}, "counts must be whole numbers"),
        ({"prune_fusion": 1}, "prune_fusion is 1"),
        ({"prune": 8, "pool": "max", "coarse_size": 32}, "coarse_size is 32 and prune is 8"),
        ({"thresholds": [-0.1]}, r"thresholds is \[-0.1\] and expected_macs is 0"),
        ({"thresholds": [float("inf")]}, "a threshold above 1 disables its exit"),
        ({"thresholds": ["0.5"]}, "thresholds is '0.5'"),
        ({"expected_macs": -1}, "expected_macs is -1"),
        (CASCADE | {"exits": [[6, 6, 4]]}, r"exits is \[6, 6, 4\]"),
        (CASCADE | {"exits": [[6, 6, 4.0, 0]]}, "exits is 4.0"),
        (CASCADE | {"exits": [[2, 2, 4, 0], [5, 6, 4, 0]]}, r"the last must match grid and patch: \[6, 6, 4, 0\]"),
        (CASCADE | {"exits": [[0, 2, 4, 0], [6, 6, 4, 0]]}, "least 1 and padding at least 0"),
        (CASCADE | {"exits": [[2, 2, 4, -1], [6, 6, 4, 0]]}, "least 1 and padding at least 0"),
        (CASCADE | {"selector_depth": 2, "prefix": "add"}, "selector_depth is 2; it must be 0"),
        (CASCADE | {"prune": 3}, "and prune is 3; it must be null"),
        (CASCADE | {"thresholds": [0.5]}, "3 exits need one for each but the last"),
        *(
            (LOOKING | {"looks": looks}, r"looks is .*(share must be|count must be|each above the one before)")
            for looks in WRONG_LOOKS
        ),
        (LOOKING | {"looks": [True, 4]}, "looks is True"),
        (LOOKING | {"looks": 0.5}, "looks is 0.5"),
        (LOOKING | {"second_look": "again"}, "second_look is 'again'; it must be one of restart, add"),
        (LOOKING | {"second_look": "add", "prune": 3}, "second_look is 'add' and prune is 3"),
        (LOOKING | {"thresholds": [0.5, 0.5]}, "2 looks need one for each but the last"),
        (LOOKING | {"labels": []}, "one label per picture .* with 0 labels"),
        (LOOKING | {"multi_label": True}, "one label per picture .* multi_label True"),
        (LOOKING | {"task": "segment"}, "task 'segment'"),
        (LOOKING | {"selector_depth": 0, "prefix": "own"}, "require a selector"),
        (LOOKING | {"second_look": "add", "pool": "max"}, "to add, pool 'cls': .* pool 'max'"),
        ({"second_look": "add"}, "with 0 labels"),
        (LOOKING | {"second_look": "add", "prune": 4}, "'add' and prune is 4"),
    ],
)
def test_impossible_values_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Config.from_dict(values)


def test_sizes_are_the_sides_of_equal_squares() -> None:
    assert (Config().size, Config().thumbnail_size) == (224, 112)
    assert Config(grid=(12, 16), thumbnail_grid=(6, 8)).size == 14 * 16
