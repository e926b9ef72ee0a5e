"""How each kind of labels is learnt."""

from __future__ import annotations

from lookwhere_cli.heads.training.base import TrainingHead
from lookwhere_cli.heads.training.classify import MultiLabelTraining, SingleLabelTraining
from lookwhere_cli.heads.training.detect import BoxesTraining
from lookwhere_cli.heads.training.segment import MasksTraining

TRAINING_HEADS: dict[str, TrainingHead] = {
    "single": SingleLabelTraining(),
    "multi": MultiLabelTraining(),
    "masks": MasksTraining(),
    "boxes": BoxesTraining(),
}
"""By the kind of a labelled set."""
