"""Top-1 of a model on labelled photographs, next to random cells, central cells and its teacher.

    python benchmarks/accuracy.py weights/lookwhere-tiny-in1k DATA --teacher NAME=FILE.safetensors

DATA holds a folder per set, each with its photographs and a labels.csv (columns file, class_index). The table goes to
stdout as Markdown; with --write it becomes results.json in the model's folder, together with the command.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.evaluation.timm_classifier import TimmClassifier
from lookwhere_cli.images.frame import Mode
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.intervals import wilson
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.scoring.choosers import CHOOSERS
from lookwhere_cli.scoring.costs import Size, costs_of
from lookwhere_cli.scoring.passes import CellPolicy, Measured, run_policies
from lookwhere_cli.training.timm_models import config_of, load_vit

DEFAULT = "**default**"
MEASURED = "## Measured"
Sets = dict[str, list[tuple[str, int]]]
Row = dict[str, Any]
Answers = tuple[NDArray[np.int64], float]
"""The index of each picture's most probable label, and the mean multiply-adds per picture."""


@dataclass(frozen=True)
class Case:
    """A row of the table: how pictures are read, how many cells, and how they are chosen."""

    name: str
    k: Amount
    chooser: str = "selector"
    size: int | None = None
    mode: Mode = "whole"
    coarse: int = 0


def labelled(folder: Path) -> list[tuple[str, int]]:
    """Read the paths and class indices of a set."""
    with (folder / "labels.csv").open(newline="") as file:
        return [(str(folder / row["file"]), int(row["class_index"])) for row in csv.DictReader(file)]


def pipeline_for(model: str, case: Case) -> Pipeline:
    """Load the model as the case uses it."""
    return load(model, k=case.k, size=case.size, mode=case.mode, coarse=case.coarse).pipeline


def readable(measured: Iterator[Measured | str]) -> Iterator[Measured]:
    """Yield what was measured; end the program at a picture that can't be read."""
    for one in measured:
        if isinstance(one, str):
            raise SystemExit(one)
        yield one


def answers(pipeline: Pipeline, case: Case, paths: Sequence[str]) -> Answers:
    """Answer the pictures from the case's cells."""
    labels: list[int] = []
    sizes: list[Size] = []
    policies = [CellPolicy(case.chooser, case.k)]
    for one in readable(run_policies(pipeline, policies, lambda logits, _: logits, paths)):
        labels.append(int(one.outcomes[0].argmax()))
        sizes.append(one.size)
    return np.array(labels), costs_of(pipeline, sizes).macs


def teachers_answers(teacher: TimmClassifier, paths: Sequence[str]) -> Answers:
    """Answer the pictures with the full ViT by timm, which reads every cell."""
    measured = readable(teacher.measure(lambda logits, _: logits, paths))
    return np.array([int(one.outcomes[0].argmax()) for one in measured]), teacher.macs


def row(name: str, run: Callable[[Sequence[str]], Answers], sets: Sets) -> Row:
    """Measure one case on every set: per cent correct, the interval, and GMACs."""
    out: Row = {"case": name, "top1": {}, "interval": {}, "gmacs": {}}
    for title, pairs in sets.items():
        labels, macs = run([path for path, _ in pairs])
        correct = int((labels == np.array([label for _, label in pairs])).sum())
        out["top1"][title] = round(100 * correct / len(pairs), 1)
        score = wilson(correct, len(pairs))
        out["interval"][title] = tuple(round(100 * bound, 1) for bound in score[1:] if bound is not None)
        out["gmacs"][title] = round(macs / 1e9, 3)
    print(line(out), flush=True)
    return out


def header(sets: Sets) -> list[str]:
    """Return the table's first two lines."""
    titles = " | ".join(f"{title} ({len(pairs)})" for title, pairs in sets.items())
    return [f"| | {titles} | GMACs |", "|---|" + "---:|" * (len(sets) + 1)]


def line(one: Row) -> str:
    """Return a line of the table, with the GMACs of the most expensive set."""
    scores = " | ".join(f"{value:.1f}" for value in one["top1"].values())
    return f"| {one['case']} | {scores} | {max(one['gmacs'].values()):.3f} |"


def cases(default: Amount, high: int, high_k: Amount, coarse: int, coarse_k: Amount) -> list[Case]:
    """Return the rows of the table."""
    shares = [
        Case(f"{share:.0%} of the cells, {chooser}", Amount.share(share), chooser)
        for share in (0.5, 0.25, 0.1)
        for chooser in CHOOSERS
    ]
    return [
        Case(DEFAULT, default),
        Case("default, `--crop`", default, mode="crop"),
        Case("default, `--stretch`", default, mode="stretch"),
        Case(f"default, `--coarse {coarse}`", default, coarse=coarse),
        Case(f"`--size {high} -k {high_k}`", high_k, size=high),
        Case(f"`--size {high} -k {coarse_k} --coarse {coarse}`", coarse_k, size=high, coarse=coarse),
        *shares,
    ]


def teachers_rows(spec: str, sets: Sets) -> list[Row]:
    """Measure the full ViT at its own size, cropped and squashed, and at a size that takes half of the MACs."""
    source = load_vit(spec)
    config = config_of(source)
    modes: list[tuple[int, Mode]] = [(config.size, "crop"), (config.size, "stretch"), (160, "crop")]
    rows = []
    for size, mode in modes:
        teacher = TimmClassifier(source, size, mode)
        rows.append(row(f"teacher, all cells, {size} px, {mode}", partial(teachers_answers, teacher), sets))
    return rows


def models_rows(model: str, chosen: Sequence[Case], sets: Sets) -> list[Row]:
    """Measure the model in each case."""
    return [row(case.name, partial(answers, pipeline_for(model, case), case), sets) for case in chosen]


def write(folder: Path, sets: Sets, rows: Sequence[Row], command: str) -> None:
    """Write results.json, and the table under "Measured" on the card."""
    default = next(one for one in rows if one["case"] == DEFAULT)
    record = {
        "command": command,
        "accuracy": {title: round(value / 100, 4) for title, value in default["top1"].items()},
        "pictures": {title: len(pairs) for title, pairs in sets.items()},
        "rows": list(rows),
    }
    (folder / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    card = folder / "README.md"
    before = card.read_text().split(MEASURED)[0].rstrip()
    table = "\n".join([*header(sets), *(line(one) for one in rows)])
    note = "Top-1 in per cent; 95 % intervals are in `results.json`. Central and random cells are as many."
    card.write_text(f"{before}\n\n{MEASURED}\n\n{note}\n\n```\n{command}\n```\n\n{table}\n")


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="*", help="folders of DATA; all by default")
    parser.add_argument("--teacher", help="a timm ViT: NAME, FILE or NAME=FILE")
    parser.add_argument("--high", type=int, default=384, help="the larger size, in pixels")
    parser.add_argument("--high-k", type=Amount.parse, default="25%", help="cells at the larger size")
    parser.add_argument("--coarse", type=int, default=128, help="the coarse thumbnail's size, in pixels")
    parser.add_argument("--coarse-k", type=Amount.parse, default="17%", help="cells at the larger size with --coarse")
    parser.add_argument("--write", action="store_true", help="write results.json and the card's table")
    arguments = parser.parse_args()
    names = arguments.sets or sorted(file.parent.name for file in arguments.data.glob("*/labels.csv"))
    sets = {name: labelled(arguments.data / name) for name in names}
    print("\n".join(header(sets)), flush=True)
    rows = teachers_rows(arguments.teacher, sets) if arguments.teacher else []
    default = load(arguments.model).config.k
    chosen = cases(default, arguments.high, arguments.high_k, arguments.coarse, arguments.coarse_k)
    rows += models_rows(arguments.model, chosen, sets)
    if arguments.write:
        write(Path(arguments.model), sets, rows, shlex.join(["python", *sys.argv]))


if __name__ == "__main__":
    main()
