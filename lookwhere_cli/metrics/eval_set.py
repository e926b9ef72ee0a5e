"""The pictures that models are measured on: which they are, what is asked of them, and how good the answers are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from torch import Tensor

from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.masks import IGNORED, load_mask
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.data.splits import SPLIT_FILE, read_split
from lookwhere_cli.errors import DataError, ModelError, UsageError
from lookwhere_cli.metrics.passes import Judge, Look, Measured, Read, classes_of, probabilities, run
from lookwhere_cli.metrics.scores import Masks, Scorer, Scores, SeveralLabels, SingleLabel, counted
from lookwhere_cli.models.config import Config
from lookwhere_cli.predictor import Predictor

Part = Literal["train", "val", "all"]
BATCH = 64  # pictures that are scored together
KEPT = 64  # masks in memory, so that each is read once for all looks
T = TypeVar("T")


class Tracked(Protocol):
    """Passes items through and shows how far they are."""

    def __call__(self, items: Iterable[T], total: int, title: str) -> Iterable[T]: ...  # noqa: D102


def part_of(
    labelled: LabelledSet, part: Part | None, split_file: Path | None, folder: Path
) -> tuple[LabelledSet, Part]:
    """The examples to measure on, and which they are.

    By default those for validation: by the split of `split_file`, else by the data's own, else by that in the model's
    `folder` if it was trained on these data; all of them where there is none. Raises UsageError for an empty part.
    """
    divided = labelled
    if split_file is not None:
        divided = read_split(split_file, labelled)
    elif not any(example.split for example in labelled.examples) and (folder / SPLIT_FILE).is_file():
        divided = _fitting(folder / SPLIT_FILE, labelled)
    part = part or ("val" if divided.of("val") else "all")
    examples = divided.examples if part == "all" else divided.of(part)
    if not examples:
        raise UsageError(f"The data have no split {part!r}; name a file with --split-file, or take --split all.")
    return replace(divided, examples=examples), part


def _fitting(file: Path, labelled: LabelledSet) -> LabelledSet:
    """The set divided as the model's folder says; as it is, where the model was trained on something else."""
    try:
        return read_split(file, labelled)
    except DataError:
        return labelled


class Task(NamedTuple):
    """What a model is asked.

    answer: what of it takes time. judge: what scoring needs of the answer. scorer: makes one for each way of asking.
    """

    answer: Judge
    judge: Judge
    scorer: Callable[[], Scorer]


def task_for(labelled: LabelledSet, config: Config, model: str) -> Task:
    """The task that the data set the model.

    Raises ModelError for a model of another one, DataError as `match_classes`.
    """
    check_task(labelled, config, model)
    classes = match_classes(labelled.classes, config.labels)
    if labelled.kind == "masks":
        return Task(classes_of, _judge_of_masks(labelled, classes, len(config.labels)), partial(Masks, classes))
    if labelled.kind == "multi":
        truth = np.zeros((len(labelled.examples), len(classes)), dtype=np.bool_)
        for place, example in enumerate(labelled.examples):
            truth[place, list(example.classes)] = True
        return Task(probabilities, probabilities, partial(SeveralLabels, classes, truth))
    right = classes[[example.classes[0] for example in labelled.examples]]
    return Task(probabilities, probabilities, partial(SingleLabel, classes, right, len(config.labels)))


def check_task(labelled: LabelledSet, config: Config, model: str) -> None:
    """Raise ModelError for a model that does another task than the data are for, or none."""
    does = (
        "segments" if config.task == "segment" else "gives several labels" if config.multi_label else "gives one label"
    )
    asked = {"masks": "segments", "multi": "gives several labels", "single": "gives one label"}[labelled.kind]
    if not config.labels:
        raise ModelError(f"The model {model!r} has no labels, so there is nothing to measure; train a head first.")
    if does != asked:
        hint = (
            " (read them with --multi-label)" if does == "gives several labels" and asked == "gives one label" else ""
        )
        raise ModelError(
            f"The model {model!r} {does}, but the data are for one that {asked}{hint}; choose another one."
        )


def truth_of(labelled: LabelledSet, classes: Int[ndarray, " classes"]) -> Callable[[str], Int[Tensor, "height width"]]:
    """What gives, by a picture's path, its mask in the model's labels (255: none); the last ones stay in memory.

    classes: the model's label for each of the data's classes.
    """
    masks = {example.path: example.mask for example in labelled.examples if example.mask is not None}
    label_of = np.full(IGNORED + 1, IGNORED, dtype=np.int64)
    label_of[: len(classes)] = classes

    @lru_cache(maxsize=KEPT)
    def truth(path: str) -> Tensor:
        return torch.from_numpy(label_of[load_mask(masks[path])])

    return truth


def _judge_of_masks(labelled: LabelledSet, classes: Int[ndarray, " classes"], labels: int) -> Judge:
    """Counts each picture's pixels by [truth, answer], at the mask's own resolution."""
    truth = truth_of(labelled, classes)

    def judge(predictor: Predictor, read: Read) -> list[Tensor]:
        answers = zip(classes_of(predictor, read), read.views, strict=True)
        return [counted(answer, truth(view.path), labels) for answer, view in answers]

    return judge


class Field:
    """A labelled set's pictures. Those that can't be read drop out at the first pass, and stand in `failed`.

    sizes: (height, width) as displayed, by place in the set, of those that were read.
    """

    def __init__(self, labelled: LabelledSet, tracked: Tracked) -> None:
        self.labelled = labelled
        self.failed: list[str] = []
        self.sizes: dict[int, tuple[int, int]] = dict.fromkeys(range(len(labelled.examples)), (0, 0))
        self._tracked = tracked

    @property
    def paths(self) -> list[str]:
        """Of the pictures that can be read, as far as is known."""
        return [self.labelled.examples[place].path for place in self.sizes]

    def scores(self, predictor: Predictor, looks: Sequence[Look], task: Task, title: str) -> list[Scores]:
        """How good the answers are for each look, in one pass. Raises DataError where no picture can be read."""
        return self.scored(lambda paths: run(predictor, looks, task.judge, paths), len(looks), task, title)

    def scored(
        self, measure: Callable[[Sequence[str]], Iterator[Measured | str]], ways: int, task: Task, title: str
    ) -> list[Scores]:
        """The same for each of so many outcomes of whatever reads the pictures."""
        scorers = [task.scorer() for _ in range(ways)]
        places, self.sizes = list(self.sizes), {}
        measured = zip(places, self._tracked(measure(self._of(places)), len(places), title), strict=True)
        while batch := list(islice(measured, BATCH)):
            self._add(batch, scorers)
        if not self.sizes:
            raise DataError(f"None of the {len(places)} pictures can be read: {self.failed[0]}")
        return [scorer.scores() for scorer in scorers]

    def teachers_scores(self, logits: Callable[[Sequence[str]], Iterable[Tensor]], task: Task) -> Scores:
        """How good a timm ViT is that has the model's labels."""
        scorer, places = task.scorer(), list(self.sizes)
        several = self.labelled.kind == "multi"
        answers = (
            one for batch in logits(self._of(places)) for one in (batch.sigmoid() if several else batch.softmax(dim=-1))
        )
        shown = iter(zip(places, self._tracked(answers, len(places), "teacher"), strict=True))
        while batch := list(islice(shown, BATCH)):
            scorer.add([place for place, _ in batch], torch.stack([one for _, one in batch]))
        return scorer.scores()

    def _of(self, places: Sequence[int]) -> list[str]:
        return [self.labelled.examples[place].path for place in places]

    def _add(self, batch: Sequence[tuple[int, Measured | str]], scorers: Sequence[Scorer]) -> None:
        self.failed += [one for _, one in batch if isinstance(one, str)]
        read = [(place, one) for place, one in batch if isinstance(one, Measured)]
        self.sizes |= {place: one.size for place, one in read}
        for number, scorer in enumerate(scorers):
            if read:
                scorer.add([place for place, _ in read], torch.stack([one.outcomes[number] for _, one in read]))
