"""Checkpoints: refused for other settings, and resumed even if an older version wrote them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.errors import UsageError
from lookwhere_cli.models.config import Config
from lookwhere_cli.training.checkpoint import differing_keys, load_checkpoint, save_checkpoint
from lookwhere_cli.training.distil.recipe import Pretraining
from tests.models.small import ADDING, LABELLED, PRUNING

OLD_CONFIG: dict[str, Any] = {  # as config.json and checkpoints had it before amounts had units, with few keys
    "patch": 4,
    "dim": 24,
    "heads": 3,
    "extractor_depth": 3,
    "selector_depth": 2,
    "grid": [6, 6],
    "thumbnail_grid": [3, 3],
    "hidden": 48,
    "labels": ["cat", "dog", "bird"],
    "k": 0.5,
    "looks": [0.125, 0.375],
    "second_look": "add",
    "prune": None,
}


def test_an_older_checkpoint_resumes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"steps": [{"loss": 1.0}]}, {"seed": 0, "config": OLD_CONFIG})
    assert load_checkpoint(tmp_path, {"seed": 0, "config": ADDING.to_dict()}) == {"steps": [{"loss": 1.0}]}


@pytest.mark.parametrize(
    ("old", "config"),
    [
        ({"k": 8, "looks": [], "second_look": "restart"}, replace(LABELLED, k=8)),
        ({"k": 1.0, "looks": [], "second_look": "restart"}, replace(LABELLED, k=1.0)),
        ({"prune": 3, "looks": [], "second_look": "restart", "extractor_depth": 5}, PRUNING),
        ({"prune": 0.5, "looks": [], "second_look": "restart"}, replace(LABELLED, prune=0.5)),
    ],
)
def test_amounts_of_older_configs_have_their_meaning(old: dict[str, Any], config: Config) -> None:
    assert differing_keys({"config": OLD_CONFIG | old}, {"config": config.to_dict()}) == []


@pytest.mark.parametrize("change", [{"k": 0.25}, {"k": 1}, {"looks": [0.125, 0.5]}, {"labels": ["cat", "dog", "cow"]}])
def test_another_config_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    save_checkpoint(tmp_path, {}, {"config": OLD_CONFIG | change})
    with pytest.raises(UsageError, match=r"checkpoint\.pt' belongs to a run with other settings \(config\)"):
        load_checkpoint(tmp_path, {"config": ADDING.to_dict()})


def test_an_unknown_key_in_the_config_is_a_difference() -> None:
    newer = ADDING.to_dict() | {"invented": 1}
    assert differing_keys({"config": newer}, {"config": ADDING.to_dict()}) == ["config"]
    assert differing_keys({"config": newer}, {"config": newer}) == []


KEYS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2))


@given(KEYS, KEYS)
def test_all_differences_are_named(one: dict[str, int], other: dict[str, int]) -> None:
    different = {name for name in "abcd" if one.get(name) != other.get(name)}
    assert differing_keys(one, other) == differing_keys(other, one) == sorted(different)


def test_a_failed_write_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lookwhere_cli.errors import OutputError

    save_checkpoint(tmp_path, {"steps": [1]}, {})

    def full(_state: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left on device"):
        save_checkpoint(tmp_path, {"steps": [2]}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert load_checkpoint(tmp_path, {}) == {"steps": [1]}


def test_settings_of_today_that_have_no_effect_are_no_difference() -> None:
    """A distillation begun before they existed is resumed."""
    recipe = Pretraining(steps=1)
    older = recipe.as_dict()
    assert "registers" not in older and "map_spacing" not in older
    assert "sinks" not in older["map_recipe"] and "colour" not in older["views"]
    newer = replace(
        recipe,
        registers=4,
        map_spacing=0.7,
        map_recipe=replace(recipe.map_recipe, sinks=False),
        views=replace(recipe.views, colour=0.3),
    )
    assert differing_keys(older, newer.as_dict()) == ["map_recipe", "map_spacing", "registers", "views"]
