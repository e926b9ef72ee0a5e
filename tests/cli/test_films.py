"""Films on the command line: rows with times, files for each frame, films with boxes, and wrong use to a sentence."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.cli import film_output
from lookwhere_cli.images import find
from lookwhere_cli.images.films.describe import describe_film
from lookwhere_cli.images.films.frames import frames
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.jobs import local, prepare
from tests.images.films.made import film
from tests.jobs.inline import InlineEngine


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two seconds at 10 frames a second, of 63 x 47 pixels but for the coder, which asks for even sides."""
    return film(tmp_path_factory.mktemp("films") / "plain.mp4", frames=20, rate=10)


def rows_of(ran: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def test_rows_have_times_and_frames(lookwhere: Any, plain: str, photos: Path) -> None:
    ran = lookwhere("classify", photos / "0.png", plain, photos / "1.png", "--format", "jsonl")
    assert ran.code == 0, ran.err
    rows = rows_of(ran)
    assert [(row.get("time"), row.get("frame")) for row in rows] == [(None, None), (0.0, 0), (1.0, 10), (None, None)]
    assert rows[1]["path"] == rows[2]["path"] == plain and (rows[1]["width"], rows[1]["height"]) == (64, 48)
    assert rows[1]["note"] == "10 frames/s"
    assert ran.err.count("10 frames/s") == 1  # what is said of a film is said once


def test_every_format_has_them(lookwhere: Any, plain: str, tmp_path: Path) -> None:
    import pyarrow.parquet

    for ending in ("csv", "parquet", "json", "txt"):
        ran = lookwhere("classify", plain, "--every", "5f", "--out", tmp_path / f"rows.{ending}")
        assert ran.code == 0 and "Wrote 4 rows" in ran.err, ran.err
    lines = list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text())))
    assert [(line["time"], line["frame"]) for line in lines] == [
        ("0.0", "0"),
        ("0.5", "5"),
        ("1.0", "10"),
        ("1.5", "15"),
    ]
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pydict()
    assert table["time"] == [0.0, 0.5, 1.0, 1.5] and table["frame"] == [0, 5, 10, 15]
    assert [row["frame"] for row in json.loads((tmp_path / "rows.json").read_text())] == [0, 5, 10, 15]
    assert (tmp_path / "rows.txt").read_text().splitlines()[1].split("\t")[:2] == [plain, "0.500 s"]


def test_a_damaged_film_is_a_row_and_the_others_are_done(lookwhere: Any, plain: str, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no film" * 50)
    ran = lookwhere("classify", tmp_path / "bad.mp4", plain, "--format", "jsonl")
    rows = rows_of(ran)
    assert ran.code == 1 and ["error" in row for row in rows] == [True, False, False]
    assert set(rows[0]) == {"schema", "path", "error"} and "1 of 3 pictures failed" in ran.err


def test_films_in_folders_are_found_and_other_files_passed_over(plain: str, tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("a.MP4", "b.ts"):
        shutil.copy(plain, tmp_path / name)
    (tmp_path / "code.ts").write_text("export const answer: number = 42;\n")
    (tmp_path / "notes.txt").write_text("nothing")
    Image.new("RGB", (8, 8)).save(tmp_path / "c.png")
    names = [Path(path).name for path in find_pictures([str(tmp_path)], films=True)]
    assert names == ["a.MP4", "b.ts", "c.png"]
    assert [Path(path).name for path in find_pictures([str(tmp_path)])] == ["c.png"]
    monkeypatch.setattr(find, "can_read_films", lambda: False)
    found = find_pictures([str(tmp_path)], films=True)
    assert [Path(path).name for path in found] == ["c.png"]
    assert found.notes == (
        "Passed over: 2 film files (their frames need one more package: pip install 'lookwhere[video]').",
    )


def test_a_film_without_its_ending_is_known_by_its_content(lookwhere: Any, plain: str, tmp_path: Path) -> None:
    shutil.copy(plain, tmp_path / "recording")
    assert [row["frame"] for row in rows_of(lookwhere("classify", tmp_path / "recording", "--format", "jsonl"))] == [
        0,
        10,
    ]


def test_what_reads_one_picture_says_that_a_film_is_none(lookwhere: Any, plain: str, model_folder: Path) -> None:
    from lookwhere_cli import load

    predictor = load(str(model_folder))
    assert "in Python, give lookwhere_cli.frames(FILM)" in predictor.classify(plain).error
    assert [row.frame for row in predictor.classify(frames(plain, every="1s"))] == [0, 10]


def test_a_mask_for_each_frame_once(lookwhere: Any, plain: str, segmenting_folder: Path, tmp_path: Path) -> None:
    command = (
        "segment",
        plain,
        "--model",
        segmenting_folder,
        "--every",
        "5f",
        "--overlay",
        "--out",
        tmp_path / "masks",
    )
    ran = lookwhere(*command, "--rows", tmp_path / "rows.jsonl")
    assert ran.code == 0, ran.err
    masks = [tmp_path / "masks" / "plain" / f"{frame:06d}.png" for frame in (0, 5, 10, 15)]
    assert all(Image.open(mask).size == (64, 48) for mask in masks)
    assert all(mask.with_suffix(".overlay.png").is_file() for mask in masks)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["mask"] for row in rows] == list(map(str, masks))
    masks[2].unlink()
    ran = lookwhere(*command)
    assert "Skipped 3 frames whose files exist already" in ran.err and masks[2].is_file()
    assert "Skipped 4 frames" in lookwhere(*command).err


def test_run_lengths_of_frames_once(lookwhere: Any, plain: str, segmenting_folder: Path, tmp_path: Path) -> None:
    command = ("segment", plain, "--model", segmenting_folder, "--format", "rle", "--out", tmp_path / "masks")
    names = ["plain.mp4/000000.png", "plain.mp4/000010.png"]
    for more in ((), (), ("--overwrite",)):
        assert lookwhere(*command, *more).code == 0
        coco = json.loads((tmp_path / "masks" / "annotations.json").read_text())
        assert [image["file_name"] for image in coco["images"]] == names


def test_features_of_frames(lookwhere: Any, plain: str, tmp_path: Path) -> None:
    import pyarrow.parquet
    from safetensors import safe_open

    for name in ("f.safetensors", "f.parquet"):
        assert lookwhere("features", plain, "--every", "0.5s", "--out", tmp_path / name).code == 0
    with safe_open(str(tmp_path / "f.safetensors"), "np") as file:
        assert file.get_tensor("cls").shape == (4, 24)
        assert json.loads(file.metadata()["times"]) == [0.0, 0.5, 1.0, 1.5]
        assert json.loads(file.metadata()["frames"]) == [0, 5, 10, 15]
    assert pyarrow.parquet.read_table(tmp_path / "f.parquet")["frame"].to_pylist() == [0, 5, 10, 15]


def test_explain_one_frame(lookwhere: Any, plain: str, tmp_path: Path) -> None:
    ran = lookwhere("explain", plain, "--at", "1.5s", "--format", "jsonl", "--out", tmp_path / "one.png")
    assert ran.code == 0, ran.err
    (row,) = rows_of(ran)
    assert (row["frame"], row["time"]) == (15, 1.5) and len(row["map"]) == row["grid"][0]
    assert Image.open(tmp_path / "one.png").width >= 64
    assert rows_of(lookwhere("explain", plain, "--at", "7f", "--format", "jsonl"))[0]["frame"] == 7
    late = lookwhere("explain", plain, "--at", "9s")
    assert late.code == 1 and "ends before that: it has 20 frames, 2.0 s" in late.err


@pytest.fixture
def detect(lookwhere: Any, detecting_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LOOKWHERE_MODEL", str(detecting_folder))
    return lambda *arguments: lookwhere("detect", *arguments, "--conf", 0.1)


def test_boxes_of_frames_in_every_format(detect: Any, plain: str, tmp_path: Path) -> None:
    for format in ("csv", "coco", "geojson", "yolo", "voc"):
        ran = detect(plain, "--format", format, "--out", tmp_path / format)
        assert ran.code == 0, ran.err
    lines = list(csv.DictReader(io.StringIO((tmp_path / "csv").read_text())))
    assert {(line["file"], line["time"], line["frame"]) for line in lines} == {
        (plain, "0.0", "0"),
        (plain, "1.0", "10"),
    }
    images = json.loads((tmp_path / "coco").read_text())["images"]
    assert [(one["file_name"], one["time"], one["frame"]) for one in images] == [
        (f"{plain}/000000.png", 0.0, 0),
        (f"{plain}/000010.png", 1.0, 10),
    ]
    features = json.loads((tmp_path / "geojson").read_text())["features"]
    assert {one["properties"]["frame"] for one in features} == {0, 10}
    assert (tmp_path / "yolo" / "labels" / "plain" / "000010.txt").is_file()
    assert (tmp_path / "voc" / "Annotations" / "plain" / "000010.xml").is_file()


def test_overlays_of_frames_once(detect: Any, plain: str, tmp_path: Path) -> None:
    assert detect(plain, "--overlay", "--out", tmp_path / "drawn").code == 0
    drawn = tmp_path / "drawn" / "plain" / "000010.overlay.png"
    assert Image.open(drawn).height > 48
    drawn.unlink()
    again = detect(plain, "--overlay", "--format", "yolo", "--out", tmp_path / "drawn")
    assert again.code == 0 and drawn.is_file(), again.err
    assert "Skipped 2 frames" in detect(plain, "--overlay", "--format", "yolo", "--out", tmp_path / "drawn").err


def test_a_film_with_boxes_has_all_frames_or_those_of_every(detect: Any, plain: str, tmp_path: Path) -> None:
    ran = detect(plain, "--film", tmp_path / "all.mp4", "--out", tmp_path / "boxes.jsonl")
    assert ran.code == 0 and "Wrote 20 frames" in ran.err, ran.err
    assert len((tmp_path / "boxes.jsonl").read_text().splitlines()) == 20
    told = describe_film(str(tmp_path / "all.mp4"))
    assert (told.frames, told.size, told.rate) == (20, (48, 64), pytest.approx(10, rel=0.01))
    before, after = (next(frames(path)).pixels.astype(int) for path in (plain, tmp_path / "all.mp4"))
    assert np.abs(before - after).max() > 60  # boxes are drawn
    assert detect(plain, "--film", tmp_path / "few.mp4", "--every", "0.5s").code == 0
    assert [one.moment.time for one in frames(tmp_path / "few.mp4", "1f")] == pytest.approx([0, 0.5, 1, 1.5])
    assert describe_film(str(tmp_path / "few.mp4")).rate == pytest.approx(2, rel=0.01)


def test_a_film_is_not_replaced_unless_it_is_wanted(detect: Any, plain: str, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_text("mine")
    ran = detect(plain, "--film", tmp_path / "there.mp4")
    assert ran.code == 2 and "exists already" in ran.err and (tmp_path / "there.mp4").read_text() == "mine"
    assert detect(plain, "--film", tmp_path / "there.mp4", "--overwrite", "--every", "1s").code == 0
    assert describe_film(str(tmp_path / "there.mp4")).frames == 2


def test_ctrl_c_completes_the_film_with_what_is_done(
    detect: Any, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, calls = film_output._drawn, []

    def interrupted(answer: Any) -> Any:
        calls.append(answer)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return drawn(answer)

    monkeypatch.setattr(film_output, "_drawn", interrupted)
    ran = detect(plain, "--film", tmp_path / "some.mp4", "--out", tmp_path / "boxes.jsonl")
    assert ran.code == 130 and not list(tmp_path.glob(".*"))
    assert describe_film(str(tmp_path / "some.mp4")).frames == 7
    assert len((tmp_path / "boxes.jsonl").read_text().splitlines()) == 7


def test_a_film_that_cannot_be_read_leaves_none(detect: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no film" * 50)
    ran = detect(tmp_path / "bad.mp4", "--film", tmp_path / "out.mp4")
    assert ran.code == 1 and not (tmp_path / "out.mp4").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--every", "2"), "--every 2 is neither a time nor a number of frames"),
        (("--reuse", "5"), "--reuse 5 is no share between 0 and 1"),
        (("--film", "out.gif"), "--film 'out.gif' must end in .mp4, .m4v, .mov, .mkv, .webm"),
        (("--film", "nowhere/out.mp4"), "'nowhere/out.mp4' can't be written"),
        (("--film", "out.mp4", "--overlay", "--out", "drawn"), "--film goes with rows"),
        (("--every", "1s", "--shard-size", 10, "--out", "job/"), "--every is for films, which a job does not read"),
    ],
)
def test_wrong_use_is_a_sentence(
    arguments: tuple[Any, ...], words: str, detect: Any, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = detect(plain, *arguments)
    assert ran.code == 2 and words in ran.err and len(ran.err.splitlines()) == 1, ran.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("classify", "--every", "1s"), "--every is for films, and no film is among the pictures"),
        (("classify", "--reuse", "1%"), "--reuse is for films"),
        (("explain", "--at", "1s"), "--at is for films, and no film is among the pictures"),
        (("detect", "--film", "out.mp4"), "--film is for films"),
    ],
)
def test_options_of_films_without_a_film(
    command: tuple[str, ...], words: str, lookwhere: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = lookwhere(command[0], photos / "0.png", *command[1:])
    assert ran.code == 2 and words in ran.err, ran.err


def test_explain_asks_for_one_frame(lookwhere: Any, plain: str) -> None:
    ran = lookwhere("explain", plain)
    assert ran.code == 2 and "name one of its frames, by its time or its number: --at 12.5s" in ran.err


def test_explain_passes_over_films_in_folders_unless_it_has_a_moment(
    lookwhere: Any, plain: str, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(plain, tmp_path / "a.mp4")
    shutil.copy(photos / "0.png", tmp_path / "b.png")
    assert [row.get("frame") for row in rows_of(lookwhere("explain", tmp_path, "--format", "jsonl"))] == [None]
    ran = lookwhere("explain", tmp_path, "--at", "3f", "--format", "jsonl")
    assert [row.get("frame") for row in rows_of(ran)] == [3, None]


def test_one_film_makes_a_film(detect: Any, plain: str, photos: Path, tmp_path: Path) -> None:
    ran = detect(plain, photos / "0.png", "--film", tmp_path / "out.mp4")
    assert ran.code == 2 and "--film is made from one film, and 2 files named" in ran.err
    ran = detect(plain, "--film", plain, "--overwrite")
    assert ran.code == 2 and "is the film that is read" in ran.err


def test_a_job_does_not_read_films(lookwhere: Any, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet

    monkeypatch.setattr(local, "LocalEngine", lambda processes, device: InlineEngine())
    monkeypatch.setattr(prepare, "_listed", prepare.list_pictures)  # in this process, too
    ran = lookwhere("classify", plain, "--out", f"{tmp_path}/job/", "--processes", 1)
    assert ran.code == 1, ran.err
    (shard,) = (tmp_path / "job").glob("part-*.parquet")
    assert "outside of jobs" in pyarrow.parquet.read_table(shard)["error"][0].as_py()
