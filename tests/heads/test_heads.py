"""What heads have in common: each refuses the commands of the others, and data of another kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lookwhere_cli.errors import DataError, ModelError
from lookwhere_cli.heads.classify import ClassifyHead
from lookwhere_cli.heads.registry import HEADS, head_of
from lookwhere_cli.heads.segment import PixelClasses, SegmentHead, classes_at
from lookwhere_cli.heads.training.segment import class_boundaries, count_values
from lookwhere_cli.metrics.several_labels import SeveralLabelsScorer
from lookwhere_cli.metrics.single_label import PairedAccuracy
from lookwhere_cli.models.config import Config
from tests.models.small import DETECTING, LABELLED, SEGMENTING, SMALL, noise

COMMANDS = {"classify": LABELLED, "segment": SEGMENTING, "detect": DETECTING}


@pytest.mark.parametrize(("command", "config"), COMMANDS.items())
def test_a_head_answers_one_command_and_refuses_the_others(command: str, config: Config) -> None:
    head = head_of(config)
    head.check(command, "my-model")
    also = {"classify"} if command == "detect" else set()  # pictures have the labels of their boxes
    for other in COMMANDS.keys() - {command} - also:
        with pytest.raises(ModelError, match=f"'my-model' .*can't {other}"):
            head.check(other, "my-model")


def test_a_model_without_labels_answers_neither() -> None:
    for command in COMMANDS:
        with pytest.raises(ModelError):
            head_of(SMALL).check(command, "my-model")


def test_every_task_has_its_head() -> None:
    assert {type(head_of(config)) for config in COMMANDS.values()} == {HEADS[name] for name in COMMANDS}
    assert type(head_of(SMALL)) is HEADS["features"]


def test_a_cell_is_as_mixed_as_the_share_of_its_other_classes() -> None:
    mask = torch.tensor([[0, 0, 1, 2], [0, 1, 255, 255], [255, 255, 3, 3], [255, 255, 3, 3]], dtype=torch.uint8)
    torch.testing.assert_close(class_boundaries(mask, (2, 2)), torch.tensor([0.25, 0.5, 0.0, 0.0]))


def test_values_are_counted_by_cell() -> None:
    mask = torch.tensor([[0, 0, 1, 2, 9, 9], [0, 1, 255, 255, 9, 8]], dtype=torch.uint8)
    counts = count_values(mask, (1, 3))
    assert counts.shape == (3, 256)
    assert {(cell, value): int(counts[cell, value]) for cell, value in counts.nonzero().tolist()} == {
        (0, 0): 3,
        (0, 1): 1,
        (1, 1): 1,
        (1, 2): 1,
        (1, 255): 2,
        (2, 8): 1,
        (2, 9): 3,
    }
    tall = count_values(mask.T.contiguous(), (3, 1))
    assert tall.equal(counts)


@pytest.mark.parametrize(
    ("kind", "config"), [("multi", LABELLED), ("masks", LABELLED), ("single", SEGMENTING), ("masks", DETECTING)]
)
def test_data_of_another_kind_is_refused(kind: str, config: Config) -> None:
    with pytest.raises((ModelError, DataError), match="my-model"):
        head_of(config).check_data(kind, "whole", "my-model")


def test_labels_are_named_best_first_as_many_as_asked_for() -> None:
    logits = np.array([0.0, 3.0, 1.0], np.float32)
    labels = ClassifyHead(LABELLED, top=2).picture_labels(logits)
    assert [(label.label, label.index) for label in labels] == [("dog", 1), ("bird", 2)]
    odds = np.exp(logits)
    assert [label.probability for label in labels] == pytest.approx((odds / odds.sum())[[1, 2]].tolist())


def test_several_labels_are_scored_one_by_one() -> None:
    head = ClassifyHead(replace(LABELLED, multi_label=True), top=3)
    labels = head.picture_labels(np.array([-1.0, 0.0, 2.0], np.float32))
    assert [label.label for label in labels] == ["bird", "dog", "cat"]
    assert labels[1].probability == pytest.approx(0.5)
    assert (head.describe(), head.verb) == ("3 labels, several to a picture", "gives several labels")
    assert isinstance(head.scorer(np.arange(3)), SeveralLabelsScorer)
    with pytest.raises(DataError, match="Several labels"):
        head.paired_metric(np.arange(3))


def test_a_mask_holds_255_classes() -> None:
    labels = tuple(f"class {index}" for index in range(256))
    SegmentHead(replace(SEGMENTING, labels=labels[:255])).check("segment", "my-model")
    with pytest.raises(ModelError, match="has 256 classes; a mask holds at most 255"):
        SegmentHead(replace(SEGMENTING, labels=labels)).check("segment", "my-model")


def test_shares_name_the_classes_that_occur() -> None:
    counts = np.array([3, 0, 9])
    shares = SegmentHead(SEGMENTING).row_fields(PixelClasses(np.zeros((3, 4), np.uint8), counts))["shares"]
    assert [(share.label, share.index, share.share) for share in shares] == [("bird", 2, 0.75), ("cat", 0, 0.25)]


@pytest.mark.parametrize("config", COMMANDS.values())
def test_measuring_costs_what_a_pass_costs(config: Config) -> None:
    head, grid = head_of(config), config.grid
    assert 0 < head.count_macs(config, grid, config.thumbnail_grid, 4, 0) < head.count_full(config, grid)
    more = head.count_macs(config, grid, config.thumbnail_grid, 5, 0)
    assert more > head.count_macs(config, grid, config.thumbnail_grid, 4, 0)
    assert head.count_macs(config, grid, config.thumbnail_grid, 4, 3) > more


def test_scores_do_not_depend_on_the_strips_that_are_resized_together(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = noise(3, 4, 5).numpy()
    whole = classes_at(scores, 33, 21)
    monkeypatch.setattr("lookwhere_cli.heads.segment.STRIP", 100)
    strips = classes_at(scores, 33, 21)
    assert strips.classes.tolist() == whole.classes.tolist()
    assert strips.counts.tolist() == whole.counts.tolist()


def test_one_label_is_compared_by_top_1() -> None:
    assert isinstance(ClassifyHead(LABELLED).paired_metric(np.arange(3)), PairedAccuracy)


def test_features_cost_a_pass_without_a_head() -> None:
    config = replace(LABELLED, labels=())
    features, labels = (head_of(one).count_macs(one, one.grid, one.thumbnail_grid, 4, 0) for one in (config, LABELLED))
    assert features == labels - 3 * config.dim
