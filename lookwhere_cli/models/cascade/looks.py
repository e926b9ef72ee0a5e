"""`-k auto` in training: the logits of every look. Inference runs the looks one by one; see `strategies.looks`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

from lookwhere_cli.models.cascade.second_look import Memory, SecondLook
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.lookwhere import LookWhere


def run_looks(
    model: LookWhere, chosen: Chosen[Tensor], ks: Sequence[int]
) -> tuple[Float[Tensor, "batch classes"], ...]:
    """Return the logits of every look for every picture.

    chosen: the cells of all looks, best first. ks: cells that have been read after each look, rising. The model's
    config says whether a look restarts or adds; the first look is the same as the model's answer for its k.
    """
    if model.second_look is None:
        return tuple(model.logits(model.extract(_some(chosen, slice(k)))) for k in ks)
    return _run_adding(model, model.second_look, chosen, ks)


def _run_adding(
    model: LookWhere, look: SecondLook, chosen: Chosen[Tensor], ks: Sequence[int]
) -> tuple[Float[Tensor, "batch classes"], ...]:
    answers: list[Tensor] = []
    memory: Memory | None = None
    for span in pairwise((0, *ks)):
        new = _some(chosen, slice(*span))
        if memory is None:
            cls, memory = look.first(model.extractor, new)
        else:
            cls, memory = look.more(model.extractor, new, memory)
        answers.append(model.logits(cls))
    return tuple(answers)


def _some(chosen: Chosen[Tensor], span: slice) -> Chosen[Tensor]:
    """Return only the cells at some places of the order."""
    return chosen._replace(patches=chosen.patches[:, span], cells=chosen.cells[:, span])
