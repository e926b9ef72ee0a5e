"""`lookwhere compare` as a user runs it: from pictures to models, results, plot and page, and how it fails."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_train import folders, masked  # noqa: F401 - fixtures

TINY = ("--epochs", 1, "--batch-size", 6, "--device", "cpu", "--dtype", "float32", "--workers", 0, "--size", 24)


@pytest.mark.slow
def test_all_methods_are_trained_and_compared(lookwhere, folders, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    ran = lookwhere(
        *("compare", folders, "--out", out, *TINY, "--no-time", "--val-share", 0.5),
        *("--methods", "full,lookwhere,cropr,pruned", "--prune", "60%,90%", "--patches", "50%"),
    )
    assert ran.code == 0, ran.err
    results = json.loads((out / "comparison.json").read_text())
    methods = [point["method"] for point in results["points"]]
    assert list(dict.fromkeys(methods)) == ["full", "smaller", "random", "tome", "cropr", "lookwhere", "pruned"]
    assert all(0 < point["macs"] <= results["points"][0]["macs"] * 1.2 for point in results["points"])
    shares = {point["setting"]: point["macs"] for point in results["points"] if point["method"] == "cropr"}
    assert shares["60% of MACs"] < shares["90% of MACs"]
    assert {"comparison.html", "pareto.png"} < {file.name for file in out.iterdir()}
    assert "Token Cropr" in (out / "comparison.md").read_text()


@pytest.fixture
def full(lookwhere, folders, tmp_path):  # noqa: F811
    """A full ViT that was trained on them."""
    assert lookwhere("train", folders, "--out", tmp_path / "full", "--method", "full", *TINY).code == 0
    return tmp_path / "full"


@pytest.mark.slow
def test_costs_are_measured(lookwhere, folders, full, tmp_path):  # noqa: F811
    ran = lookwhere("compare", folders, "--use", f"full={full}", "--out", tmp_path / "out", "--prune", "90%")
    assert ran.code == 0, ran.err
    first, *others = json.loads((tmp_path / "out" / "comparison.json").read_text())["points"]
    assert first["seconds"] > 0 and first["images_per_second"] > 0 and first["memory"] >= 0
    assert all(point["seconds"] > 0 and point["memory"] is None for point in others)


def test_given_models_are_not_trained(lookwhere, folders, full, tmp_path):  # noqa: F811
    less = ("compare", folders, "--use", f"full={full}", "--prune", "90%", "--no-time")
    broken = folders / "blue" / "broken.png"
    broken.write_bytes(b"")
    (tmp_path / "split.csv").write_text("file,split\nblue/broken.png,val\n")
    ran = lookwhere(*less, "--out", tmp_path / "none", "--fail-fast", "--split-file", tmp_path / "split.csv")
    assert ran.code == 1 and ran.err.count("Error: ") == 1 and "broken.png" in ran.err
    assert not list((tmp_path / "none").iterdir())
    broken.unlink()

    ran = lookwhere(
        *("compare", folders, "--out", tmp_path / "less", "--methods", "full", "--prune", "90%", "--no-time"),
        *("--use", f"full={full}", "--use", "cropr=not-there"),
    )
    assert ran.code == 0, ran.err
    points = json.loads((tmp_path / "less" / "comparison.json").read_text())["points"]
    assert {point["method"] for point in points} == {"full", "smaller", "random", "tome"}
    assert not (tmp_path / "less" / "full").exists()


@pytest.mark.slow
def test_masks(lookwhere, masked, tmp_path):  # noqa: F811
    full, cropr = tmp_path / "full", tmp_path / "cropr"
    for folder in (full, cropr):
        more = ("--prune", "80%") if folder == cropr else ()
        ran = lookwhere("train", masked, "--out", folder, "--method", folder.name, "--decoder", 8, *TINY, *more)
        assert ran.code == 0, ran.err
    ran = lookwhere(
        *("compare", masked, "--use", f"full={full}", "--use", f"cropr={cropr}", "--out", tmp_path / "out"),
        *("--prune", "80%", "--no-time"),
    )
    assert ran.code == 0, ran.err
    results = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert results["metric"] == "miou"
    assert "true mask" in (tmp_path / "out" / "comparison.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--methods", "full,crop"], "has the unknown method 'crop'; did you mean cropr?"),
        (["--methods", "lookwhere"], "leaves out full"),
        (["--use", "full"], "is not a method with its model"),
        (["--use", "magic=model"], "is not a method with its model"),
        (["--patches", "10%,0"], "--patches 0 is not an amount"),
        (["--budget", "half"], "--budget half is not an amount"),
    ],
)
def test_wrong_use_ends_in_a_sentence(lookwhere, folders, tmp_path, arguments, words):  # noqa: F811
    ran = lookwhere("compare", folders, "--out", tmp_path / "out", *arguments)
    assert ran.code == 2 and words in ran.err and not (tmp_path / "out").exists()
