"""What-where distillation as a run: photographs and teachers in, a model folder out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Subset

from lookwhere_cli.amounts import Amount, AmountLike
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import DataError, ModelError
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.models.config import Config, Prefix
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.sizes import check_multiple_of_patch
from lookwhere_cli.training.checkpoint import load_checkpoint, save_checkpoint
from lookwhere_cli.training.distil.distillation import Distillation, student_of, total
from lookwhere_cli.training.distil.losses import PatchLoss, Weights
from lookwhere_cli.training.distil.teacher import MapRecipe, Teacher
from lookwhere_cli.training.distil.views import ViewRecipe, Views, draw_step
from lookwhere_cli.training.interrupt import deferred_interrupt
from lookwhere_cli.training.optim import Rates, optimizer_of, set_rates
from lookwhere_cli.training.timm_models import Source, config_of

History = list[dict[str, float]]


@dataclass(frozen=True)
class Pretraining:
    """A run's whole recipe; it is written beside the weights, and a resumed run must have the same."""

    steps: int
    batch: int = 64
    views: ViewRecipe = field(default_factory=ViewRecipe)
    thumbnail_size: int = 112
    selector_depth: int = 3
    prefix: Prefix = "add"
    map_recipe: MapRecipe = field(default_factory=MapRecipe)
    weights: Weights = field(default_factory=Weights)
    patch_loss: PatchLoss = "spread"
    rates: Rates = field(default_factory=Rates)
    average: float = 0.999
    """Decay of the running average of the weights, which is what is saved."""
    precision: str = "no"
    """accelerate's mixed precision: no, bf16."""
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as JSON gives them back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def student_config(source: Source, recipe: Pretraining, labels: tuple[str, ...], k: AmountLike) -> Config:
    """The teacher's shapes at the first size of the recipe, with a selector for its thumbnail."""
    teacher = config_of(source)
    patch = teacher.patch
    for what, size in [("thumbnail size", recipe.thumbnail_size), *(("size", size) for size in recipe.views.sizes)]:
        check_multiple_of_patch(what, size, patch)
    side, thumbnail = recipe.views.sizes[0] // patch, recipe.thumbnail_size // patch
    return replace(
        teacher,
        grid=(side, side),
        thumbnail_grid=(thumbnail, thumbnail),
        map_scale=-(-max(recipe.views.sizes) // recipe.thumbnail_size),
        selector_depth=recipe.selector_depth,
        prefix=recipe.prefix,
        labels=labels,
        task="classify" if labels else "features",
        k=Amount.parse(k),
    )


class Run:
    """One training run; `train` yields each step's numbers, and the checkpoint allows to stop anywhere."""

    def __init__(
        self,
        recipe: Pretraining,
        sources: Sequence[Source],
        config: Config,
        folders: Sequence[Sequence[str]],
        out: Path,
        workers: int,
        device: str = "auto",
        init: str | None = None,
    ) -> None:
        if not any(folders):
            raise DataError("there is no photograph to train on.")
        self.recipe, self.folders, self.out, self.workers = recipe, folders, out, workers
        self.accelerator = Accelerator(mixed_precision=recipe.precision, cpu=device == "cpu")
        set_seed(recipe.seed)
        student = student_of(sources[0].vit, config)
        self.average = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(recipe.average))
        self.average.to(self.accelerator.device)
        teachers = [Teacher(source, recipe.map_recipe).to(self.accelerator.device) for source in sources]
        optimizer = optimizer_of(student, recipe.rates)
        self.model, self.optimizer = self.accelerator.prepare(
            Distillation(student, teachers, recipe.weights, recipe.patch_loss), optimizer
        )
        self.history: History = []
        self.identity = {
            **recipe.as_dict(),
            "teachers": [source.fingerprint() for source in sources],
            "photographs": [
                hashlib.sha256("\0".join(paths).encode(errors="surrogateescape")).hexdigest() for paths in folders
            ],
            "config": json.loads(json.dumps(config.to_dict())),
            "init": self._start_from(init) if init else None,
        }
        """All that makes the run's result; a checkpoint of another is not taken up."""

    @property
    def student(self) -> LookWhere:
        """The weights that are being trained."""
        model: LookWhere = self.accelerator.unwrap_model(self.model).student
        return model

    @property
    def averaged(self) -> LookWhere:
        """The averaged weights, the run's result."""
        model = cast(LookWhere, self.average.module)
        return model.eval()

    def resume(self) -> int:
        """Take up the checkpoint in the output folder, if there is one; the number of steps that are done."""
        state = load_checkpoint(self.out, self.identity)
        if state:
            self.student.load_state_dict(state["student"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.history = state["history"]
        return len(self.history)

    def _start_from(self, name: str) -> str:
        """Begin with a model's weights instead of the teacher's, positions resized; its revision."""
        loaded = load_model(name, device="cpu")
        given, student = loaded.lookwhere, self.student
        state = given.state_dict()
        state["extractor.pos_embed"] = given.extractor.positions_for(student.extractor.grid)
        state["selector.backbone.pos_embed"] = given.selector.backbone.positions_for(student.selector.backbone.grid)
        try:
            student.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(f"{name} has other shapes than this run: {str(error).splitlines()[1].strip()}") from None
        self.averaged.load_state_dict(state)
        return loaded.revision

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self.accelerator.is_main_process:
            state = {
                "student": self.student.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "history": self.history,
            }
            save_checkpoint(self.out, state, self.identity)

    def train(self, every: int = 100) -> Iterator[Mapping[str, float]]:
        """Train the steps that are left; saves a checkpoint `every` so many, at the end, and at Ctrl-C."""
        self.model.train()
        done = len(self.history)
        with deferred_interrupt() as interrupted:
            try:
                for step, pictures in zip(range(done, self.recipe.steps), self._loader(done), strict=True):
                    started = time.perf_counter()
                    numbers = self._step(step, pictures)
                    self.history.append(numbers | {"seconds": time.perf_counter() - started})
                    if (step + 1) % every == 0:
                        self.save()
                    yield self.history[-1]
                    if interrupted():
                        break
            except RuntimeError:
                if not interrupted():  # the loader's processes hear Ctrl-C too, and go without a word
                    raise
            self.save()
            if interrupted():
                raise KeyboardInterrupt

    def _loader(self, done: int) -> DataLoader[Tensor]:
        share = (self.accelerator.process_index, self.accelerator.num_processes)
        recipe = self.recipe
        views = Views(self.folders, recipe.views, recipe.batch, recipe.seed, recipe.steps, share)
        return DataLoader(Subset(views, range(done, recipe.steps)), batch_size=None, num_workers=self.workers)

    def _step(self, step: int, pictures: Tensor) -> dict[str, float]:
        recipe = self.recipe
        drawn = draw_step(recipe.views, recipe.seed, step)
        pictures = pictures.to(self.accelerator.device).float() / 255
        if drawn.mix < 1:
            pictures = drawn.mix * pictures + (1 - drawn.mix) * pictures.roll(1, dims=0)
        patch = recipe.views.patch
        rows, columns = grid_for(*drawn.grid, recipe.thumbnail_size, patch)
        rate = set_rates(self.optimizer, recipe.rates, step, recipe.steps)
        with self.accelerator.autocast():
            losses = self.model(pictures, (rows * patch, columns * patch), drawn.k)
            loss = total(losses, recipe.weights)
        if not torch.isfinite(loss):
            raise DataError(f"the loss is {loss.item()} at step {step}; try a lower --lr.")
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.student.parameters(), recipe.rates.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update_parameters(self.student)
        named = {name: value.item() for name, value in losses.items()}
        return {"step": step + 1, "loss": loss.item(), **named, "rate": rate * recipe.rates.peak, "k": drawn.k}
