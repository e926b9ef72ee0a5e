"""Fine-tuning as a run: labelled pictures and a model in, a model folder out (paper, section on fine-tuning)."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, send_to_device, set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset

from lookwhere_cli.amounts import plain_number
from lookwhere_cli.checkpoints.folder import Loaded, Model, save_model
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.masks import load_mask
from lookwhere_cli.data.regions import Regions
from lookwhere_cli.errors import DataError, LookWhereError, UsageError
from lookwhere_cli.images.peek import displayed_size
from lookwhere_cli.models.cascade.dvt import DVT
from lookwhere_cli.models.config import Config
from lookwhere_cli.training.augment import Augmentation
from lookwhere_cli.training.checkpoint import load_checkpoint, save_checkpoint
from lookwhere_cli.training.finetune.batches import Batch, Batches, K, Serving
from lookwhere_cli.training.finetune.criterion import IGNORED, Criterion, LabelCriterion, TeacherCriterion, teacher_of
from lookwhere_cli.training.finetune.first_queries import PICTURES, start_queries
from lookwhere_cli.training.finetune.objective import CascadeObjective, Objective, Steering
from lookwhere_cli.training.finetune.start import Shape, start_of
from lookwhere_cli.training.finetune.validate import validate
from lookwhere_cli.training.interrupt import deferred_interrupt
from lookwhere_cli.training.optim import FRESH, Rates, optimizer_of, set_rates

Numbers = Mapping[str, float]
Tensors = tuple[Tensor, ...] | list[Tensor]
RAREST = 10.0  # times that a rare class may count more than one of middling size
LOSSES = ("loss", "task", "auxiliary", "look")
MAP = "selector.head."
MEASURED = 200  # pictures whose size is looked at


@dataclass(frozen=True)
class FineTuning:
    """A run's whole recipe; it is written beside the weights, and a resumed run must have the same."""

    epochs: int = 30
    batch: int = 32
    """Pictures in a step, over all processes."""
    k: K = (0.25, 0.5)
    """Cells read, least and most: counts (int) or shares (float); drawn evenly for each step."""
    added: K | None = None
    """Cells that a second look adds to those, likewise; None: there is none."""
    shape: Shape = field(default_factory=Shape)
    steering: Steering = "frozen"
    augmentation: Augmentation = field(default_factory=Augmentation)
    rates: Rates = field(default_factory=lambda: Rates(peak=3e-4, layer_decay=0.75))
    balance: float = 0.5
    """Rare classes count (middling frequency / theirs) ^ balance times as much; 0: all alike."""
    average: float = 0.99
    """Decay of the running average of the weights, which is what is judged and saved."""
    patience: int = 0
    """Epochs without a better score after which the run ends; 0: never."""
    precision: str = "no"
    """accelerate's mixed precision: no, bf16."""
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON gives them back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=plain_number))
        return plain


class Moment(NamedTuple):
    """What `train` tells after each step: the step's numbers, and the epoch's where it has just ended."""

    step: Numbers
    epoch: Numbers | None


class Run:
    """One fine-tuning run.

    The folder `out` holds the best weights so far after each epoch, and the checkpoint from which the same run goes
    on to the same result. labelled: every example has its split. The model is judged at its config's own k.
    """

    def __init__(
        self,
        recipe: FineTuning,
        base: Loaded,
        config: Config,
        labelled: LabelledSet,
        look: Regions | None,
        out: Path,
        workers: int,
        device: str = "auto",
        teacher: Loaded | None = None,
    ) -> None:
        self.recipe, self.labelled, self.out, self.workers = recipe, labelled, out, workers
        self.accelerator = Accelerator(mixed_precision=recipe.precision, cpu=device == "cpu")
        _refuse_uneven(recipe.batch, self.accelerator.num_processes)
        set_seed(recipe.seed)
        model = start_of(base.lookwhere, config)
        self.average = AveragedModel(model, multi_avg_fn=_average_of(recipe.average))
        self.average.to(self.accelerator.device)
        criterion = _criterion(labelled, recipe, config, teacher)
        objective = _objective(model, criterion, recipe.steering).to(self.accelerator.device)
        new = (*FRESH[1:], "head.", "decoder.", "reuse.", "second_look.", *_new_map(recipe))
        optimizer = optimizer_of(model, recipe.rates, new, objective.auxiliaries)
        self.objective, self.optimizer = self.accelerator.prepare(objective, optimizer)
        self.batches = self._batches(config, look)
        self.taught_by = teacher and teacher.name
        """Whose answers are learnt in place of the labels; None: nobody's."""
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.saved = 0
        """Steps that the checkpoint holds."""
        self.identity = {
            **recipe.as_dict(),
            "start": base.revision,
            "data": _fingerprint(labelled),
            "look": look and look.fingerprint(),
            "config": json.loads(json.dumps(config.to_dict())),
            "teacher": teacher and teacher.revision,
        }
        """All that makes the run's result; a checkpoint of another is not taken up."""

    @property
    def model(self) -> Model:
        """The weights that are being trained."""
        return self._trained.model

    @property
    def auxiliaries(self) -> nn.Module:
        """What is trained beside the model, and is no part of it: the teachers of its pruning modules, if any."""
        return self._trained.auxiliaries or nn.Module()

    @property
    def _trained(self) -> Objective | CascadeObjective:
        objective: Objective | CascadeObjective = self.accelerator.unwrap_model(self.objective)
        return objective

    @property
    def averaged(self) -> Model:
        """The averaged weights, the run's result."""
        return cast(Model, self.average.module).eval()

    @property
    def total(self) -> int:
        """Steps, if nothing ends the run early."""
        return len(self.batches)

    @property
    def best(self) -> Numbers:
        """The epoch of the highest score, the first of them; the first figure of its judgement is the score."""
        return max(self.epochs, key=lambda epoch: epoch["score"])

    @property
    def ended(self) -> bool:
        """Whether all steps are done, or patience is."""
        tired = bool(self.epochs) and len(self.epochs) - self.best["epoch"] >= self.recipe.patience > 0
        return len(self.steps) >= self.total or tired

    def resume(self) -> int:
        """Take up the checkpoint in the output folder, if there is one; the number of steps that are done."""
        state = load_checkpoint(self.out, self.identity)
        if state:
            self.model.load_state_dict(state["model"])
            self.auxiliaries.load_state_dict(state["auxiliaries"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.steps, self.epochs = state["steps"], state["epochs"]
        self.saved = len(self.steps)
        return self.saved

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self.accelerator.is_main_process:
            state = {
                "model": self.model.state_dict(),
                "auxiliaries": self.auxiliaries.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "steps": self.steps,
                "epochs": self.epochs,
            }
            save_checkpoint(self.out, state, self.identity)
        self.saved = len(self.steps)

    def train(self) -> Iterator[Moment]:
        """Train what is left; saves a checkpoint after each epoch and at Ctrl-C, and the weights when they are best."""
        with deferred_interrupt() as interrupted:
            with _whole(interrupted):
                self.start_queries(interrupted)
            batches = self._served(range(len(self.steps), self.total), interrupted)
            while not (self.ended or interrupted()):
                started = time.perf_counter()
                batch = next(batches, None)
                if batch is None:
                    break
                with _whole(interrupted):
                    numbers = self._step(len(self.steps), batch)
                self.steps.append(numbers | {"seconds": time.perf_counter() - started})
                yield Moment(self.steps[-1], None if len(self.steps) % self.batches.per_epoch else self._epoch())
            if interrupted():
                self.save()
                raise KeyboardInterrupt

    def start_queries(self, interrupted: Callable[[], bool]) -> None:
        """Set a new run's pruning queries from training pictures; for masks each cell keeps its own, as drawn."""
        objective = self._trained
        if self.steps or objective.auxiliaries is None or self.labelled.kind == "masks":
            return
        steps = range(min(self.total, math.ceil(PICTURES / self.recipe.batch)))
        batches = (send_to_device(batch, self.accelerator.device) for batch in self._served(steps, interrupted))
        start_queries(objective, batches, partial(self.accelerator.reduce, reduction="sum"))

    def _batches(self, config: Config, look: Regions | None) -> Batches:
        recipe = self.recipe
        serving = Serving(
            config.size,
            config.thumbnail_size,
            config.coarse_size,
            config.patch,
            recipe.k,
            recipe.batch,
            recipe.seed,
            recipe.augmentation,
            boundaries=recipe.steering == "look" and self.labelled.kind == "masks",
            added=recipe.added,
        )
        share = (self.accelerator.process_index, self.accelerator.num_processes)
        examples, classes = self.labelled.of("train"), len(self.labelled.classes)
        once = Batches(self.labelled.kind, classes, examples, look, serving, 0, share)
        once.steps = recipe.epochs * once.per_epoch
        return once

    def _served(self, steps: range, interrupted: Callable[[], bool]) -> Iterator[Batch]:
        """The batches of these steps; no more after a Ctrl-C, which may have ended the processes that make them."""
        served = DataLoader(Subset(self.batches, steps), batch_size=None, num_workers=self.workers)
        try:
            yield from itertools.takewhile(lambda _: not interrupted(), served)
        except LookWhereError as failure:
            raise DataError(_sentence(failure)) from failure
        except RuntimeError:
            if not interrupted():
                raise

    def _step(self, step: int, batch: Batch) -> dict[str, float]:
        recipe = self.recipe
        self.objective.train()
        rate = set_rates(self.optimizer, recipe.rates, step, self.total)
        on_device = send_to_device(batch, self.accelerator.device)
        with self.accelerator.autocast():
            losses = self.objective(on_device)
            loss = torch.stack(list(losses.values())).sum()
        named = self._over_all({"loss": loss, **losses})
        if not np.isfinite(named["loss"]):
            raise DataError(f"the loss is {named['loss']} at step {step}; try a lower --lr.")
        self.accelerator.backward(loss)
        for part in (self.model, self.auxiliaries):  # each by itself: the one never slows the other
            self.accelerator.clip_grad_norm_(part.parameters(), recipe.rates.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._trained.hand_over()
        self.average.update_parameters(self.model)
        return {"step": step + 1, **named, "rate": rate * recipe.rates.peak, "k": batch.k}

    def _over_all(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """Means over the processes, each of which sees its own share of the batch."""
        means = self.accelerator.reduce(torch.stack(list(losses.values())).detach(), "mean")
        return dict(zip(losses, means.tolist(), strict=True))

    def _epoch(self) -> dict[str, float]:
        """Judge the averaged weights, keep them if they are the best, write the checkpoint; the epoch's numbers."""
        recent = self.steps[-self.batches.per_epoch :]
        seconds = sum(step["seconds"] for step in recent)
        means: dict[str, float] = {
            name: float(np.mean([step[name] for step in recent])) for name in LOSSES if name in recent[0]
        }
        # Processes must agree on the best epoch, to the last digit: all hear the first one's figures.
        scores = broadcast_object_list([validate(self.averaged, self.labelled)])[0]
        numbers: dict[str, float] = {
            "epoch": len(self.epochs) + 1,
            "step": len(self.steps),
            **means,
            "images_per_second": self.recipe.batch * len(recent) / seconds,
            "score": next(iter(scores.values())),
            **scores,
        }
        if not np.isfinite(numbers["score"]):
            raise DataError("The pictures held back show none of the classes, so that no score says what is best.")
        self.epochs.append(numbers)
        if self.accelerator.is_main_process and self.best is numbers:
            self._keep()
        self.save()
        return numbers

    def _keep(self) -> None:
        """The averaged weights, in half precision, into the output folder."""
        save_model(self.out, copy.deepcopy(self.averaged).to(torch.float16))


def _criterion(
    labelled: LabelledSet, recipe: FineTuning, config: Config, teacher: Loaded | None
) -> LabelCriterion | TeacherCriterion:
    if teacher is None:
        return LabelCriterion(labelled.kind, class_weights(labelled, recipe.balance))
    return TeacherCriterion(teacher_of(teacher, config))


def _objective(model: Model, criterion: Criterion, steering: Steering) -> Objective | CascadeObjective:
    return CascadeObjective(model, criterion) if isinstance(model, DVT) else Objective(model, criterion, steering)


def _refuse_uneven(batch: int, processes: int) -> None:
    if batch % processes:
        raise UsageError(
            f"--batch-size {batch} can't be shared alike by {processes} processes; take a multiple of that."
        )


def _average_of(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """The rule of the running average; it reaches back over a share of the steps done, so that few are enough."""

    def update(averaged: Tensors, current: Tensors, steps: Tensor | int) -> None:
        done = int(steps)
        get_ema_multi_avg_fn(min(decay, (1 + done) / (10 + done)))(averaged, current, steps)

    return update


@contextmanager
def _whole(interrupted: Callable[[], bool]) -> Iterator[None]:
    """Where Ctrl-C has ended another of the run's processes in the midst of a step, nothing of the step is kept."""
    try:
        yield
    except RuntimeError as failure:
        if interrupted():
            raise KeyboardInterrupt from failure
        raise


def _sentence(failure: LookWhereError) -> str:
    """What went wrong in a process that makes batches: torch puts the words below a traceback."""
    return str(failure).strip().rpartition(f"{type(failure).__name__}: ")[2]


def class_weights(labelled: LabelledSet, balance: float) -> Tensor:
    """A factor for each class, float32, from how often it occurs in the training examples.

    Counted in pixels for masks. For several labels the factor is (absent / present) ^ balance, for a positive example.
    """
    examples = labelled.of("train")
    if labelled.kind == "masks":
        counts = sum(_pixels(example.mask or "", len(labelled.classes)) for example in examples)
    else:
        counts = np.bincount(
            [label for example in examples for label in example.classes], minlength=len(labelled.classes)
        )
    present = np.maximum(np.asarray(counts, dtype=np.float64), 1)
    factors = (len(examples) - present).clip(1) / present if labelled.kind == "multi" else np.median(present) / present
    return torch.from_numpy(np.clip(factors, 1 / RAREST, RAREST) ** balance).float()


def _pixels(mask: str, classes: int) -> Any:
    return np.bincount(load_mask(mask).ravel(), minlength=IGNORED + 1)[:classes]


def _new_map(recipe: FineTuning) -> tuple[str, ...]:
    """The map's head learns at the rate of what is new where it is told something new."""
    return (MAP,) if recipe.steering == "look" else ()


def _fingerprint(labelled: LabelledSet) -> str:
    """Of paths, labels and splits."""
    told = "\0".join(str(replace(example, group=None)) for example in labelled.examples)
    return hashlib.sha256(f"{labelled.classes} {told}".encode(errors="surrogateescape")).hexdigest()


def typical_size(labelled: LabelledSet) -> tuple[int, int]:
    """The middling (height, width) of the training pictures as displayed."""
    sizes = [displayed_size(example.path) for example in labelled.of("train")[:MEASURED]]
    height, width = np.median(np.array(sizes), axis=0)
    return int(height), int(width)
