"""Models that prune, as they are loaded and used: their own schedule, another one, and what can't be."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lookwhere_cli import load
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.macs import passes
from lookwhere_cli.strategies import registry
from tests.models.small import PRUNING, SEGMENTING, small


def spent(folder, files, **asked):
    """A row's labels and MACs."""
    row = load(str(folder), **asked).classify(files[0])
    return [label.probability for label in row.labels], row.macs


def test_a_model_prunes_as_it_was_trained_and_its_rows_say_what_that_costs(pruning_folder, files):
    labels, cost = spent(pruning_folder, files)
    assert cost == passes.count_image(PRUNING, (5, 7), (2, 3), 17).total
    assert cost < passes.count_image(replace(PRUNING, prune=None), (5, 7), (2, 3), 17).total
    assert (labels, cost) == spent(pruning_folder, files, prune=3)


def test_another_schedule_holds_for_labels_and_costs_and_none_is_the_model_without_modules(pruning_folder, files):
    by_amount = {amount: spent(pruning_folder, files, prune=amount) for amount in (0, 0.4, 3)}
    assert (
        len({cost for _, cost in by_amount.values()}) == len({tuple(labels) for labels, _ in by_amount.values()}) == 3
    )
    assert by_amount[0][1] == passes.count_image(replace(PRUNING, prune=None), (5, 7), (2, 3), 17).total
    assert by_amount[0] == spent(pruning_folder, files, prune=1.0)


def test_the_fewer_cells_are_read_the_fewer_are_dropped(pruning_folder, files):
    assert load(str(pruning_folder), k=2).classify(files[0]).k == 2  # one cell and the prefix always stay
    with pytest.raises(UsageError, match="a rate of 3 drops 13 of 9 tokens in 4 steps, and 2 must remain"):
        load(str(pruning_folder), k=8, prune=3)
    assert load(str(pruning_folder), k=1.0, size=48, prune=34).classify(files[0]).k > 100  # as there are more


def test_what_is_dropped_is_checked_against_the_cells_that_are_read(tmp_path, files, monkeypatch):
    monkeypatch.setattr(registry, "MOST", 20)
    save_model(tmp_path, small(replace(PRUNING, k=0.5)))
    row = load(str(tmp_path), size=96, prune=3).classify(files[0])
    assert row.k == 20 and "reads 20 cells, the most by default; -k 50% reads" in row.note
    with pytest.raises(UsageError, match="a rate of 30 drops"):
        load(str(tmp_path), size=96, prune=30)
    assert load(str(tmp_path), size=96, k=0.5, prune=30).classify(files[0]).k > 200


def test_a_model_without_modules_can_prune_nothing(model_folder, cascade_folder):
    for folder in (model_folder, cascade_folder):
        with pytest.raises(UsageError, match="was not trained with pruning modules; leave --prune out"):
            load(str(folder), prune=3)


def test_coarse_patches_beside_cells_that_are_dropped_for_good(pruning_folder, tmp_path, files):
    beside = load(str(pruning_folder), coarse=8)
    assert beside.classify(files[0]).coarse == (2, 2)
    with pytest.raises(UsageError, match="has no dense features with --coarse"):
        beside.features(files, dense=True)
    save_model(tmp_path, small(replace(SEGMENTING, extractor_depth=5, prune=3)))
    with pytest.raises(UsageError, match="coarse_size is 8 and prune is 3"):
        load(str(tmp_path), coarse=8)


def test_an_explanation_tells_which_cells_were_never_dropped(pruning_folder, model_folder, tmp_path, files):
    explanation = load(str(pruning_folder)).explain(files[0])
    row, columns = explanation.row, explanation.row.grid[1]
    assert len(set(explanation.survivors)) == len(explanation.survivors) == 4  # of 18 tokens 13 are dropped; CLS is one
    assert {divmod(cell, columns) for cell in explanation.survivors} < set(row.cells)
    save_model(tmp_path, small(replace(PRUNING, prune_fusion=True)))
    assert (
        len(load(str(tmp_path)).explain(files[0]).survivors) == 7
    )  # what comes back at the end was dropped all the same
    assert 0 < len(load(str(pruning_folder), coarse=8).explain(files[0]).survivors) <= 8
    assert load(str(model_folder)).explain(files[0]).survivors is None
    save_model(tmp_path, small(replace(PRUNING, looks=(0.25, 0.5), thresholds=(0.9,), expected_macs=1)))
    assert load(str(tmp_path), k="auto").explain(files[0]).survivors is None  # that of a fixed k would not be the row's


def test_explain_tells_it_in_words(lookwhere, pruning_folder, photos):
    assert "4 of 17 cells kept to the end: (" in lookwhere("explain", photos / "0.png", "--model", pruning_folder).out
    assert "kept to the end" not in lookwhere("explain", photos / "0.png").out


def test_dense_features_are_spread_from_what_is_left(pruning_folder, files):
    predictor = load(str(pruning_folder), batch_size=4)
    one = next(predictor.features(files, dense=True))
    assert one.dense.shape == (5, 7, 24) and len({tuple(token) for token in one.dense.reshape(35, 24)}) == 35
    assert one.row.macs == passes.count_dense(PRUNING, (5, 7), (2, 3), 17, 24).total


def test_a_schedule_that_cannot_be_is_the_config_files_fault(pruning_folder, tmp_path):
    save_model(tmp_path, small(PRUNING))
    config = json.loads((tmp_path / "config.json").read_text())
    for value, words in ((9, "a rate of 9 drops 37 of 19 tokens"), ([5, 4], "2 counts are given for 4")):
        (tmp_path / "config.json").write_text(json.dumps(config | {"prune": value}))
        with pytest.raises(ModelError, match=rf"config.json': {words}"):
            load_model(str(tmp_path))


def test_what_is_asked_for_on_the_command_line(lookwhere, pruning_folder, model_folder, photos):
    def rows(*options):
        ran = lookwhere("classify", photos / "0.png", "--model", pruning_folder, "--format", "json", *options)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)[0]

    assert rows()["macs"] == rows("--prune", "3")["macs"] > rows("--prune", "40%")["macs"]
    assert rows("--prune", "0")["macs"] > rows("--prune", "3", "-k", "60%")["macs"] > rows("--prune", "3")["macs"]
    for options, words in (
        (("--prune", "some"), "--prune some is not an amount to drop"),
        (("--prune", "150%"), "--prune 150% is not an amount"),
        (("--prune", "-1"), "--prune -1 is not an amount"),
        (("--prune", "9"), "a rate of 9 drops"),
        (("--prune", "3", "--model", str(model_folder)), "not trained with pruning modules"),
    ):
        ran = lookwhere("classify", photos / "0.png", "--model", pruning_folder, *options)
        assert ran.code == 2 and words in " ".join(ran.err.split()) and "Traceback" not in ran.err
