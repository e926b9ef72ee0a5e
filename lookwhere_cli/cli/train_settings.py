"""Options of `lookwhere train` that depend on each other, checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lookwhere_cli.amounts import ALL_CELLS, Amount, PruneAmount
from lookwhere_cli.cli.options import PATCHES, amount
from lookwhere_cli.cli.usage import as_typed
from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import parse_prune

if TYPE_CHECKING:
    from lookwhere_cli.data.examples import LabelledSet
    from lookwhere_cli.training.finetune.methods import TrainingMethod
    from lookwhere_cli.training.finetune.shape import Method
    from lookwhere_cli.training.finetune.steering import Steering

MOSAIC_AREA = 4.0
"""Largest share of --area: a quarter of a mosaic, about what a part has, then shows a whole picture."""


@dataclass(frozen=True)
class CellSettings:
    """How many cells are read.

    trained: least and largest amount in a training step. own: of the model by default. added: least and largest amount
    that a second look adds; None for no second look.
    """

    trained: tuple[Amount, Amount]
    own: Amount
    added: tuple[Amount, Amount] | None


def method_of(name: Method) -> TrainingMethod:
    """Return the method of this name."""
    from lookwhere_cli.training.finetune.methods import METHODS

    return METHODS[name]


def cell_settings(
    name: Method, patches: str, default_k: str | None, second_look: str | None, is_attention_steered: bool
) -> CellSettings:
    """Read how many cells are read. Raises UsageError.

    is_attention_steered: with --train-selector but without --look, which excludes a second look.
    """
    trained = parse_range(patches, as_typed(*PATCHES))
    own = trained[1] if default_k is None else amount(default_k, "--default-k")
    has_selector = method_of(name).has_selector
    added = None
    if second_look is not None:
        if not has_selector or is_attention_steered:
            other = f"--method {name}" if not has_selector else "--train-selector without --look"
            raise UsageError(f"--second-look and {other} exclude each other; leave one of them out.")
        added = _parse_added(second_look, (own, *trained))
    return CellSettings(trained, own, added) if has_selector else CellSettings((ALL_CELLS, ALL_CELLS), ALL_CELLS, None)


def parse_range(text: str, option: str) -> tuple[Amount, Amount]:
    """Read 25%, 94, all, or a range of two counts or shares: 10%-50%. Raises UsageError."""
    low, dash, high = text.partition("-")
    first, last = amount(low, option), amount(high if dash else low, option)
    if first.is_share != last.is_share or first.value > last.value:
        raise UsageError(
            f"{option} {text} is not a range; write two counts or two shares, the smaller one first, as in 10%-50%."
        )
    return first, last


def parse_exits(name: Method, text: str | None) -> tuple[int | tuple[int, int], ...]:
    """Read a cascade's grids, sides (7,10,14) or rows x columns (6x8,12x16). Raises UsageError."""
    if text is None:
        return ()
    if not method_of(name).has_exits:
        raise UsageError(f"--exits {text} sets the grids of a cascade; use it with --method dvt.")
    sides = [part.strip().split("x") for part in text.split(",")]
    if not all(len(one) in (1, 2) and all(side.isdecimal() and int(side) for side in one) for one in sides):
        raise UsageError(
            f"--exits {text} is not a list of grids; write growing sides, as in 7,10,14, or rows x columns, as in "
            "6x8,12x16."
        )
    return tuple(int(one[0]) if len(one) == 1 else (int(one[0]), int(one[1])) for one in sides)


def parse_pruning(name: Method, text: str | None) -> PruneAmount | None:
    """Read the amount of tokens to prune; by default the method's own. Raises UsageError."""
    method = method_of(name)
    if text is None:
        return method.default_prune
    if not method.can_prune:
        raise UsageError(f"--method {name} computes all cells in all blocks; leave --prune out, or use --method cropr.")
    return parse_prune(text, "--prune")


def steering_for(
    name: Method, labelled: LabelledSet, look: Path | None, train_selector: bool | None, prune: PruneAmount | None
) -> Steering:
    """Return what trains the selector: regions, class boundaries of masks, boxes, or else attention; or nothing.

    train_selector: None for what is usual for the labels. Raises UsageError for attention with pruning.
    """
    from lookwhere_cli.heads.training.registry import TRAINING_HEADS

    if not method_of(name).has_selector:
        return "frozen"
    head = TRAINING_HEADS[labelled.kind]
    if train_selector is None:
        train_selector = head.teaches_selector
    if look or (train_selector and head.is_dense):
        return "look"
    if train_selector and prune is not None:
        raise UsageError(
            "--train-selector uses the attention of the last block, which does not reach cells that --prune dropped; "
            "leave one of them out, or give regions with --look."
        )
    return "attention" if train_selector else "frozen"


def check_masks(masks: bool, labelled: LabelledSet) -> None:
    """Raise UsageError if masks of objects are to be learned from data in which no object has an outline."""
    objects = [example.objects for example in labelled.examples if example.objects is not None]
    if masks and not any(one.outlines is not None for one in objects):
        raise UsageError(
            f"--masks learns the outlines of objects, but {labelled.shared_root!r} has none; give polygons or run "
            "lengths (COCO, YOLO, Label Studio, CVAT), or leave --masks out."
        )


def check_mosaic(share: float, area: tuple[float, float], labelled: LabelledSet, look: Path | None) -> None:
    """Raise UsageError if views of parts of pictures would not have the labels that the data has, or `area` needs them.

    area: shares of a picture in a crop.
    """
    from lookwhere_cli.heads.training.registry import TRAINING_HEADS

    if area[1] > 1 and not share:
        raise UsageError(
            f"--area {area[0]:g} {area[1]:g} goes beyond the whole picture, which only parts of a mosaic can; add "
            f"--mosaic 0.5, or write --area {min(1, area[0]):g} 1."
        )
    if share and not TRAINING_HEADS[labelled.kind].is_dense:
        raise UsageError(
            f"--mosaic {share:g} joins parts of pictures, but {labelled.shared_root!r} has labels of whole pictures; "
            "leave it out, or give masks or boxes."
        )
    if share and look:
        raise UsageError(f"--mosaic {share:g} can't be used with --look: leave one of them out.")


def _parse_added(text: str, others: Sequence[Amount]) -> tuple[Amount, Amount]:
    """Read the least and the largest amount that a second look adds to any of `others`. Raises UsageError."""
    least, most = parse_range(text, "--second-look")
    if any(one.is_share != most.is_share for one in others):
        raise UsageError(f"--second-look {text} and {as_typed(*PATCHES)} must both be counts, or both shares.")
    largest = max(one.value for one in others)
    if most.is_share and largest + most.value > 1:
        raise UsageError(
            f"--second-look {text} and the {largest:.0%} of {as_typed(*PATCHES)} together are more than all cells."
        )
    return least, most
