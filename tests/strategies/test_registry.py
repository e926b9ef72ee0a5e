"""The strategy that a config asks for, and what it says of the model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lookwhere_cli.amounts import Amount
from lookwhere_cli.errors import UsageError
from lookwhere_cli.macs import passes
from lookwhere_cli.models.pruning.schedule import pruning_of, remaining_counts
from lookwhere_cli.strategies.fixed import MOST, FixedStrategy
from lookwhere_cli.strategies.grids import GridsStrategy
from lookwhere_cli.strategies.registry import (
    check_amount,
    default_strategy,
    fixed_strategy,
    grids_strategy,
    looks_strategy,
)
from tests.models.small import ADDING, CASCADE, LABELLED, PRUNING

HUNDREDFOLD = {"dim": 480, "hidden": 1920, "heads": 8}  # so that GMACs have digits


def test_a_cascade_is_read_by_grids_and_all_others_by_cells() -> None:
    assert isinstance(default_strategy(CASCADE), GridsStrategy)
    for config in (LABELLED, ADDING, PRUNING):
        assert isinstance(default_strategy(config), FixedStrategy)


def test_a_count_may_be_all_cells_of_a_grid_and_no_more() -> None:
    assert check_amount(Amount.cells(36), 48, 8) == Amount.cells(36)
    assert check_amount(Amount.share(1.0), 48, 8) == Amount.share(1.0)
    with pytest.raises(UsageError, match="k = 37 is more than the 36 cells of 48 x 48 pixels; give at most 36"):
        check_amount(Amount.cells(37), 48, 8)


def test_a_pruning_model_says_what_remains_and_what_it_costs() -> None:
    config = replace(PRUNING, **HUNDREDFOLD)
    strategy = fixed_strategy(config)
    tokens = config.prefix_tokens + strategy.count(config.grid)
    pruning = pruning_of(config)
    assert pruning is not None
    remaining = remaining_counts(pruning, config, tokens)[-1]
    spent = f"{strategy.default_macs() / 1e9:.2f}"
    assert float(spent) > 0.1
    assert f"from {tokens} tokens to {remaining}" in strategy.describe("one of 3 labels")
    assert strategy.describe("one of 3 labels").endswith(f": {spent} GMACs.")
    assert "Its blocks drop cells" not in fixed_strategy(replace(config, prune=None)).describe("one of 3 labels")


def test_only_a_model_with_looks_describes_them() -> None:
    config = replace(ADDING, **HUNDREDFOLD)
    with_looks, without = (fixed_strategy(one).describe("one of 3 labels") for one in (config, LABELLED))
    costs = ", ".join(f"{macs / 1e9:.2f}" for macs in looks_strategy(config).stage_macs(config.grid))
    counts = ", then ".join(str(look.resolve(config.cells)) for look in config.looks)
    assert f"With `-k auto` it reads {counts} cells" in with_looks
    assert f"{costs} GMACs by the look that answers" in with_looks
    assert "-k auto" not in without


def test_a_cascade_counts_the_relations_that_its_exits_store() -> None:
    relations = CASCADE.heads * CASCADE.extractor_depth * 37**2  # of 6 x 6 cells and CLS
    assert grids_strategy(CASCADE).tokens((6, 6)) == 37 + relations // (12 * CASCADE.dim)


def test_another_number_of_cells_changes_nothing_else() -> None:
    strategy = fixed_strategy(LABELLED)
    assert strategy.with_k(Amount.cells(5)) == replace(strategy, k=Amount.cells(5), most=None)
    assert strategy.with_k(Amount.cells(5)).count(LABELLED.grid) == 5
    assert strategy.with_k(Amount.cells(5)).tokens(LABELLED.grid) == LABELLED.prefix_tokens + 5


def test_the_default_share_of_a_huge_grid_is_limited_and_told_and_an_asked_one_is_not() -> None:
    share, grid = Amount.share(0.5), (256, 256)
    own = fixed_strategy(replace(LABELLED, k=share))
    assert own.count(grid) == MOST
    assert own.tokens(grid) == LABELLED.prefix_tokens + MOST
    assert own.notes(grid) == ("reads 4,096 cells, the most by default; -k 50% reads 32,768",)
    assert own.notes((64, 128)) == () and own.count((64, 128)) == 4096
    asked = fixed_strategy(replace(LABELLED, k=share), share)
    assert asked.count(grid) == 32_768 and asked.notes(grid) == ()


def test_a_model_of_all_cells_reads_them_however_many_there_are() -> None:
    whole = fixed_strategy(replace(LABELLED, selector_depth=0, prefix="own", k=Amount.share(1.0)))
    assert whole.count((256, 256)) == 65_536 and whole.notes((256, 256)) == ()


def test_a_table_names_the_looks_and_their_thresholds() -> None:
    assert dict(fixed_strategy(LABELLED).facts()) == {}
    without, with_them = (
        dict(fixed_strategy(replace(ADDING, thresholds=thresholds)).facts()) for thresholds in ((), (0.75,))
    )
    counts = ", ".join(str(look.resolve(ADDING.cells)) for look in ADDING.looks)
    assert without["looks"] == f"{counts} cells, with -k auto"
    assert without["thresholds"].startswith("none; see lookwhere calibrate")
    assert "0.75" in with_them["thresholds"]


def test_the_last_look_has_the_most_tokens() -> None:
    strategy = looks_strategy(replace(ADDING, coarse_size=16))
    cells = strategy.stage_cells((6, 6))[-1]
    assert strategy.tokens((6, 6)) == ADDING.prefix_tokens + cells + strategy.count_coarse((6, 6), cells)
    assert strategy.count_coarse((6, 6), cells) > 0


def test_fewer_coarse_patches_are_read_the_more_cells_are() -> None:
    strategy = fixed_strategy(replace(LABELLED, coarse_size=16, coarse_patches="unread"))
    assert [strategy.count_coarse((6, 6), k) for k in (0, 9, 18, 36)] == [16, 12, 8, 0]
    assert strategy.macs((6, 6), 36) == fixed_strategy(LABELLED).macs((6, 6), 36)
    assert strategy.tokens((6, 6)) == LABELLED.prefix_tokens + strategy.count((6, 6)) + 16  # dense features take all


def test_looks_read_what_each_leaves_unread() -> None:
    config = replace(LABELLED, looks=(9, 18), coarse_size=16, coarse_patches="unread")
    expected = passes.count_looks(config, (6, 6), (3, 3), (9, 18), (12, 8))
    assert looks_strategy(config).stage_macs((6, 6)) == expected


def test_a_model_may_read_other_cells_by_default_beside_coarse_patches() -> None:
    config = replace(LABELLED, k=0.25, coarse_k=0.5)
    assert fixed_strategy(config).count((6, 6)) == 9
    assert fixed_strategy(config, coarse_size=16).count((6, 6)) == 18
    assert fixed_strategy(config, Amount.cells(4), 16).count((6, 6)) == 4
    assert fixed_strategy(replace(config, coarse_size=16)).count((6, 6)) == 18
    assert ("with --coarse", "18 cells") in list(fixed_strategy(config).facts())
