"""Results as a table, as Markdown and as plots."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from lookwhere_cli.show.score_plots import MAX_CLASSES, _accuracy, _confusion, accuracy_plot, confusion_plot
from lookwhere_cli.show.scores import caption, columns, markdown, ordered, score_with_metric, short
from lookwhere_cli.text import on_one_line


def row(by: str, patches: str | None, macs: float, value: float, **more: Any) -> dict[str, Any]:
    base = {
        "chosen_by": by,
        "patches": patches,
        "headline": False,
        "model": "models/m",
        "size": 64,
        "coarse": 0,
        "cells": macs / 1e6,
    }
    scores = {"top1": {"value": value, "low": value - 0.1, "high": value + 0.1}, "ece": {"value": 0.031}}
    return {
        **base,
        **{"macs": macs, "macs_full": 8e6, "seconds": None, "scores": scores, "classes": {"a|b": value, "c": None}},
        **more,
    }


def results(**more: Any) -> dict[str, Any]:
    rows = [
        row("selector", "50%", 4e6, 0.8, headline=True, seconds=0.012),
        row("random", "50%", 4e6, 0.6),
        row("selector", "25%", 2e6, 0.7, seconds=0.008),
        row("random", "25%", 2e6, 0.4),
        row("all", "all", 9e6, 0.85, seconds=0.020),
        row("downscaled", "25%", 2.1e6, 0.65, seconds=0.008),
        row("full", None, 8e6, 0.9, seconds=0.018, model="models/whole"),
    ]
    return {
        **{"command": "lookwhere evaluate d", "model": "models/m", "data": "d", "split": "val", "kind": "single"},
        **{"pictures": 40, "failed": [], "metric": "top1", "per_class": "top1", "rows": rows},
        "classes": [{"name": "a|b", "label": "a|b", "support": 40}, {"name": "c", "label": "cat", "support": 0}],
        "time": {"device": "cpu", "dtype": "float32", "pictures": 16, "decode": 0.0031},
        "confusion": {"labels": ["a|b", "cat"], "counts": [[0, 0, 30], [0, 1, 10]]},
        **more,
    }


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"top1": 0.8, "top5": 0.9}, "top-1 80.0%"),
        ({"top1": 1.0, "top5": 1.0, "ece": 0.1}, "top-1 100.0%"),
        ({"map": 0.902, "f1": 0.7}, "mAP 90.2%"),
        ({"f1": 0.5, "map": 0.5}, "mAP 50.0%"),  # whatever the order in the file
        ({"miou": 0.645, "pixel_accuracy": 0.914}, "mIoU 64.5%"),
        ({"ap": 0.314, "ap50": 0.6}, "AP 31.4%"),
        ({"ap": 0.0, "mask_ap": 0.0, "ap50": 0.0}, "AP 0.0%"),
        ({"other": 0.5}, "50.0%"),  # of a model that a later version trained
    ],
)
def test_an_epoch_s_score_has_the_name_of_its_metric(scores: dict[str, float], words: str) -> None:
    score = scores.get("map", next(iter(scores.values())))
    assert score_with_metric({"epoch": 3, "loss": 0.5, "score": score, **scores}) == words


def test_rows_are_ordered_by_number_of_cells_and_the_full_vit_is_last() -> None:
    assert [(one["patches"], one["chosen_by"]) for one in ordered(results())] == [
        *(("25%", "selector"), ("25%", "random"), ("25%", "downscaled")),
        *(("50%", "selector"), ("50%", "random"), ("all", "all"), (None, "full")),
    ]


def test_pruning_at_random_is_explained_and_has_a_line_of_its_own() -> None:
    pruned = [row("all", "all", 4e6, 0.8, headline=True), row("pruned at random", "all", 4e6, 0.6)]
    assert [one["chosen_by"] for one in ordered(results(rows=pruned[::-1]))] == ["all", "pruned at random"]
    assert "but random ones" in said(results(rows=pruned)) and "random ones" not in said(results())
    labels = [line.get_label() for line in _accuracy(results(rows=pruned)).axes[0].lines]
    assert labels == ["chosen by the selector", "pruned at random"]


def test_a_narrow_terminal_shows_the_main_metric_and_the_costs() -> None:
    assert [title for title, _ in columns(results(), 40)] == ["patches", "chosen by", "top-1", "GMACs", "ms"]
    assert [title for title, _ in columns(results(), 80)][2:7] == ["cells", "px", "top-1", "95 %", "ECE"]
    shown = {title: text(results()["rows"][0]) for title, text in columns(results(), 80)}
    assert shown == {
        **{"patches": "50%", "chosen by": "selector", "cells": "4", "px": "64", "top-1": "80.0"},
        **{"95 %": "70.0–90.0", "ECE": "3.1", "GMACs": "0.004", "ms": "12.0"},
    }


def said(of: dict[str, Any], width: int = 80) -> str:
    return caption(of, columns(of, width))


def test_the_caption_speaks_of_intervals_only_where_they_are_shown() -> None:
    assert "95 %" in said(results()) and "Scores in per cent. ms: " in said(results(), 40)
    assert re.search(r"opening the picture, which takes \S+ ms more", said(results()))


def test_without_times_there_is_no_column_for_them() -> None:
    untimed = results(rows=[row("selector", "50%", 4e6, 0.8, headline=True)])
    untimed["time"]["decode"] = None
    assert "ms" not in [title for title, _ in columns(untimed, 80)]
    assert "ms" not in said(untimed)


def test_the_caption_compares_the_headline_with_the_full_vit() -> None:
    assert "50%: 2.0 times fewer MACs" in said(results())
    assert "1.5 times less time than whole." in said(results())
    assert "the split val" in said(results())


def test_the_caption_mentions_coarse_patches() -> None:
    assert "Besides" not in said(results())
    coarse = results(rows=[row("selector", "50%", 4e6, 0.8, headline=True, coarse=128)])
    assert "the whole picture is read at about 128 px" in said(coarse)


def test_markdown_has_the_command_the_table_and_a_table_by_class() -> None:
    text = markdown(results())
    assert text.startswith("# m on d\n")
    assert "lookwhere evaluate d" in text
    assert "| **50%** | **selector** |" in text
    assert "| a\\|b | 40 | 80.0 |" in text
    assert "cat" not in text  # a class without examples
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table} == {10, 4}


def test_a_model_s_short_name_is_the_last_part_of_its_path() -> None:
    assert [short(name) for name in ("m", "a/b/m", "a/m/", "/")] == ["m", "m", "m", "/"]


def drawn(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_the_plot_shows_every_way_to_choose_cells(tmp_path: Path) -> None:
    accuracy_plot(results(), tmp_path / "all.png")
    fewer = results()
    fewer["rows"] = [one for one in fewer["rows"] if one["chosen_by"] != "random"]
    accuracy_plot(fewer, tmp_path / "fewer.png")
    orange = (drawn(tmp_path / "all.png") == (0xE6, 0x9F, 0x00)).all(axis=-1)
    assert orange.sum() > 50
    assert not (drawn(tmp_path / "fewer.png") == (0xE6, 0x9F, 0x00)).all(axis=-1).any()
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["all.png", "fewer.png"]


def test_a_plot_of_a_single_row_is_drawn(tmp_path: Path) -> None:
    accuracy_plot(results(rows=[row("all", "all", 4e6, 0.8, headline=True)]), tmp_path / "one.png")
    assert drawn(tmp_path / "one.png").std() > 0


def test_a_plot_of_many_classes_shows_the_most_confused(tmp_path: Path) -> None:
    few = {"labels": list("abc"), "counts": [[0, 0, 9], [1, 2, 3], [2, 2, 1]]}
    confusion_plot(results(confusion=few), tmp_path / "few.png")
    names = [f"class {index}" for index in range(MAX_CLASSES + 20)]
    many = {"labels": names, "counts": [[index, (index * 7) % len(names), 1 + index] for index in range(len(names))]}
    confusion_plot(results(confusion=many), tmp_path / "many.png")
    assert drawn(tmp_path / "few.png").shape[0] < drawn(tmp_path / "many.png").shape[0] < 2000


HOSTILE = "$\\frac{x_2$ [red]x[/red] <script>\n| a |\x1b[31m\x07"


def test_hostile_names_stay_on_their_line_of_markdown() -> None:
    row_of_class = row("selector", "50%", 4e6, 0.8, headline=True, classes={HOSTILE: 0.8})
    named = {"model": HOSTILE, "data": HOSTILE, "command": f"lookwhere evaluate {HOSTILE}\n```"}
    classes = [{"name": HOSTILE, "label": HOSTILE, "support": 40}]
    text = markdown(results(rows=[row_of_class], classes=classes, **named))
    assert "<script" not in text.replace("lookwhere evaluate " + on_one_line(HOSTILE), "")
    assert text.splitlines().count("```") == 2
    assert all(line.isprintable() for line in text.split("\n"))
    (line,) = [line for line in text.splitlines() if line.endswith("| 40 | 80.0 |")]
    assert line.startswith("| $\\frac{x_2$ [red]x[/red] &lt;script>\\n\\| a \\|\\x1b")


def test_hostile_names_start_no_formula_in_plots(tmp_path: Path) -> None:
    accuracy_plot(results(model=HOSTILE), tmp_path / "accuracy.png")
    confusion = {"labels": [HOSTILE, "cat"], "counts": [[0, 0, 30], [0, 1, 10]]}
    confusion_plot(results(confusion=confusion), tmp_path / "confusion.png")
    assert drawn(tmp_path / "accuracy.png").std() > 0 and drawn(tmp_path / "confusion.png").std() > 0


def legend_overlaps(figure: Any) -> bool:
    """Return True if the legend hides part of the axes."""
    figure.canvas.draw()
    (legend,) = figure.legends
    return bool(legend.get_window_extent().overlaps(figure.axes[0].get_window_extent()))


def test_plots_name_the_data_and_their_legend_hides_no_point() -> None:
    figure = _accuracy(results(data="/home/me/street signs"))
    assert figure.axes[0].get_title(loc="left") == "m on street signs, 40 pictures"
    assert _confusion(results()).axes[0].get_title(loc="left") == "m on d, 40 pictures"
    assert not legend_overlaps(figure)


def test_scores_end_at_100_per_cent() -> None:
    certain = row("selector", "50%", 4e6, 1.0, headline=True)
    assert _accuracy(results(rows=[certain])).axes[0].get_ylim()[1] == 100
