"""A model's card (README.md, Markdown): its description, how it was trained, its measured accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lookwhere_cli.checkpoints.layout import RESULTS, TRAINING
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.macs import cascade as dvt_macs
from lookwhere_cli.macs import passes as macs
from lookwhere_cli.models.cascade.dvt import shapes_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import kept_counts, pruning_of

LISTED = 20  # labels that a card lists
PRETRAINING_KEYS = {"teachers", "photographs", "views", "seconds", "device", "command"}
FINE_TUNING_KEYS = {"start", "pictures", "seconds", "device", "best", "command"}
"""The keys of training.json from which a card describes the training."""


def describe(config: Config) -> str:
    """Return one paragraph: task, shape, cost, licence."""
    rows, columns = config.grid
    cells = rows * columns
    k = config.k.resolve(cells)
    spent, full = cost(config), macs.full(config, config.grid)
    coarsely = f" and all of the picture at {config.coarse_size} px" if config.coarse_size else ""
    licence = f"Licence of the teacher's weights: {config.license or 'not stated'}."
    if config.exits:
        return f"{_describe_cascade(config)} {licence}"
    if not config.selector_depth:
        return (
            f"A full ViT ({_task(config)}): {config.extractor_depth} blocks read all of {rows} x {columns} cells of "
            f"{config.patch} px, {full / 1e9:.2f} GMACs for each picture. {_describe_pruning(config)}{licence}"
        )
    return (
        f"A LookWhere model ({_task(config)}): a selector of {config.selector_depth} blocks sees a thumbnail of "
        f"{config.thumbnail_grid[0] * config.patch} x {config.thumbnail_grid[1] * config.patch} px and chooses {k} of "
        f"{rows} x {columns} cells of {config.patch} px; an extractor of {config.extractor_depth} blocks reads only "
        f"those{coarsely}. {spent / 1e9:.2f} GMACs for a picture of that shape, {full / spent:.1f}x fewer than the "
        f"full ViT. {_describe_pruning(config)}{_describe_looks(config)}{licence}"
    )


def _describe_pruning(config: Config) -> str:
    """Return a sentence about the cells that the blocks drop, with a trailing blank; empty if they drop none."""
    pruning = pruning_of(config)
    if pruning is None:
        return ""
    tokens = config.prefix_tokens + config.k.resolve(config.cells)
    fusion = ", and come back for the last one" if pruning.fusion else ""
    return (
        f"Its blocks drop cells on the way, from {tokens} tokens to {kept_counts(pruning, config, tokens)[-1]}"
        f"{fusion}: {cost(config) / 1e9:.2f} GMACs. "
    )


def _describe_looks(config: Config) -> str:
    """Return sentences about `-k auto`, with a trailing blank; empty for a model without looks."""
    if not config.looks:
        return ""
    cells = math.prod(config.grid)
    ks = [k.resolve(cells) for k in config.looks]
    spent = macs.count_looks(config, config.grid, config.thumbnail_grid, ks, _coarse_patches(config))
    how = "adds to what it saw" if config.second_look == "add" else "starts anew"
    looks = (
        f"With `-k auto` it reads {', then '.join(map(str, ks))} cells where it is unsure, and {how}: "
        f"{', '.join(f'{macs_ / 1e9:.2f}' for macs_ in spent)} GMACs by the look that answers. "
    )
    if not config.thresholds:
        return looks
    return f"{looks}The thresholds in `config.json` came to {config.expected_macs / 1e9:.2f} on average. "


def _coarse_patches(config: Config) -> int:
    return math.prod(grid_for(*config.grid, config.coarse_size, config.patch)) if config.coarse_size else 0


def _describe_cascade(config: Config) -> str:
    grids = ", ".join(f"{rows} x {columns}" for rows, columns, *_ in config.exits)
    costs = ", ".join(f"{spent / 1e9:.2f}" for spent in dvt_macs.costs(config, shapes_of(config)))
    cascade = (
        f"A cascade over growing grids (DVT; {_task(config)}): {len(config.exits)} ViTs of {config.extractor_depth} "
        f"blocks read all of {grids} cells, each reusing the one before, until one is sure. A picture of that shape "
        f"takes {costs} GMACs by the exit that answers; the full ViT takes {macs.full(config, config.grid) / 1e9:.2f}."
    )
    if not config.thresholds:
        return cascade
    return f"{cascade} The thresholds in `config.json` came to {config.expected_macs / 1e9:.2f} on average."


def cost(config: Config) -> int:
    """Return the multiply-adds for a picture of the model's own shape with its default k; a cascade's on average."""
    if config.exits:
        return config.expected_macs or dvt_macs.costs(config, shapes_of(config))[-1]
    coarse = _coarse_patches(config)
    count = macs.count_segment if config.task == "segment" else macs.count
    k = config.k.resolve(config.cells)
    return count(config, config.grid, config.thumbnail_grid, k, coarse).total


def _task(config: Config) -> str:
    if not config.labels:
        return "features, no labels"
    if config.task == "segment":
        return f"{len(config.labels)} classes, one for each pixel"
    return f"{len(config.labels)} labels" + (", several to a picture" if config.multi_label else "")


def describe_pretraining(record: Mapping[str, Any]) -> str:
    """Return a paragraph about a distillation and its command, from a training record with `PRETRAINING_KEYS`."""
    teachers = ", ".join(record["teachers"])
    return (
        f"Distilled from {teachers} on {record['photographs']:,} photographs, {record['views']:,} views, in "
        f"{record['seconds'] / 60:.0f} minutes on {record['device']}; the weights are the running average.\n\n"
        f"```\n{record['command']}\n```"
    )


def _describe_fine_tuning(record: Mapping[str, Any]) -> str:
    """Return the same about a fine-tuning, from a training record with `FINE_TUNING_KEYS`."""
    best, pictures, teacher = record["best"], record["pictures"], record.get("teacher")
    targets = f"Its targets are not the labels, but the answers of `{teacher}`. " if teacher else ""
    return (
        f"Fine-tuned from `{record['start']}` on {pictures['train']:,} pictures in {record['seconds'] / 60:.0f} "
        f"minutes on {record['device']}. {targets}The weights are the running average after epoch "
        f"{best['epoch']:.0f}, whose score on the {pictures['val']:,} validation pictures was the highest of all "
        f"epochs: {best['score']:.1%}.\n\n"
        f"```\n{record['command']}\n```"
    )


def full_card(name: str, config: Config, training: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """Return the whole card, without the Hub's metadata and without sections for which there is no record.

    training, results: the contents of training.json and results.json.
    """
    parts = [f"# {name}", describe(config), "## Use", _use(name, config)]
    if config.labels:
        parts += ["## Labels", _labels(config)]
    for keys, describe_training in (
        (PRETRAINING_KEYS, describe_pretraining),
        (FINE_TUNING_KEYS, _describe_fine_tuning),
    ):
        if training.keys() >= keys:
            parts += ["## How it was made", f"{describe_training(training)}\n\nThe whole recipe is in `{TRAINING}`."]
    if results.get("accuracy"):
        parts += ["## Measured", _measured(results)]
    return "\n\n".join(parts) + "\n"


def _use(name: str, config: Config) -> str:
    command = "segment photos/ --out masks/" if config.task == "segment" else "classify photo.jpg"
    return f"```\npip install lookwhere\nlookwhere {command} --model {name}\n```"


def _labels(config: Config) -> str:
    more = len(config.labels) - LISTED
    rest = f" and {more} more, in `config.json`" if more > 0 else ""
    return f"{', '.join(config.labels[:LISTED])}{rest}."


def _measured(results: Mapping[str, Any]) -> str:
    pictures = results.get("pictures", {})
    lines = [
        f"| {name} | {pictures.get(name, '')} | {share:.1%} |" for name, share in sorted(results["accuracy"].items())
    ]
    command = f"\n\n```\n{results['command']}\n```" if "command" in results else ""
    table = "\n".join(["| Data set | Pictures | Top-1 |", "|---|---:|---:|", *lines])
    return f"{table}{command}\n\nThe whole record is in `{RESULTS}`."
