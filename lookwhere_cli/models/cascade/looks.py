"""A cascade in k on one LookWhere model: each look reads more of the cells, best first, until one is sure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, Protocol, Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lookwhere_cli.models.cascade.second_look import Memory, SecondLook
from lookwhere_cli.models.cascade.stages import Stage
from lookwhere_cli.models.chosen import Chosen, Coarse, Grid
from lookwhere_cli.models.lookwhere import LookWhere


class Source(Protocol):
    """Some pictures of one grid, of which cells can be read."""

    def at(self, places: Int64[Tensor, " left"]) -> Self:
        """The pictures at these places of the batch alone."""
        ...

    def patches(self, cells: Int64[Tensor, "batch more"]) -> Float[Tensor, "batch more 3 patch patch"]:
        """Normalised patches of these cells (row * columns + column) of each, in their order; there may be none."""
        ...


class Whole(NamedTuple):
    """A source of pictures that are all cut up already, row by row."""

    cut: Float[Tensor, "batch cells 3 patch patch"]

    def at(self, places: Int64[Tensor, " left"]) -> Whole:
        """Some pictures of the batch."""
        return Whole(self.cut[places])

    def patches(self, cells: Int64[Tensor, "batch more"]) -> Float[Tensor, "batch more 3 patch patch"]:
        """Of each picture, the patches at its own cells."""
        return torch.take_along_dim(self.cut, cells[:, :, None, None, None], 1)


class Seen(NamedTuple):
    """Pictures of one grid, where to look at them, and what the looks so far have left for the next.

    order: cells, best first, at least as many as the last look reads. read: the patches of the first of them.
    """

    source: Source
    grid: Grid
    order: Int64[Tensor, "batch cells"]
    prefix_tokens: Float[Tensor, "batch prefix dim"]
    coarse: Coarse[Tensor] | None = None
    read: Float[Tensor, "batch read 3 patch patch"] | None = None
    memory: Memory | None = None

    def at(self, places: Int64[Tensor, " left"]) -> Seen:
        """The same of some pictures of the batch."""
        return Seen(
            self.source.at(places),
            self.grid,
            self.order[places],
            self.prefix_tokens[places],
            self.coarse and Coarse(self.coarse.patches[places], self.coarse.grid),
            None if self.read is None else self.read[places],
            self.memory and self.memory.at(places),
        )


def looks_of(model: LookWhere, ks: Sequence[int]) -> tuple[Stage[Seen], ...]:
    """The stages of a cascade that has read the best k cells after each, for `ks` that grow.

    The model's config says whether a look restarts or adds. The first one answers as the model does at its k.
    """
    add = model.second_look
    look = partial(_restart, model) if add is None else partial(_add, model, add)
    return tuple(partial(look, slice(*reach)) for reach in pairwise((0, *ks)))


def _restart(model: LookWhere, new: slice, seen: Seen) -> tuple[Float[Tensor, "batch classes"], Seen]:
    """All cells so far go through the extractor; what was read before is not read again."""
    patches = seen.source.patches(seen.order[:, new])
    read = patches if seen.read is None else torch.cat([seen.read, patches], dim=1)
    chosen = Chosen(read, seen.order[:, : new.stop], seen.grid, seen.prefix_tokens, seen.coarse)
    return model.logits(model.extract(chosen)), seen._replace(read=read)


def _add(model: LookWhere, add: SecondLook, new: slice, seen: Seen) -> tuple[Float[Tensor, "batch classes"], Seen]:
    """Only the new cells go through the extractor."""
    cells = seen.order[:, new]
    chosen = Chosen(seen.source.patches(cells), cells, seen.grid, seen.prefix_tokens, seen.coarse)
    if seen.memory is None:
        cls, memory = add.first(model.extractor, chosen)
    else:
        cls, memory = add.more(model.extractor, chosen, seen.memory)
    return model.logits(cls), seen._replace(memory=memory)
