"""What heads have in common: each refuses the commands of the others, and data of another kind."""

from __future__ import annotations

import pytest
import torch

from lookwhere_cli.errors import DataError, ModelError
from lookwhere_cli.heads.registry import HEADS, head_of
from lookwhere_cli.heads.training.segment import class_boundaries
from lookwhere_cli.models.config import Config
from tests.models.small import LABELLED, SEGMENTING, SMALL

COMMANDS = {"classify": LABELLED, "segment": SEGMENTING}


@pytest.mark.parametrize(("command", "config"), COMMANDS.items())
def test_a_head_answers_one_command_and_refuses_the_others(command: str, config: Config) -> None:
    head = head_of(config)
    head.check(command, "my-model")
    for other in COMMANDS.keys() - {command}:
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


@pytest.mark.parametrize(("kind", "config"), [("multi", LABELLED), ("masks", LABELLED), ("single", SEGMENTING)])
def test_data_of_another_kind_is_refused(kind: str, config: Config) -> None:
    with pytest.raises((ModelError, DataError), match="my-model"):
        head_of(config).check_data(kind, "whole", "my-model")
