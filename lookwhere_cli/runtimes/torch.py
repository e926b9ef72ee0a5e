"""Models computed by torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor

from lookwhere_cli.models.cascade.dvt import DVT, ExitState
from lookwhere_cli.models.cascade.second_look import Memory, SecondLook
from lookwhere_cli.models.chosen import Chosen, Coarse, Grid, Selection
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.pruning.cropr import record_survivors
from lookwhere_cli.runtimes.base import CellTokens, Pixels, Runtime
from lookwhere_cli.runtimes.forks import ProcessGuard

M = TypeVar("M", bound=LookWhere | DVT)


class Device:
    """A device and a dtype, and how pixels and cells get there."""

    def __init__(self, config: Config, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        self._guard = ProcessGuard(device)
        self._normalise = Normaliser(config)

    def normalised(self, pixels: Pixels) -> Float[Tensor, "*batch 3 height width"]:
        """Move pixels (*batch, height, width, 3) in 0..255 to the device, normalised, channels first.

        All that is computed begins here. Raises ModelError in a forked process if the device is a GPU.
        """
        self._guard.check()
        return self._normalise(torch.from_numpy(pixels).to(self.device).movedim(-1, -3), self.dtype)

    def indices(self, cells: Int64[ndarray, "*batch k"]) -> Int64[Tensor, "*batch k"]:
        """Move cells to the device."""
        return torch.from_numpy(np.ascontiguousarray(cells)).to(self.device)

    def chosen(self, chosen: Chosen[NDArray[Any]]) -> Chosen[Tensor]:
        """Move all that the extractor is given to the device, pixels normalised."""
        coarse: Coarse[Tensor] | None = None
        if chosen.coarse is not None:
            patches, grid, cells = chosen.coarse
            coarse = Coarse(self.normalised(patches), grid, None if cells is None else self.indices(cells))
        return Chosen(
            self.normalised(chosen.patches),
            self.indices(chosen.cells),
            chosen.grid,
            torch.from_numpy(chosen.prefix_tokens).to(self.device, self.dtype),
            coarse,
        )

    def synchronise(self) -> None:
        """Wait until the device has computed all that was asked of it."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


class _TorchModel(Generic[M]):
    """What the runtimes of torch have in common."""

    def __init__(self, model: M, device: torch.device, dtype: torch.dtype) -> None:
        self.model: M = model
        self._device = Device(model.config, device, dtype)
        self._is_warm = False

    @property
    def config(self) -> Config:
        """The model's config."""
        return self.model.config

    @property
    def device(self) -> str:
        """Where the model is computed."""
        return str(self._device.device)

    @property
    def dtype(self) -> str:
        """The type of weights and activations."""
        return str(self._device.dtype).removeprefix("torch.")

    def synchronise(self) -> None:
        """Wait for the device."""
        self._device.synchronise()


class TorchRuntime(_TorchModel[LookWhere]):
    """A model with a selector and an extractor, or a full ViT."""

    @torch.inference_mode()
    def select(self, thumbnails: Pixels, grid: Grid) -> Selection[NDArray[Any]]:
        """Score the cells of `grid`."""
        selection = self.model.select(self._device.normalised(thumbnails), grid)
        return Selection(_array(selection.map), _array(selection.prefix_tokens))

    @torch.inference_mode()
    def answer(self, chosen: Chosen[NDArray[Any]]) -> Float32[ndarray, batch * output]:
        """Compute the output of the model's head."""
        return _array(self.model.answer(self._device.chosen(chosen)))

    @torch.inference_mode()
    def pool(self, chosen: Chosen[NDArray[Any]]) -> Float32[ndarray, "batch dim"]:
        """Compute what a classification head reads."""
        return _array(self.model.extract(self._device.chosen(chosen)))

    @torch.inference_mode()
    def tokens(self, chosen: Chosen[NDArray[Any]]) -> CellTokens:
        """Compute a token for each chosen cell that pruning leaves."""
        extracted = self.model.extract_dense(self._device.chosen(chosen))
        return CellTokens(_array(extracted.tokens), extracted.cells.cpu().numpy())

    @torch.inference_mode()
    def answer_with_survivors(
        self, chosen: Chosen[NDArray[Any]]
    ) -> tuple[Float32[ndarray, batch * output], Int64[ndarray, "batch survivors"] | None]:
        """Compute the output, and the chosen cells that no pruning module drops, best first."""
        with record_survivors(self.model.extractor.cropr) as survivors:
            output = self.answer(chosen)
        if not survivors:
            return output, None
        places = survivors[0].cpu().numpy()
        of_cells = [row[row < chosen.cells.shape[1]] for row in places]  # the others are coarse patches
        return output, np.stack([np.take(cells, row) for cells, row in zip(chosen.cells, of_cells, strict=True)])

    def warm_up(self) -> None:
        """Compute once on blank pixels, with the model's own grid and k."""
        if self._is_warm:
            return
        config, k = self.config, self.config.k.resolve(self.config.cells)
        height, width = (side * config.patch for side in config.thumbnail_grid)
        selection = self.select(np.zeros((1, height, width, 3), np.uint8), config.grid)
        patches = np.zeros((1, k, config.patch, config.patch, 3), np.uint8)
        self.answer(Chosen(patches, np.arange(k)[None], config.grid, selection.prefix_tokens))
        self.synchronise()
        self._is_warm = True


class LookMemory(NamedTuple):
    """What earlier looks stored, on the device."""

    memory: Memory

    def at(self, places: Int64[ndarray, " remaining"]) -> LookMemory:
        """Keep only the pictures at these places."""
        return LookMemory(self.memory.at(torch.from_numpy(places).to(self.memory.cls.device)))


class TorchLookRuntime(TorchRuntime):
    """A model whose further looks add to what earlier looks stored."""

    @torch.inference_mode()
    def first_look(self, chosen: Chosen[NDArray[Any]]) -> tuple[Float32[ndarray, "batch classes"], LookMemory]:
        """Compute the logits of the first look, and what the next look attends to."""
        cls, memory = self._second_look.first(self.model.extractor, self._device.chosen(chosen))
        return _array(self.model.logits(cls)), LookMemory(memory)

    @torch.inference_mode()
    def next_look(
        self, chosen: Chosen[NDArray[Any]], memory: LookMemory
    ) -> tuple[Float32[ndarray, "batch classes"], LookMemory]:
        """Compute the logits of a look that adds the chosen cells."""
        cls, after = self._second_look.more(self.model.extractor, self._device.chosen(chosen), memory.memory)
        return _array(self.model.logits(cls)), LookMemory(after)

    @property
    def _second_look(self) -> SecondLook:
        assert self.model.second_look is not None
        return self.model.second_look


class GridState(NamedTuple):
    """Pictures between two exits, on the device."""

    state: ExitState

    def at(self, places: Int64[ndarray, " remaining"]) -> GridState:
        """Keep only the pictures at these places."""
        return GridState(self.state.at(torch.from_numpy(places).to(self.state.pictures.device)))


class TorchGridRuntime(_TorchModel[DVT]):
    """A cascade over growing grids (DVT)."""

    @torch.inference_mode()
    def begin(self, pictures: Pixels, grids: Sequence[Grid]) -> GridState:
        """Prepare the first exit."""
        return GridState(self.model.begin(self._device.normalised(pictures), grids))

    @torch.inference_mode()
    def run_exit(self, number: int, state: GridState) -> tuple[Float32[ndarray, "batch classes"], GridState]:
        """Compute the logits of an exit, and what the next one reuses."""
        logits, after = self.model.exits[number](state.state)
        return _array(logits), GridState(after)


def runtime_of(model: LookWhere | DVT, device: torch.device, dtype: torch.dtype) -> Runtime:
    """Make the runtime of a model that lies on this device in this dtype."""
    if isinstance(model, LookWhere):
        kind = TorchRuntime if model.second_look is None else TorchLookRuntime
        return kind(model, device, dtype)
    # A cascade has exits instead of a selector, and only GridsStrategy uses them.
    return TorchGridRuntime(model, device, dtype)  # type: ignore[return-value]


def _array(tensor: Tensor) -> Float32[ndarray, "*shape"]:
    return tensor.float().cpu().numpy()
