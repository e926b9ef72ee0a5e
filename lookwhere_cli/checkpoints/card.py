"""A model's card, in Markdown: what it is, how it was made, what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lookwhere_cli.checkpoints.names import RESULTS, TRAINING
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.macs import cascade as dvt_macs
from lookwhere_cli.macs import passes as macs
from lookwhere_cli.models.cascade.dvt import shapes_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import kept_counts, pruning_of

SHOWN = 20  # labels that the card names
TOLD = {"teachers", "photographs", "views", "seconds", "device", "command"}  # what a training record must say
TOLD_OF_FINE_TUNING = {"start", "pictures", "seconds", "device", "best", "command"}


def what(config: Config) -> str:
    """One paragraph: task, shape, cost."""
    rows, columns = config.grid
    cells = rows * columns
    k = config.k.resolve(cells)
    spent, full = cost(config), macs.full(config, config.grid)
    beside = f" and all of the picture at {config.coarse_size} px" if config.coarse_size else ""
    licence = f"Licence of the teacher's weights: {config.license or 'not stated'}."
    if config.exits:
        return f"{_cascade(config)} {licence}"
    if not config.selector_depth:
        return (
            f"A full ViT ({_task(config)}): {config.extractor_depth} blocks read all of {rows} x {columns} cells of "
            f"{config.patch} px, {full / 1e9:.2f} GMACs for each picture. {_dropped(config)}{licence}"
        )
    return (
        f"A LookWhere model ({_task(config)}): a selector of {config.selector_depth} blocks sees a thumbnail of "
        f"{config.thumbnail_grid[0] * config.patch} x {config.thumbnail_grid[1] * config.patch} px and chooses {k} of "
        f"{rows} x {columns} cells of {config.patch} px; an extractor of {config.extractor_depth} blocks reads only "
        f"those{beside}. {spent / 1e9:.2f} GMACs for a picture of that shape, {full / spent:.1f}x fewer than the full "
        f"ViT. {_dropped(config)}{_looks(config)}{licence}"
    )


def _dropped(config: Config) -> str:
    """A sentence about what is dropped between the blocks, with a blank behind; nothing where nothing is."""
    pruning = pruning_of(config)
    if pruning is None:
        return ""
    tokens = config.prefix_tokens + config.k.resolve(config.cells)
    back = ", and come back for the last one" if pruning.fusion else ""
    return (
        f"Its blocks drop cells on the way, from {tokens} tokens to {kept_counts(pruning, config, tokens)[-1]}{back}: "
        f"{cost(config) / 1e9:.2f} GMACs. "
    )


def _looks(config: Config) -> str:
    """Likewise about what `-k auto` does; nothing where it does nothing."""
    if not config.looks:
        return ""
    cells = math.prod(config.grid)
    ks = [k.resolve(cells) for k in config.looks]
    spent = macs.count_looks(config, config.grid, config.thumbnail_grid, ks, _coarse_patches(config))
    how = "adds to what it saw" if config.second_look == "add" else "starts anew"
    told = (
        f"With `-k auto` it reads {', then '.join(map(str, ks))} cells where it is unsure, and {how}: "
        f"{', '.join(f'{one / 1e9:.2f}' for one in spent)} GMACs by the look that answers. "
    )
    if not config.thresholds:
        return told
    return f"{told}The thresholds in `config.json` came to {config.expected_macs / 1e9:.2f} on average. "


def _coarse_patches(config: Config) -> int:
    return math.prod(grid_for(*config.grid, config.coarse_size, config.patch)) if config.coarse_size else 0


def _cascade(config: Config) -> str:
    grids = ", ".join(f"{rows} x {columns}" for rows, columns, *_ in config.exits)
    costs = ", ".join(f"{spent / 1e9:.2f}" for spent in dvt_macs.costs(config, shapes_of(config)))
    told = (
        f"A cascade over growing grids (DVT; {_task(config)}): {len(config.exits)} ViTs of {config.extractor_depth} "
        f"blocks read all of {grids} cells, each reusing the one before, until one is sure. A picture of that shape "
        f"takes {costs} GMACs by the exit that answers; the full ViT takes {macs.full(config, config.grid) / 1e9:.2f}."
    )
    if not config.thresholds:
        return told
    return f"{told} The thresholds in `config.json` came to {config.expected_macs / 1e9:.2f} on average."


def cost(config: Config) -> int:
    """Multiply-adds for a picture of the model's own shape, read as it does by default; a cascade's on average."""
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


def made(record: Mapping[str, Any]) -> str:
    """How it was trained, from the training record."""
    teachers = ", ".join(record["teachers"])
    return (
        f"Distilled from {teachers} on {record['photographs']:,} photographs, {record['views']:,} views, in "
        f"{record['seconds'] / 60:.0f} minutes on {record['device']}; the running average of the weights was kept.\n\n"
        f"```\n{record['command']}\n```"
    )


def _fine_tuned(record: Mapping[str, Any]) -> str:
    """The same for a model that was fine-tuned."""
    best, pictures, teacher = record["best"], record["pictures"], record.get("teacher")
    learnt = f"What it learnt is not their labels, but what `{teacher}` says of them. " if teacher else ""
    return (
        f"Fine-tuned from `{record['start']}` on {pictures['train']:,} pictures in {record['seconds'] / 60:.0f} "
        f"minutes on {record['device']}. {learnt}The weights are the running average after epoch "
        f"{best['epoch']:.0f}, whose score on the {pictures['val']:,} pictures held back was the highest of all "
        f"epochs: {best['score']:.1%}.\n\n"
        f"```\n{record['command']}\n```"
    )


def full_card(name: str, config: Config, training: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """The whole card, without the Hub's metadata; what is not on record is left out.

    training, results: what training.json and results.json hold.
    """
    parts = [f"# {name}", what(config), "## Use", _use(name, config)]
    if config.labels:
        parts += ["## Labels", _labels(config)]
    for told, story in ((TOLD, made), (TOLD_OF_FINE_TUNING, _fine_tuned)):
        if training.keys() >= told:
            parts += ["## How it was made", f"{story(training)}\n\nThe whole recipe is in `{TRAINING}`."]
    if results.get("accuracy"):
        parts += ["## Measured", _measured(results)]
    return "\n\n".join(parts) + "\n"


def converted_card(name: str, config: Config, source: str, paper: str) -> str:
    """The card of a model that was converted from the authors' file; `paper`: whose they are."""
    return "\n\n".join([f"# {name}", what(config), f"Converted from {source}.", f"Weights: {paper}"]) + "\n"


def _use(name: str, config: Config) -> str:
    command = "segment photos/ --out masks/" if config.task == "segment" else "classify photo.jpg"
    return f"```\npip install lookwhere\nlookwhere {command} --model {name}\n```"


def _labels(config: Config) -> str:
    more = len(config.labels) - SHOWN
    rest = f" and {more} more, in `config.json`" if more > 0 else ""
    return f"{', '.join(config.labels[:SHOWN])}{rest}."


def _measured(results: Mapping[str, Any]) -> str:
    pictures = results.get("pictures", {})
    lines = [
        f"| {name} | {pictures.get(name, '')} | {share:.1%} |" for name, share in sorted(results["accuracy"].items())
    ]
    command = f"\n\n```\n{results['command']}\n```" if "command" in results else ""
    table = "\n".join(["| Data set | Pictures | Top-1 |", "|---|---:|---:|", *lines])
    return f"{table}{command}\n\nThe whole record is in `{RESULTS}`."
