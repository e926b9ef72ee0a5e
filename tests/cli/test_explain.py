import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli import load
from lookwhere_cli.checkpoints.folder import save_model
from tests.cli.test_app import in_terminal
from tests.models.small import LABELLED, small


def test_piped_text_describes_the_prediction(lookwhere, photos):
    ran = lookwhere("explain", photos / "0.png")
    assert ran.code == 0 and "\x1b" not in ran.out and "█" not in ran.out
    assert "17 of 35 cells read (49%)" in ran.out and "GMACs" in ran.out
    assert "best cells (row, column): (" in ran.out
    assert all(stage in ran.out for stage in ("open", "thumbnail", "select", "patches", "extract"))


def test_the_text_names_the_coarse_patches(lookwhere, photos, tmp_path):
    html = tmp_path / "page.html"
    ran = lookwhere("explain", photos / "0.png", "--coarse", "16", "-k", "25%", "--html", html)
    assert "8 of 35 cells read (23%) and 3 x 4 coarse patches" in ran.out
    assert '"coarse": [3, 4]' in html.read_text()
    all_of_it = lookwhere("explain", photos / "0.png", "--coarse", "16", "-k", "all").out
    assert "x as many operations as the full ViT" in all_of_it and "fewer" not in all_of_it


def test_the_text_tells_how_many_coarse_patches_show_what_is_unread(lookwhere, photos, tmp_path):
    model, html = tmp_path / "model", tmp_path / "page.html"
    save_model(model, small(replace(LABELLED, coarse_patches="unread", coarse_k=0.5)))
    options = ("explain", photos / "0.png", "--coarse", "16", "--model", model)
    ran = lookwhere(*options, "--html", html)
    assert "17 of 35 cells read (49%) and 6 of 3 x 4 coarse patches" in ran.out
    assert '"coarse_unread": true' in html.read_text()
    assert "9 of 35 cells read (26%) and 9 of 3 x 4 coarse patches" in lookwhere(*options, "-k", "9").out
    assert "coarse patches" not in lookwhere(*options, "-k", "all").out


def test_an_overlay_has_the_full_resolution_of_its_picture(lookwhere, photos, tmp_path):
    out = tmp_path / "overlay.png"
    assert lookwhere("explain", photos / "0.png", "--out", out).code == 0
    drawn = Image.open(out)
    assert drawn.format == "PNG" and drawn.width >= 60 and drawn.height > 40
    ran = lookwhere("explain", photos / "0.png", "--out", out)
    assert ran.code == 2 and "--overwrite" in ran.err
    assert lookwhere("explain", photos / "1.png", "--out", out, "--overwrite").code == 0
    assert Image.open(out).size != drawn.size or np.any(np.asarray(Image.open(out)) != np.asarray(drawn))


def test_overlays_mirror_the_sub_folders_of_the_input(lookwhere, photos, tmp_path):
    folder, out = tmp_path / "in", tmp_path / "new" / "overlays"
    (folder / "other").mkdir(parents=True)
    shutil.copy(photos / "0.png", folder)
    shutil.copy(photos / "0.png", folder / "other")
    Image.new("RGB", (9, 9)).save(folder / "other" / "0.jpg")
    ran = lookwhere("explain", folder, "--out", out)
    assert ran.code == 0 and ran.err == f"Wrote 3 overlays to {out}.\n"
    names = sorted(str(file.relative_to(out)) for file in out.rglob("*.png"))
    assert names == ["0.png", "other/0.jpg.png", "other/0.png.png"]
    ran = lookwhere("explain", folder, "--out", out)
    assert ran.code == 2 and "exists already" in ran.err
    ran = lookwhere("explain", folder, "--out", folder)
    assert ran.code == 2 and "the folder of the pictures themselves" in ran.err


def test_one_picture_goes_into_a_folder_unless_a_png_is_named(lookwhere, photos, tmp_path):
    assert lookwhere("explain", photos / "0.png", "--out", tmp_path / "overlays").code == 0
    assert [file.name for file in (tmp_path / "overlays").iterdir()] == ["0.png"]
    ran = lookwhere("explain", photos, "--out", tmp_path / "one.png")
    assert ran.code == 2 and "is one file, for 12 pictures; name a folder." in ran.err
    assert not (tmp_path / "one.png").exists()


def test_one_page_contains_all_pictures(lookwhere, photos, tmp_path):
    html = tmp_path / "page.html"
    ran = lookwhere("explain", photos / "0.png", photos / "1.png", "--crop", "--html", html)
    assert ran.code == 0 and ran.err == f"Wrote 2 pictures to {html}.\n"
    content = html.read_text()
    assert content.startswith("<!") and content.count("data:image/jpeg;base64,") == 4
    assert lookwhere("explain", photos / "0.png", "--html", html).code == 2
    assert html.read_text() == content


def test_a_failed_picture_does_not_stop_the_others(lookwhere, photos, tmp_path):
    (tmp_path / "bad.png").write_text("no")
    ran = lookwhere("explain", tmp_path / "bad.png", photos / "0.png")
    assert ran.code == 1 and "Error: " in ran.err and "17 of 35" in ran.out
    ran = lookwhere("explain", tmp_path / "bad.png", photos / "0.png", "--fail-fast", "--format", "jsonl")
    assert ran.code == 1 and ran.err.count("Error: ") == 1 and len(ran.out.splitlines()) == 1 and "error" in ran.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "overlay.jpg"], "an overlay is a PNG"),
        (["--out", "/nowhere/overlay.png"], "can't be written"),
        (["--html", "/nowhere/page.html"], "can't be written"),
        (["-k", "abc"], "-k abc"),
    ],
)
def test_wrong_usage_is_an_error(lookwhere, photos, arguments, sentence):
    ran = lookwhere("explain", photos / "0.png", *arguments)
    assert ran.code == 2 and sentence in ran.err


def test_wrong_usage_creates_no_folder(lookwhere, photos, tmp_path):
    assert lookwhere("explain", photos, "--size", "25", "--out", tmp_path / "overlays").code == 2
    assert not (tmp_path / "overlays").exists()


def test_piped_lines_are_not_wrapped(lookwhere, photos):
    ran = lookwhere("explain", photos / "0.png")
    assert any(line.startswith("time: ") and line.endswith(" ms") for line in ran.out.splitlines())


def test_ctrl_c_completes_the_page_with_the_finished_pictures(lookwhere, photos, tmp_path, monkeypatch):
    html = tmp_path / "page.html"

    def stopped_at_the_third(picture, at):
        if picture.endswith("2.png"):
            raise KeyboardInterrupt
        return picture

    monkeypatch.setattr("lookwhere_cli.cli.explain.picture_at", stopped_at_the_third)
    assert lookwhere("explain", photos, "--html", html).code == 130
    assert html.read_text().count("data:image/jpeg;base64,") == 4


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_a_full_disk_on_stdout_is_reported_in_a_sentence(photos, model_folder):
    command = [sys.executable, "-m", "lookwhere_cli", "explain", photos / "0.png", "--model", model_folder]
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert ran.returncode == 1 and ran.stderr.decode().startswith("Error: Writing 'standard output' failed")


def test_the_page_is_written_picture_by_picture(lookwhere, photos, tmp_path, monkeypatch):
    html, written = tmp_path / "page.html", []

    def watched(picture, at):
        written.append([file.read_text().count("data:image/jpeg;base64,") for file in tmp_path.iterdir()])
        return picture

    monkeypatch.setattr("lookwhere_cli.cli.explain.picture_at", watched)
    assert lookwhere("explain", photos / "0.png", photos / "1.png", photos / "2.png", "--html", html).code == 0
    assert [sum(counts) for counts in written] == [0, 2, 4]
    assert html.read_text().count("data:image/jpeg;base64,") == 6


def test_only_the_page_takes_a_pass_for_each_k(lookwhere, photos, tmp_path, monkeypatch):
    from lookwhere_cli.runtimes.torch import TorchRuntime

    answer, passes = TorchRuntime.answer, []
    monkeypatch.setattr(TorchRuntime, "answer", lambda self, chosen: passes.append(1) or answer(self, chosen))
    pictures = photos / "0.png", photos / "1.png"
    assert lookwhere("explain", *pictures, "--out", tmp_path / "overlays").code == 0
    assert len(passes) == 3  # the pictures, after one pass on blank pixels
    passes.clear()
    assert lookwhere("explain", *pictures, "--html", tmp_path / "page.html").code == 0
    assert len(passes) == 3 + 2 * 5


def test_the_page_names_pictures_below_what_was_given(lookwhere, photos, tmp_path, monkeypatch):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png"):
        shutil.copy(photos / "0.png", tmp_path / "photos" / name)
    html = tmp_path / "page.html"
    assert lookwhere("explain", tmp_path / "photos", "--html", html).code == 0
    content = html.read_text()
    assert '"name": "a.png"' in content and '"name": "sub/b.png"' in content and str(tmp_path) not in content
    assert lookwhere("explain", tmp_path / "photos" / "sub" / "b.png", "--html", html, "--overwrite").code == 0
    assert '"name": "b.png"' in html.read_text()
    monkeypatch.chdir(tmp_path)
    assert lookwhere("explain", "photos", "--html", html, "--overwrite").code == 0
    assert '"name": "photos/sub/b.png"' in html.read_text()


def test_json_lines_have_all_that_lies_behind_a_row(lookwhere, photos, tmp_path):
    (tmp_path / "bad.png").write_text("no")
    ran = lookwhere("explain", photos / "0.png", tmp_path / "bad.png", "--format", "jsonl")
    good, bad = map(json.loads, ran.out.splitlines())
    row = json.loads(lookwhere("classify", photos / "0.png", "--format", "jsonl").out)
    assert ran.code == 1 and bad.keys() == {"schema", "path", "error"}
    assert all(good[name] == row[name] for name in row if name not in ("seconds", "labels"))
    assert np.array(good["map"]).shape == tuple(good["grid"]) and len(good["order"]) == 35
    assert good["order"][: good["k"]] == good["cells"] and good["steps"].keys() >= {"open", "select", "extract"}
    assert {one["k"]: one["labels"] for one in good["at"]}[good["k"]] == good["labels"]


def test_the_page_opens_on_request(lookwhere, photos, tmp_path, monkeypatch):
    opened, html = [], tmp_path / "page.html"
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert lookwhere("explain", photos / "0.png", "--html", html, "--open").code == 0
    assert opened == [html.as_uri()]
    ran = lookwhere("explain", photos / "0.png", "--open")
    assert ran.code == 2 and "--html" in ran.err


@pytest.mark.parametrize(("columns", "beside"), [(100, False), (120, True)])
def test_maps_are_side_by_side_on_wide_terminals(model_folder, photos, columns, beside):
    code, shown = in_terminal(columns, ["explain", str(photos / "0.png"), "--model", str(model_folder)])
    assert code == 0
    legends = [line for line in shown.splitlines() if "were read" in line]
    assert ["selector map" in line for line in legends] == [beside]
    assert "x fewer operations than the full ViT" in shown


def test_rows_and_explanations_are_maps_in_a_notebook(model_folder, photos):
    from lookwhere_cli import load

    predictor = load(str(model_folder))
    explanation = predictor.explain(photos / "0.png")
    row = explanation.row._repr_html_()
    assert str(photos) not in row + explanation._repr_html_()
    assert row.count("<rect") == 1 + explanation.row.k and "17 of 35 cells read" in row and "<li>" in row
    assert "data:image/png;base64," in explanation._repr_html_() and "0.png" in explanation._repr_html_()


def test_notebooks_show_hostile_names_as_text():
    from lookwhere_cli.output.rows import Label, Row

    name = "<script>alert(1)</script>"
    for row in (Row(name, error=name), Row(name, grid=(1, 1), labels=(Label(name, 0, 1.0),))):
        assert "<script" not in row._repr_html_() and "&lt;script" in row._repr_html_()


def test_a_batch_explains_as_each_picture_alone_does(lookwhere, photos, tmp_path):
    (tmp_path / "1.png").write_bytes(b"broken")
    pictures = [photos / "0.png", photos / "4.png", tmp_path / "1.png", *(photos / f"{n}.png" for n in (8, 1, 5, 9, 2))]
    alone, together = (
        lookwhere("explain", *pictures, "--format", "jsonl", "--batch-size", size) for size in ("1", "4")
    )
    assert alone.code == together.code == 1
    for one, other in zip(*(map(json.loads, ran.out.splitlines()) for ran in (alone, together)), strict=True):
        assert one["path"] == other["path"] and one.get("error") == other.get("error")
        if "error" in one:
            continue
        assert (one["cells"], one["order"], one["macs"]) == (other["cells"], other["order"], other["macs"])
        for labels, others in zip(one["at"], other["at"], strict=True):
            assert labels["k"] == others["k"]
            assert [label["label"] for label in labels["labels"]] == [label["label"] for label in others["labels"]]
            for label, same in zip(labels["labels"], others["labels"], strict=True):
                assert label["probability"] == pytest.approx(same["probability"], abs=1e-5)


def test_pictures_of_one_grid_go_through_the_model_together(photos, model_folder, monkeypatch):
    from lookwhere_cli.explain import explain_each
    from lookwhere_cli.runtimes.torch import TorchRuntime

    answer, sizes = TorchRuntime.answer_with_survivors, []

    def counted(runtime, chosen):
        sizes.append(len(chosen.patches))
        return answer(runtime, chosen)

    monkeypatch.setattr(TorchRuntime, "answer_with_survivors", counted)
    predictor = load(str(model_folder), batch_size=3)
    explained = list(explain_each(predictor.pipeline, [str(photos / "0.png")] * 4))
    assert len(explained) == 4 and sizes == [3, 1]
