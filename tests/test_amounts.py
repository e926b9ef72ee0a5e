"""Amounts: every way to write one, and none that another tool's JSON can change."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.amounts import ALL_CELLS, Amount, DropRate, MacsShare, PruneAmount, RemainingTokens
from lookwhere_cli.models.config import Config

AMOUNTS = st.one_of(
    st.integers(1, 10**6).map(Amount.cells), st.floats(0, 1, exclude_min=True, allow_subnormal=False).map(Amount.share)
)
PRUNE_AMOUNTS = st.one_of(
    st.integers(0, 100).map(DropRate),
    st.floats(0.01, 1).map(MacsShare),
    st.lists(st.integers(2, 200), min_size=1).map(lambda counts: RemainingTokens(tuple(counts))),
)


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (94, Amount.cells(94)),
        (np.int64(94), Amount.cells(94)),
        (np.uint8(1), Amount.cells(1)),
        (0.25, Amount.share(0.25)),
        (np.float32(0.25), Amount.share(0.25)),
        (np.float64(1), ALL_CELLS),
        ("94", Amount.cells(94)),
        ("1", Amount.cells(1)),
        ("1.0", ALL_CELLS),
        (" ALL ", ALL_CELLS),
        ("25%", Amount.share(0.25)),
        ("12.5%", Amount.share(0.125)),
        (Amount.cells(3), Amount.cells(3)),
    ],
)
def test_the_ways_to_write_an_amount(value, amount):
    assert Amount.parse(value) == amount


@pytest.mark.parametrize(
    "value", [0, -3, 0.0, -0.5, 1.5, True, None, "", "abc", "0", "nan", "inf%", "150%", "1e3", [1], 2 + 0j]
)
def test_what_is_not_an_amount_is_refused_by_value(value):
    with pytest.raises(ValueError, match=r"share|at least 1"):
        Amount.parse(value)


@pytest.mark.parametrize(
    ("amount", "cells", "count"),
    [(1, 196, 1), (1.0, 196, 196), (0.25, 196, 49), (0.001, 196, 1), (500, 196, 196), (0.5, 1, 1)],
)
def test_an_amount_resolves_to_at_least_one_cell_and_at_most_all(amount, cells, count):
    assert Amount.parse(amount).resolve(cells) == count


def through_a_tool_that_drops_zeros(value):
    """Round-trip JSON through a writer that knows one kind of number, as JavaScript's does."""

    def shortest(text):
        number = float(text)
        return int(number) if number.is_integer() else number

    return json.loads(json.dumps(value), parse_float=shortest)


@given(AMOUNTS)
def test_a_tool_that_writes_1_for_1_0_does_not_change_an_amount(amount):
    assert Amount.from_json(through_a_tool_that_drops_zeros(amount.to_json())) == amount


@given(PRUNE_AMOUNTS)
def test_nor_an_amount_to_drop(amount):
    assert PruneAmount.from_json(through_a_tool_that_drops_zeros(amount.to_json())) == amount


def test_nor_a_config():
    config = Config(k=1.0, labels=("a", "b"), looks=(0.5, 1.0), prune=1.0)
    assert Config.from_dict(through_a_tool_that_drops_zeros(config.to_dict())) == config


def test_the_older_form_without_units_is_read():
    old = {"k": 0.25, "looks": [32, 96], "prune": 8, "labels": ["a"]}
    config = Config.from_dict(old)
    assert config.k == Amount.share(0.25) and config.prune == DropRate(8)
    assert config.looks == (Amount.cells(32), Amount.cells(96))


@given(AMOUNTS | PRUNE_AMOUNTS)
def test_amounts_are_values(amount):
    for twin in (copy.copy(amount), copy.deepcopy(amount), pickle.loads(pickle.dumps(amount))):
        assert twin == amount and hash(twin) == hash(amount)
    assert amount != amount.number if isinstance(amount, PruneAmount) else amount != amount.value
    with pytest.raises(AttributeError, match="immutable"):
        amount.value = 3


def test_a_count_and_a_share_of_the_same_number_differ():
    assert Amount.cells(1) != Amount.share(1.0) and DropRate(1) != MacsShare(1.0)
    assert (str(Amount.cells(1)), str(Amount.share(1.0)), str(Amount.share(0.125))) == ("1", "all", "12.5%")


@pytest.mark.parametrize(("text", "amount"), [("8", DropRate(8)), ("0", DropRate(0)), ("50%", MacsShare(0.5))])
def test_the_ways_to_write_what_to_drop(text, amount):
    assert PruneAmount.parse(text) == amount


@pytest.mark.parametrize("text", ["all", "some", "-1", "150%", "0%", ""])
def test_what_is_not_an_amount_to_drop(text):
    with pytest.raises(ValueError, match="not an amount to drop"):
        PruneAmount.parse(text)
