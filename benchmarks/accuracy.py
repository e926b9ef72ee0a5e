"""Top-1 of a model on labelled photographs, beside random cells, central cells and its teacher.

    python benchmarks/accuracy.py weights/lookwhere-tiny-in1k DATA --teacher NAME=FILE.safetensors

DATA holds a folder per set, each with its photographs and a labels.csv (columns file, class_index). The table goes to
stdout as Markdown; with --write it becomes results.json in the model's folder, together with what it was measured on.
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
import torch
from numpy.typing import NDArray

from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.evaluation.timm_classifier import Full
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.frame import Grid, Mode, Reading
from lookwhere_cli.metrics.choosers import CHOOSERS, Chooser, seed_of
from lookwhere_cli.metrics.intervals import wilson
from lookwhere_cli.predictor import Glimpse, Predictor
from lookwhere_cli.training.timm_models import config_of, load_vit

BATCH = 32
DEFAULT = "**default**"
MEASURED = "## Measured"
Sets = dict[str, list[tuple[str, int]]]
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One row of the table: how pictures are read, how many cells, and who chooses them."""

    name: str
    k: float
    chooser: str = "selector"
    size: int | None = None
    mode: Mode = "whole"
    coarse: int = 0


def labelled(folder: Path) -> list[tuple[str, int]]:
    """Paths and class indices of a set."""
    with (folder / "labels.csv").open(newline="") as file:
        return [(str(folder / row["file"]), int(row["class_index"])) for row in csv.DictReader(file)]


def predictor_for(model: str, case: Case) -> Predictor:
    """The model, used as the case says."""
    loaded = load_model(model)
    config = loaded.config
    reading = Reading(
        config.patch,
        case.size or config.size,
        case.mode,
        config.crop_share,
        config.thumbnail_filter,
        coarse_size=case.coarse,
    )
    return Predictor(loaded, reading, k=case.k, top=1, batch_size=BATCH, workers=2)


def batches(predictor: Predictor, paths: Sequence[str]) -> Iterator[tuple[list[int], list[Glimpse]]]:
    """Glimpses of one grid together, with their places."""
    waiting: dict[Grid, list[tuple[int, Glimpse]]] = {}
    for place, glimpse in enumerate(read_ahead(paths, predictor.glimpse, 2, BATCH)):
        if not isinstance(glimpse, Glimpse):
            raise SystemExit(str(glimpse))
        alike = waiting.setdefault(glimpse.view.grid, [])
        alike.append((place, glimpse))
        if len(alike) == BATCH:
            places, views = zip(*waiting.pop(glimpse.view.grid), strict=True)
            yield list(places), list(views)
    for alike in waiting.values():
        places, views = zip(*alike, strict=True)
        yield list(places), list(views)


@torch.inference_mode()
def answers(predictor: Predictor, chooser: Chooser, paths: Sequence[str]) -> tuple[NDArray[np.int64], float]:
    """The first label's index for each picture, and the mean MACs."""
    found, spent = np.zeros(len(paths), dtype=np.int64), 0
    for places, glimpses in batches(predictor, paths):
        grid = glimpses[0].view.grid
        k = predictor.k.resolve(grid[0] * grid[1])
        selection = predictor.select([glimpse.thumbnail for glimpse in glimpses], grid)
        cells = chooser(selection.map, grid, [seed_of(glimpse.thumbnail) for glimpse in glimpses])[:, :k]
        patches = [one.view.patches(chosen) for one, chosen in zip(glimpses, cells.numpy(), strict=True)]
        coarse = predictor.coarse([glimpse.coarse for glimpse in glimpses])
        labels = predictor.extract(patches, cells, grid, selection.prefix_tokens, coarse)
        found[places] = [label[0].index for label in labels]
        spent += len(places) * predictor.macs(grid, k)
    return found, spent / len(paths)


def teachers_answers(teacher: Full, paths: Sequence[str]) -> tuple[NDArray[np.int64], float]:
    """The full ViT by timm on every cell."""
    found = [answer for logits in teacher.run(paths) for answer in logits.argmax(-1).tolist()]
    return np.array(found), teacher.macs


def row(name: str, run: Callable[[Sequence[str]], tuple[NDArray[np.int64], float]], sets: Sets) -> Row:
    """One case on every set: per cent right, its interval, and GMACs."""
    out: Row = {"case": name, "top1": {}, "interval": {}, "gmacs": {}}
    for title, pairs in sets.items():
        found, cost = run([path for path, _ in pairs])
        right = int((found == np.array([label for _, label in pairs])).sum())
        out["top1"][title] = round(100 * right / len(pairs), 1)
        score = wilson(right, len(pairs))
        out["interval"][title] = tuple(round(100 * bound, 1) for bound in score[1:] if bound is not None)
        out["gmacs"][title] = round(cost / 1e9, 3)
    print(line(out), flush=True)
    return out


def header(sets: Sets) -> list[str]:
    """The table's first two lines."""
    titles = " | ".join(f"{title} ({len(pairs)})" for title, pairs in sets.items())
    return [f"| | {titles} | GMACs |", "|---|" + "---:|" * (len(sets) + 1)]


def line(one: Row) -> str:
    """A row of the table; GMACs are those of the dearest set."""
    scores = " | ".join(f"{value:.1f}" for value in one["top1"].values())
    return f"| {one['case']} | {scores} | {max(one['gmacs'].values()):.3f} |"


def cases(default: float, high: int, high_k: float, coarse: int, coarse_k: float) -> list[Case]:
    """The table's rows."""
    shares = [
        Case(f"{share:.0%} of the cells, {chooser}", share, chooser)
        for share in (0.5, 0.25, 0.1)
        for chooser in CHOOSERS
    ]
    return [
        Case(DEFAULT, default),
        Case("default, `--crop`", default, mode="crop"),
        Case("default, `--stretch`", default, mode="stretch"),
        Case(f"default, `--coarse {coarse}`", default, coarse=coarse),
        Case(f"`--size {high} -k {high_k:.0%}`", high_k, size=high),
        Case(f"`--size {high} -k {coarse_k:.0%} --coarse {coarse}`", coarse_k, size=high, coarse=coarse),
        *shares,
    ]


def teachers_rows(spec: str, sets: Sets) -> list[Row]:
    """The full ViT at its own size, cropped and squashed, and on a picture as small as half of the MACs ask for."""
    source = load_vit(spec)
    config = config_of(source)
    modes: list[tuple[int, Mode]] = [(config.size, "crop"), (config.size, "stretch"), (160, "crop")]
    rows = []
    for size, mode in modes:
        teacher = Full(source, size, mode)
        rows.append(row(f"teacher, all cells, {size} px, {mode}", partial(teachers_answers, teacher), sets))
    return rows


def models_rows(model: str, chosen: Sequence[Case], sets: Sets) -> list[Row]:
    """Each case, as the model answers it."""
    return [
        row(case.name, partial(answers, predictor_for(model, case), CHOOSERS[case.chooser]), sets) for case in chosen
    ]


def write(folder: Path, sets: Sets, rows: Sequence[Row], command: str) -> None:
    """The record results.json, and the table under "Measured" on the card."""
    default = next(one for one in rows if one["case"] == DEFAULT)
    record = {
        "command": command,
        "accuracy": {title: round(value / 100, 4) for title, value in default["top1"].items()},
        "pictures": {title: len(pairs) for title, pairs in sets.items()},
        "rows": list(rows),
    }
    (folder / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    card = folder / "README.md"
    kept_part = card.read_text().split(MEASURED)[0].rstrip()
    table = "\n".join([*header(sets), *(line(one) for one in rows)])
    note = "Top-1 in per cent; 95 % intervals are in `results.json`. Centre and random cells read as many cells."
    card.write_text(f"{kept_part}\n\n{MEASURED}\n\n{note}\n\n```\n{command}\n```\n\n{table}\n")


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="*", help="folders of DATA; all by default")
    parser.add_argument("--teacher", help="a timm ViT: NAME, FILE or NAME=FILE")
    parser.add_argument("--high", type=int, default=384, help="the larger size, in pixels")
    parser.add_argument("--high-k", type=float, default=0.25, help="share of the cells at the larger size")
    parser.add_argument("--coarse", type=int, default=128, help="the coarse size, in pixels")
    parser.add_argument("--coarse-k", type=float, default=0.17, help="share of the cells beside it at the larger size")
    parser.add_argument("--write", action="store_true", help="write results.json and the card's table")
    arguments = parser.parse_args()
    names = arguments.sets or sorted(file.parent.name for file in arguments.data.glob("*/labels.csv"))
    sets = {name: labelled(arguments.data / name) for name in names}
    print("\n".join(header(sets)), flush=True)
    rows = teachers_rows(arguments.teacher, sets) if arguments.teacher else []
    default = float(load_model(arguments.model).config.k)
    chosen = cases(default, arguments.high, arguments.high_k, arguments.coarse, arguments.coarse_k)
    rows += models_rows(arguments.model, chosen, sets)
    if arguments.write:
        write(Path(arguments.model), sets, rows, shlex.join(["python", *sys.argv]))


if __name__ == "__main__":
    main()
