"""What README, pages and cards state of the bundled models is what configs, weights and recorded results say."""

import json
import math
import re
from pathlib import Path

import pytest
from safetensors import safe_open

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "weights"
NAMES = sorted(folder.name for folder in WEIGHTS.iterdir() if folder.is_dir())
CARDS = {name: " ".join((WEIGHTS / name / "README.md").read_text().split()) for name in NAMES}
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def in1k_rows():
    """The rows of the classifier's record: what was done, top-1 by set, intervals, GMACs."""
    return json.loads((WEIGHTS / "lookwhere-tiny-in1k" / "results.json").read_text())["rows"]


def rows_of(page, start):
    """The cells of the rows of the first table after `start`, in plain text."""
    lines = iter(page[page.index(start) :].splitlines())
    table = []
    for line in lines:
        if line.startswith("|"):
            table.append([cell.strip().strip("*") for cell in line.strip("|").split("|")])
        elif table:
            break
    return table[2:]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_has_the_costs_and_the_score_of_its_model(lookwhere, name):
    (facts,) = (model for model in json.loads(lookwhere("models", "list", "--json").out) if model["name"] == name)
    macs, full = facts["macs"], facts["macs_full"]
    assert f"{macs / 1e9:.2f} GMACs" in CARDS[name]
    assert f"{full / macs:.1f} times fewer than the full ViT-Ti" in CARDS[name]
    assert re.search(rf"\b{full / 1e9:.3g}\b", CARDS[name])
    rows, columns = json.loads((WEIGHTS / name / "config.json").read_text())["grid"]
    assert f"chooses {facts['k']} of {rows} x {columns} cells" in CARDS[name]
    for result in facts["results"]:
        assert f"{100 * result['value']:.1f}" in CARDS[name] and str(result["pictures"]) in CARDS[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_card_counts_the_parameters_in_the_weights(name):
    stated = re.search(r"([\d.]+) million parameters", CARDS[name])
    with safe_open(WEIGHTS / name / "model.safetensors", "np") as file:
        count = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    assert stated is None or stated[1] == f"{count / 1e6:.1f}"


def test_the_classifier_s_card_has_the_record_s_rows(in1k_rows):
    table = rows_of((WEIGHTS / "lookwhere-tiny-in1k" / "README.md").read_text(), "## Measured")
    sets = list(in1k_rows[0]["top1"])
    recorded = [
        [row["case"].strip("*"), *(f"{row['top1'][one]:.1f}" for one in sets), f"{row['gmacs'][sets[0]]:.3f}"]
        for row in in1k_rows
    ]
    assert table == recorded


@pytest.mark.parametrize(
    ("row", "case"),
    [
        ("teacher, 224 px", "teacher, all cells, 224 px, crop"),
        ("bundled model, defaults of `classify`", "**default**"),
        ("bundled model, `--size 384 -k 25%`", "`--size 384 -k 25%`"),
        ("bundled model, `--size 384 -k 17% --coarse 128`", "`--size 384 -k 17% --coarse 128`"),
        ("bundled model, defaults and `--coarse 128`", "default, `--coarse 128`"),
    ],
)
def test_readme_has_the_same_figures(in1k_rows, row, case):
    (recorded,) = (one for one in in1k_rows if one["case"] == case)
    (shown,) = (cells for cells in rows_of(README, "## Measured") if cells[0] == row)
    expected = [
        f"{recorded['top1'][one]:.1f} ({recorded['interval'][one][0]:.0f}–{recorded['interval'][one][1]:.0f})"
        for one in recorded["top1"]
    ]
    assert shown[1:] == [*expected, f"{recorded['gmacs']['imagenet_val']:.2f}"]


def test_readme_has_the_detector_s_figures():
    table = rows_of((WEIGHTS / "lookwhere-tiny-signs" / "README.md").read_text(), "## Measured")
    card = {(cells, chooser): scores for cells, chooser, *scores in table}
    chosen, at_random, _ = rows_of(README, "Small objects in large pictures")
    for shown, key in ((chosen, "selector"), (at_random, "random")):
        ap50, interval, ap75, _, gmacs = card["297 (7 %)", key]
        low, high = (round(float(end)) for end in interval.split(" to "))
        assert (shown[1], shown[2].split(" ")[0], shown[3]) == (f"{ap50} ({low}–{high})", ap75, gmacs)
