"""A model's card (README.md, Markdown): its description, how it was trained, its measured accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lookwhere_cli.checkpoints.exported import ExportRecord
from lookwhere_cli.checkpoints.layout import RESULTS, TRAINING
from lookwhere_cli.checkpoints.records import TOP1
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.show.scores import TITLES, score_with_metric
from lookwhere_cli.strategies.registry import default_strategy
from lookwhere_cli.text import counted

INSTALL = "pip install -c constraints.txt .  # in the source folder of LookWhere"
INSTALL_LIGHT = "pip install --no-deps . -r requirements-onnx.txt  # in the same folder; without torch"
GRAPHS = {
    "selector": "`thumbnails`, RGB in 0..255, in whole patches: the selector's `map` and its `prefix` tokens",
    "extractor": "`patches` (bytes) of the chosen `cells`, the picture's `grid` and the `prefix` tokens: the answer",
    "dense": "the extractor's `hidden` tokens: a token for each cell, as `features --dense` writes them",
    "decoder": "`spread`, the extractor's `pieces` laid over the grid: scores for every place of a finer grid",
}
"""What each exported graph is given and returns, by its name."""
LISTED = 20  # labels that a card lists
PRETRAINING_KEYS = {"teachers", "photographs", "views", "seconds", "device", "command"}
FINE_TUNING_KEYS = {"start", "pictures", "seconds", "device", "best", "command"}
"""The keys of training.json from which a card describes the training."""


def describe(config: Config) -> str:
    """Return one paragraph: task, shape, cost, licence."""
    text = default_strategy(config).describe(head_of(config).describe())
    return f"{text} Licence of the teacher's weights: {config.license or 'not stated'}."


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
        f"Fine-tuned from `{record['start']}` on {counted(pictures['train'], 'picture')} in "
        f"{record['seconds'] / 60:.0f} minutes on {record['device']}. {targets}The weights are the running average "
        f"after epoch {best['epoch']:.0f}, whose score on the {counted(pictures['val'], 'validation picture')} was the "
        f"highest of all epochs: {score_with_metric(best)}.\n\n"
        f"```\n{record['command']}\n```"
    )


def full_card(
    name: str,
    config: Config,
    training: Mapping[str, Any],
    results: Mapping[str, Any],
    export: ExportRecord | None = None,
) -> str:
    """Return the whole card, without the Hub's metadata and without sections for which there is no record.

    training, results: the contents of training.json and results.json. export: the content of export.json.
    """
    parts = [f"# {name}", describe(config), "## Use", _use(name, config, export)]
    if export is not None:
        parts += ["## Files", _files(export)]
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


def _use(name: str, config: Config, export: ExportRecord | None) -> str:
    if export is not None and export.format != "onnx":
        return "Each file is a program for `torch.export.load`, for services that use torch without this package."
    install = INSTALL if export is None else INSTALL_LIGHT
    return f"```sh\n{install}\nlookwhere {head_of(config).command()} --model {name}\n```"


def _files(export: ExportRecord) -> str:
    """Say where the graphs come from, and what each of them is given and returns."""
    opset = f", ONNX operators {export.opset}" if export.opset else ""
    lines = [f"| `{file}` | {GRAPHS.get(name, 'A part of the head')} |" for name, file in export.graphs.items()]
    table = "\n".join(["| File | What it computes |", "|---|---|", *lines])
    return (
        f"Exported from `{export.source}` (revision {export.revision}); weights are stored as {export.weights}{opset}. "
        f"Between the graphs the map is resized, cells are chosen and cut: `config.json` has the sizes.\n\n{table}\n\n"
        "`SHA256SUMS` has the hashes of these files, `export.json` how they were made."
    )


def _labels(config: Config) -> str:
    more = len(config.labels) - LISTED
    rest = f" and {more} more, in `config.json`" if more > 0 else ""
    return f"{', '.join(config.labels[:LISTED])}{rest}."


def _measured(results: Mapping[str, Any]) -> str:
    pictures, metric = results.get("pictures", {}), results.get("metric", TOP1)
    lines = [
        f"| {name} | {pictures.get(name, '')} | {share:.1%} |" for name, share in sorted(results["accuracy"].items())
    ]
    command = f"\n\n```\n{results['command']}\n```" if "command" in results else ""
    table = "\n".join([f"| Data set | Pictures | {TITLES.get(metric, metric)} |", "|---|---:|---:|", *lines])
    return f"{table}{command}\n\nThe whole record is in `{RESULTS}`."
