"""A cascade over grids as it is used: certain pictures leave, and each row says what its picture took."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.cli.cards import answer_card
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.loading import load
from lookwhere_cli.macs import passes
from lookwhere_cli.models.cascade.shapes import check_growth
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.segmenter import Segmenter
from lookwhere_cli.strategies.grids import grids_for
from lookwhere_cli.strategies.stages import DISABLED
from tests.macs.test_macs import counted
from tests.models.small import CASCADE, small_cascade
from tests.strategies.used import confidences, loaded, staged, with_thresholds
from tests.strategies.used import middling as middling_of

EXITS = len(CASCADE.exits)


def used(folder: Path, thresholds: tuple[float, ...] = (), **options: object) -> Predictor:
    """The cascade with these thresholds."""
    predictor = loaded(folder, **options)
    return with_thresholds(predictor, thresholds or staged(predictor).thresholds)


@pytest.fixture(scope="module")
def middling(cascade_folder: Path, files: list[str]) -> tuple[float, ...]:
    """Thresholds by which some pictures leave at each exit, none being just so."""
    return middling_of(loaded(cascade_folder), files)


def test_without_thresholds_the_last_exit_answers_all(cascade_folder: Path, files: list[str]) -> None:
    predictor = used(cascade_folder)
    row = predictor.classify(files[2])  # a square
    assert (row.exit, row.grid, row.k) == (3, (6, 6), 36)
    assert len(set(row.cells)) == 36 and row.cells[:2] == ((0, 0), (0, 1))
    assert row.macs == staged(predictor).stage_macs((6, 6))[-1] and row.macs_full == passes.count_full(CASCADE, (6, 6))
    assert sum(label.probability for label in row.labels) == pytest.approx(1)
    assert {one.exit for one in predictor.classify(files)} == {3}


def test_survivors_have_the_answer_of_running_everything(
    cascade_folder: Path, files: list[str], middling: tuple[float, ...]
) -> None:
    rows = list(used(cascade_folder, middling).classify(files))
    assert {row.exit for row in rows} == {1, 2, 3}
    by_exit = [
        list(used(cascade_folder, (DISABLED,) * exit_ + (0.0,) * (EXITS - 1 - exit_)).classify(files))
        for exit_ in range(EXITS)
    ]
    for place, row in enumerate(rows):
        assert row.exit is not None
        alone = by_exit[row.exit - 1][place]
        assert (row.exit, row.grid, row.macs) == (alone.exit, alone.grid, alone.macs)
        assert [label.label for label in row.labels] == [label.label for label in alone.labels]
        ours, theirs = ([label.probability for label in one.labels] for one in (row, alone))
        assert ours == pytest.approx(theirs, abs=1e-5)


def test_a_batch_with_mixed_exits_equals_one_by_one(
    cascade_folder: Path, files: list[str], middling: tuple[float, ...]
) -> None:
    together = list(used(cascade_folder, middling, batch_size=12).classify(files))
    single = list(used(cascade_folder, middling, batch_size=1).classify(files))
    for ours, theirs in zip(together, single, strict=True):
        assert (ours.path, ours.exit, ours.macs) == (theirs.path, theirs.exit, theirs.macs)
        assert ours.labels[0].probability == pytest.approx(theirs.labels[0].probability, abs=1e-5)


def test_the_multiply_adds_told_are_those_counted(
    cascade_folder: Path, files: list[str], middling: tuple[float, ...]
) -> None:
    predictor = used(cascade_folder, middling)
    rows: list[Row] = []
    spent = counted(lambda: rows.extend(predictor.classify(files)))
    assert spent == sum(row.macs for row in rows)


def test_the_confidences_are_those_that_decide(
    cascade_folder: Path, files: list[str], middling: tuple[float, ...]
) -> None:
    predictor = used(cascade_folder, middling)
    for answer, sure in zip(predictor.label(files), confidences(predictor, files).T, strict=True):
        row, view = answer.row, answer.view
        assert view is not None
        exit_ = [found >= limit for found, limit in zip(sure, (*middling, 0.0), strict=True)].index(True)
        assert (row.exit, row.macs) == (exit_ + 1, staged(predictor).stage_macs(view.grid)[exit_])
        assert row.labels[0].probability == pytest.approx(sure[exit_], abs=1e-5)


def test_the_whole_picture_is_seen_and_pictures_that_fail_are_rows(cascade_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").touch()
    predictor = used(cascade_folder)
    row = predictor.classify(str(tmp_path / "bad.png"))
    assert row.error is not None and row.exit is None
    pixels = np.zeros((24, 24, 3), np.uint8)
    plain = predictor.classify(pixels).labels[0].probability
    pixels[20:, 20:] = 255
    assert predictor.classify(pixels).labels[0].probability != pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("mode", ["crop", "stretch"])
def test_other_ways_to_read_give_the_models_own_grids(mode: str, cascade_folder: Path, files: list[str]) -> None:
    assert {row.grid for row in used(cascade_folder, (0.0, 0.0), mode=mode).classify(files)} == {(2, 2)}
    assert {row.grid for row in used(cascade_folder, mode=mode, size=48).classify(files)} == {(12, 12)}


PUBLISHED = Config(selector_depth=0, prefix="own", exits=((7, 7, 32, 0), (10, 10, 23, 3), (14, 14, 16, 0)))
WIDE = replace(PUBLISHED, grid=(12, 16), exits=((6, 8, 16, 0), (9, 12, 16, 0), (12, 16, 16, 0)))
MANY = replace(PUBLISHED, exits=tuple((side, side, 16, 0) for side in (3, 4, 5, 6, 13, 14)))


def test_the_exits_keep_their_shares_of_another_grid() -> None:
    for config in (PUBLISHED, WIDE, MANY):
        assert grids_for(config, config.grid) == tuple(exit_[:2] for exit_ in config.exits)
    assert grids_for(PUBLISHED, (28, 28)) == ((14, 14), (20, 20), (28, 28))
    assert grids_for(PUBLISHED, (11, 17)) == ((5, 8), (8, 12), (11, 17))
    assert grids_for(PUBLISHED, (2, 30)) == ((1, 14), (1, 15), (2, 30))
    assert grids_for(PUBLISHED, (196, 1)) == ((49, 1), (100, 1), (196, 1))


@settings(deadline=None, max_examples=200)
@given(
    config=st.sampled_from([PUBLISHED, WIDE, MANY]),
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    more=st.integers(0, 30),
)
def test_pictures_of_any_shape_have_grids_that_grow(config: Config, height: int, width: int, more: int) -> None:
    """From the least size on that `load` takes."""
    grid = grid_for(height, width, len(config.exits) + more, 1)
    grids = grids_for(config, grid)
    check_growth(grids)
    assert grids[-1] == grid and min(map(min, grids)) >= 1


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"k": 0.25}, "reads all cells of each grid; leave -k"),
        ({"k": 1}, "reads all cells of each grid; leave -k"),
        ({"coarse": 8}, "leave -k and --coarse out"),
        ({"size": 8}, "A size of 8 leaves no room for 3 grids that grow; take at least 12"),
    ],
)
def test_what_a_cascade_cannot_be_told(how: dict[str, object], words: str, cascade_folder: Path) -> None:
    with pytest.raises(UsageError, match=words):
        used(cascade_folder, **how)


def test_it_only_classifies(cascade_folder: Path, files: list[str]) -> None:
    predictor = used(cascade_folder, k=1.0, size=12)
    with pytest.raises(ModelError, match="only classifies it"):
        predictor.features(files)
    with pytest.raises(ModelError, match="only classifies it"):
        predictor.explain(files[0])
    with pytest.raises(ModelError, match="can't segment"):
        Segmenter(predictor)


def test_thresholds_come_from_the_config(tmp_path: Path, files: list[str]) -> None:
    config = replace(CASCADE, thresholds=(0.0, DISABLED), expected_macs=9)
    save_model(tmp_path, small_cascade(config))
    assert load_model(str(tmp_path)).config == config
    assert {row.exit for row in load(str(tmp_path)).classify(files)} == {1}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exits": ((6, 6, 4, 0),)}, "needs two grids or more"),
        ({"exits": ((6, 6, 4, 0), (6, 6, 4, 0))}, "must grow"),
        ({"multi_label": True}, "must classify pictures with one label each"),
    ],
)
def test_a_config_that_describes_no_cascade(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    model = small_cascade()
    model.config = replace(CASCADE, **changes)  # type: ignore[arg-type]
    save_model(tmp_path, model)
    with pytest.raises(ModelError, match=rf"config.json': .*{words}"):
        load_model(str(tmp_path))


def test_it_runs_in_half_precision(cascade_folder: Path, files: list[str], middling: tuple[float, ...]) -> None:
    rows = used(cascade_folder, middling, dtype="bfloat16").classify(files)
    assert all(row.error is None and math.isfinite(row.labels[0].probability) for row in rows)


def test_the_terminal_tells_the_exit(cascade_folder: Path, files: list[str], middling: tuple[float, ...]) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    answers = list(used(cascade_folder, middling).answers(files))
    for answer in answers:
        console.print(answer_card(answer, console, with_map=True))
    told = console.export_text()
    for answer in answers:
        rows, columns = answer.row.grid
        assert f"exit {answer.row.exit}: {rows * columns} of {rows * columns} cells read" in told
