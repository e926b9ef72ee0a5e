"""Measure top-1 of a model on labelled photographs, next to random cells, central cells and its teacher.

    python benchmarks/accuracy.py weights/lookwhere-tiny-in1k DATA --teacher NAME=FILE.safetensors

DATA has a folder for each set, with photographs and a labels.csv (columns file, class_index). The table is printed as
Markdown. With --write, it replaces the table on the model's card, and results.json in the model's folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.evaluation.timm_classifier import TimmClassifier
from lookwhere_cli.images.frame import Mode
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.intervals import draw_resamples, percentile_interval, wilson
from lookwhere_cli.models.config import Config
from lookwhere_cli.scoring.choosers import CHOOSERS
from lookwhere_cli.scoring.costs import costs_of
from lookwhere_cli.scoring.passes import CellPolicy, run_policies
from lookwhere_cli.training.timm_models import config_of, load_vit

BATCH = 32  # pictures
DEFAULT = "**default**"
AS_COSTLY = Amount.share(0.795)
"""Cells that take about as many multiply-adds as the default and 64 coarse patches, or `coarse_k` and those unread."""
SMALL = 160  # pixels, of the smaller picture whose cells are all read, for about the multiply-adds of the default
MEASURED = "## Measured"
SMALLER: dict[str, Mode] = {f"all cells, {SMALL} px": "whole", f"all cells, {SMALL} px, `--crop`": "crop"}
"""The rows with the smaller picture, and how it is framed."""
LabelledPaths = list[tuple[str, int]]
"""Paths of pictures, each with its class index."""
Sets = dict[str, LabelledPaths]
TableRow = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A row of the table: how pictures are read, how many cells, and which chooser of CHOOSERS orders them.

    size, coarse: None for the model's own.
    """

    name: str
    k: Amount
    chooser: str = "selector"
    size: int | None = None
    mode: Mode = "whole"
    coarse: int | None = None


class Predictions(NamedTuple):
    """The most probable class of each picture, and the mean multiply-adds of one."""

    classes: NDArray[np.int64]
    macs: float


def read_labels(folder: Path) -> LabelledPaths:
    """Read the paths and class indices of a set."""
    with (folder / "labels.csv").open(newline="") as file:
        return [(str(folder / row["file"]), int(row["class_index"])) for row in csv.DictReader(file)]


def predict(model: str, case: Case, paths: Sequence[str]) -> Predictions:
    """Classify pictures with the model, as the case says."""
    pipeline = load(
        model, k=case.k, size=case.size, mode=case.mode, coarse=case.coarse, batch_size=BATCH, workers=2
    ).pipeline
    policies = [CellPolicy(case.chooser, case.k)]
    results = list(run_policies(pipeline, policies, lambda logits, _: np.array(logits.argmax()), paths))
    measured = [result for result in results if not isinstance(result, str)]
    exit_if_unreadable(results)
    classes = np.array([int(result.outcomes[0]) for result in measured])
    return Predictions(classes, costs_of(pipeline, [result.size for result in measured]).macs)


def predict_with_teacher(teacher: TimmClassifier, paths: Sequence[str]) -> Predictions:
    """Classify pictures with the full ViT, by timm, on all cells."""
    results = list(teacher.logits(paths))
    exit_if_unreadable(results)
    return Predictions(np.array([one[1].argmax() for one in results if not isinstance(one, str)]), teacher.macs)


def exit_if_unreadable(results: Sequence[object]) -> None:
    """End the program with the first sentence about a picture that can't be read."""
    for result in results:
        if isinstance(result, str):
            raise SystemExit(result)


def measure_row(name: str, predict: Callable[[Sequence[str]], Predictions], sets: Sets) -> TableRow:
    """Measure one case on every set: top-1 in per cent, its interval, and GMACs. Prints the row.

    "right" has which pictures are right, for `paired_gains`; it is not written.
    """
    row: TableRow = {"case": name, "top1": {}, "interval": {}, "gmacs": {}, "right": {}}
    for title, pairs in sets.items():
        predictions = predict([path for path, _ in pairs])
        right = predictions.classes == np.array([label for _, label in pairs])
        row["right"][title] = right
        correct = int(right.sum())
        row["top1"][title] = round(100 * correct / len(pairs), 1)
        score = wilson(correct, len(pairs))
        row["interval"][title] = tuple(round(100 * bound, 1) for bound in score[1:] if bound is not None)
        row["gmacs"][title] = round(predictions.macs / 1e9, 3)
    print(markdown_row(row), flush=True)
    return row


def paired_gains(rows: Sequence[TableRow]) -> dict[str, list[float]]:
    """Return, for each set, the points of top-1 that the default has more than the better smaller picture has.

    With the 95 % interval of the difference on the same pictures, by the bootstrap.
    """
    default = next(row for row in rows if row["case"] == DEFAULT)
    smaller = [row for row in rows if row["case"] in SMALLER]
    gains = {}
    for title, right in default["right"].items():
        other = max((row["right"][title] for row in smaller), key=lambda one: int(one.sum()))
        difference = right.astype(np.float64) - other
        resampled = draw_resamples(len(difference)) @ difference / len(difference)
        score = percentile_interval(float(difference.mean()), resampled)
        gains[title] = [round(100 * bound, 1) for bound in score if bound is not None]
    return gains


def markdown_header(sets: Sets) -> list[str]:
    """Return the first two lines of the table."""
    titles = " | ".join(f"{title} ({len(pairs)})" for title, pairs in sets.items())
    return [f"| | {titles} | GMACs |", "|---|" + "---:|" * (len(sets) + 1)]


def markdown_row(row: TableRow) -> str:
    """Return a line of the table; GMACs are the highest of all sets."""
    scores = " | ".join(f"{value:.1f}" for value in row["top1"].values())
    return f"| {row['case']} | {scores} | {max(row['gmacs'].values()):.3f} |"


def cases(config: Config, high: int, high_k: float, coarse: int, coarse_k: float) -> list[Case]:
    """Return the cases of the table."""
    default, beside = config.k, config.coarse_k or config.k
    others = [] if beside == default else [Case(f"`-k {default} --coarse {coarse}`", default, coarse=coarse)]
    high_amount, coarse_amount = Amount.share(high_k), Amount.share(coarse_k)
    shares = [
        Case(f"{share:.0%} of the cells, {chooser}", Amount.share(share), chooser)
        for share in (0.5, 0.25, 0.1)
        for chooser in CHOOSERS
    ]
    every = Amount.share(1.0)
    return [
        Case(DEFAULT, default),
        *(Case(name, every, size=SMALL, mode=mode) for name, mode in SMALLER.items()),
        Case("default, `--crop`", default, mode="crop"),
        Case("default, `--stretch`", default, mode="stretch"),
        Case(f"default, `--coarse {coarse}`", beside, coarse=coarse),
        *others,
        Case(f"`-k {AS_COSTLY}`", AS_COSTLY),
        Case(f"`--size {high} -k {high_k:.0%}`", high_amount, size=high),
        Case(f"`--size {high} -k {coarse_k:.0%} --coarse {coarse}`", coarse_amount, size=high, coarse=coarse),
        *shares,
    ]


def teacher_rows(spec: str, sets: Sets) -> list[TableRow]:
    """Measure the full ViT at its own size, cropped and stretched, and at 160 px for about half of the MACs."""
    source = load_vit(spec)
    size = config_of(source).size
    modes: list[tuple[int, Mode]] = [(size, "crop"), (size, "stretch"), (160, "crop")]
    rows = []
    for side, mode in modes:
        teacher = TimmClassifier(source, side, mode)
        rows.append(measure_row(f"teacher, all cells, {side} px, {mode}", partial(predict_with_teacher, teacher), sets))
    return rows


def gains_sentence(gains: dict[str, list[float]]) -> str:
    """Return how the default compares with the better smaller picture."""
    shown = ", ".join(f"{gain:+.1f} ({low:+.1f} to {high:+.1f})" for gain, low, high in gains.values())
    return f"On the same pictures, the default differs from the better of the rows with {SMALL} px by {shown} points."


def write_results(folder: Path, sets: Sets, rows: Sequence[TableRow], command: str) -> None:
    """Write results.json, and the table below "Measured" on the model's card."""
    default = next(row for row in rows if row["case"] == DEFAULT)
    gains = paired_gains(rows)
    record = {
        "command": command,
        "accuracy": {title: round(value / 100, 4) for title, value in default["top1"].items()},
        "pictures": {title: len(pairs) for title, pairs in sets.items()},
        "gains": gains,
        "rows": [{name: value for name, value in row.items() if name != "right"} for row in rows],
    }
    (folder / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    card = folder / "README.md"
    before = card.read_text().split(MEASURED)[0].rstrip()
    table = "\n".join([*markdown_header(sets), *map(markdown_row, rows)])
    note = (
        "Top-1 in per cent; 95 % intervals are in `results.json`. Rows with centre and random cells read the same "
        "number of cells. " + gains_sentence(gains)
    )
    card.write_text(f"{before}\n\n{MEASURED}\n\n{note}\n\n```\n{command}\n```\n\n{table}\n")


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="*", help="folders of DATA (default: all)")
    parser.add_argument("--teacher", help="a timm ViT: NAME, FILE or NAME=FILE")
    parser.add_argument("--high", type=int, default=384, help="the larger size, in pixels")
    parser.add_argument("--high-k", type=float, default=0.25, help="share of the cells at the larger size")
    parser.add_argument("--coarse", type=int, default=128, help="the coarse size, in pixels")
    parser.add_argument("--coarse-k", type=float, default=0.17, help="the same share with coarse patches")
    parser.add_argument("--write", action="store_true", help="write results.json and the card's table")
    arguments = parser.parse_args()
    if arguments.write and not Path(arguments.model).is_dir():
        parser.error(f"--write needs the model's folder, and {arguments.model!r} is none; give weights/NAME")
    names = arguments.sets or sorted(file.parent.name for file in arguments.data.glob("*/labels.csv"))
    sets = {name: read_labels(arguments.data / name) for name in names}
    print("\n".join(markdown_header(sets)), flush=True)
    rows = teacher_rows(arguments.teacher, sets) if arguments.teacher else []
    config = load_model(arguments.model).config
    for case in cases(config, arguments.high, arguments.high_k, arguments.coarse, arguments.coarse_k):
        rows.append(measure_row(case.name, partial(predict, arguments.model, case), sets))
    if arguments.write:
        write_results(Path(arguments.model), sets, rows, shlex.join(["python", *sys.argv]))


if __name__ == "__main__":
    main()
