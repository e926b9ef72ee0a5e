"""Jobs on the command line: what makes one, what it says, and what it refuses."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lookwhere_cli.jobs import local, prepare
from lookwhere_cli.jobs.job import Manifest
from lookwhere_cli.jobs.parts import PartSummary
from lookwhere_cli.jobs.reports import WorkerReport
from lookwhere_cli.jobs.status import JobStatus
from tests.jobs.inline import InlineEngine, messages, rows_in

EXPORTED = Path(__file__).parents[1] / "export" / "labelled" / "out"


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    """Jobs list and compute in this process; the value collects the engines."""
    engines = []

    def engine(processes, device):
        engines.append(InlineEngine())
        engines[-1].processes = processes
        return engines[-1]

    monkeypatch.setattr(local, "LocalEngine", engine)
    monkeypatch.setattr(prepare, "_listed", prepare.list_pictures)
    return engines


@pytest.fixture
def broken(photos, tmp_path):
    """A folder with two pictures and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("0.png", "1.png"):
        os.link(photos / name, folder / name)
    (folder / "broken.png").write_text("no")
    return folder


def test_a_slash_makes_a_job(lookwhere, broken, tmp_path):
    out = tmp_path / "rows"
    ran = lookwhere("classify", broken, "--out", f"{out}/", "--device", "cpu")
    assert ran.code == 1 and ran.out == ""
    error, done = messages(ran.err)
    assert error.startswith("Error: '") and "broken.png' is not a picture" in error
    assert done == f"Wrote 3 rows to {out}/ (1 failed)."
    assert len(rows_in(out)) == 3
    again = lookwhere("classify", broken, "--out", f"{out}/", "--device", "cpu")
    assert again.code == 1, "rows of earlier runs count"
    assert messages(again.err) == [f"There was nothing left to do in {out}/, which has 3 rows (1 failed)."]


@pytest.mark.parametrize("command", ["classify", "detect", "features"])
def test_options_make_a_job_without_a_slash(
    lookwhere, model_folder, detecting_folder, photos, tmp_path, inline, command
):
    model = detecting_folder if command == "detect" else model_folder
    arguments = (command, photos, "--model", model, "--out", tmp_path / "rows", "--shard-size", 5, "--processes", 2)
    ran = lookwhere(*arguments, "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "") and inline[0].processes == 2
    assert len(list((tmp_path / "rows").glob("part-*.parquet"))) == 3


def test_segment_makes_a_job_by_options_only(lookwhere, segmenting_folder, photos, tmp_path, inline):
    arguments = ("segment", photos, "--model", segmenting_folder, "--device", "cpu")
    assert lookwhere(*arguments, "--out", f"{tmp_path}/plain/").code == 0 and not inline
    assert lookwhere(*arguments, "--out", tmp_path / "job", "--engine", "local").code == 0 and inline
    assert (tmp_path / "job" / "3.png").read_bytes() == (tmp_path / "plain" / "3.png").read_bytes()
    assert len(rows_in(tmp_path / "job")) == 12


def test_another_config_of_the_same_weights_is_another_job(lookwhere, model_folder, photos, tmp_path):
    model = shutil.copytree(model_folder, tmp_path / "model")
    arguments = ("classify", photos, "--model", model, "--out", f"{tmp_path}/rows/", "--shard-size", 5)
    assert lookwhere(*arguments, "--shards", "1/3").code == 0
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"map_spacing": 0.7}))
    ran = lookwhere(*arguments)
    assert ran.code == 2 and "was begun with another config.json of the model" in ran.err
    (model / "config.json").write_text(json.dumps(config, indent=4))
    assert lookwhere(*arguments).code == 0 and len(rows_in(tmp_path / "rows")) == 12


def test_exported_models_do_jobs(lookwhere, photos, tmp_path):
    out = f"{tmp_path}/rows/"
    arguments = ("classify", photos, "--model", EXPORTED, "--out", out)
    assert lookwhere(*arguments).code == 0 and len(rows_in(tmp_path / "rows")) == 12
    assert messages(lookwhere(*arguments).err) == [f"There was nothing left to do in {out}, which has 12 rows."]


def test_slices_say_what_is_left(lookwhere, photos, tmp_path):
    arguments = ("classify", photos, "--out", tmp_path / "rows", "--shard-size", 5, "--shards")
    ran = lookwhere(*arguments, "3/3")
    assert ran.code == 0
    assert messages(ran.err) == [f"Wrote 2 rows to {tmp_path}/rows; 2 of 3 shards are not done yet."]
    assert messages(lookwhere(*arguments, "1/3").err)[0].startswith(
        f"Wrote 5 rows to {tmp_path}/rows, after 2 of earlier runs; 1 of"
    )
    assert not (tmp_path / "rows" / "_SUCCESS").exists()


def test_ctrl_c_says_how_to_go_on(lookwhere, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "LocalEngine", lambda processes, device: InlineEngine(stop_after=2))
    monkeypatch.setattr("lookwhere_cli.jobs.run._ticking", lambda folder, watch, show: lambda: show(watch.status()))
    ran = lookwhere("classify", photos, "--out", tmp_path / "rows", "--shard-size", 5)
    assert ran.code == 130
    assert ran.err == "Stopped: 10 of 12 pictures are done; the same command goes on from there.\n"


def test_limit_and_tables(lookwhere, photos, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("label,where\n" + "".join(f"1,{photos}/{n}.png\n" for n in (4, 2, 7)))
    out = tmp_path / "rows"
    assert lookwhere("classify", table, "--column", "where", "--limit", 2, "--out", f"{out}/").code == 0
    assert [row["path"] for row in rows_in(out)] == [f"{photos}/4.png", f"{photos}/2.png"]
    ran = lookwhere("classify", photos, "--limit", 3)
    assert ran.code == 0 and len(ran.out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--out", "{}", "--limit", "2"],
            "is a folder; name a file, or end it with a slash ({}/) to write shards into",
        ),
        (["--shard-size", "5"], "A job writes shards into a folder; name it with --out DIR/."),
        (["--out", "{}/", "--actors", "2"], "--actors is for --engine ray; add it, or use --processes."),
        (["--out", "{}/", "--address", "auto"], "--address is for --engine ray; add it, or use --processes."),
        (["--out", "{}/", "--engine", "ray", "--processes", "2"], "--processes is for --engine local; use --actors."),
        (["--out", "{}/", "--full-rows"], "A job has no --full-rows: its rows are Parquet files"),
        (["--out", "{}/", "--fail-fast"], "A job has no --fail-fast: its rows are Parquet files"),
        (["--out", "{}/", "--format", "csv"], "A job writes Parquet, and --format is csv; leave it out."),
        (["--out", "{}/", "--shards", "4/3"], "--shards 4/3 is not a slice; write 3/40 for the third of forty."),
        (["--out", "{}/", "--shards", "1/3", "--overwrite"], "--overwrite would remove the shards of other members"),
        (["--out", "{}/", "--shard-size", "0"], "--shard-size 0 is too small; it must be at least 1."),
        (["--out", "{}/", "--size", "33"], "33"),
        (["--column", "x"], "--column is for jobs, which write shards into a folder; add --out DIR/."),
        (
            ["s3://bucket/a.jpg"],
            "'s3://bucket/a.jpg' is read by a job, which writes shards into a folder; add --out DIR/.",
        ),
        (["--out", "s3://bucket/rows.csv"], "--out 's3://bucket/rows.csv' is in a remote store, where a job writes;"),
        (["--out", "{}/", "none.tar"], "'none.tar' is not there."),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(lookwhere, photos, tmp_path, arguments, sentence):
    ran = lookwhere("classify", photos, *(one.replace("{}", str(tmp_path)) for one in arguments))
    assert ran.code == 2 and ran.out == "" and ran.err.count("\n") == 1
    assert sentence.replace("{}", str(tmp_path)) in ran.err


@pytest.mark.parametrize("option", ["--overlay", "--rows=x.csv", "--rows-format=json"])
def test_segment_jobs_have_no_overlays_and_no_other_rows(lookwhere, photos, tmp_path, option):
    ran = lookwhere("segment", photos, "--out", tmp_path / "out", "--shard-size", 5, option)
    assert ran.code == 2 and f"A job has no {option.partition('=')[0]}: its rows are Parquet files" in ran.err


def test_a_missing_library_is_said_at_once(lookwhere, photos, tmp_path, monkeypatch):
    import lookwhere_cli.extras as extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "ray" else object())
    ran = lookwhere("classify", photos, "--out", f"{tmp_path}/rows/", "--engine", "ray")
    assert ran.code == 2 and "--engine ray needs ray, which is not installed; install it with: pip install" in ran.err


def test_status_and_merge(lookwhere, photos, tmp_path):
    out = tmp_path / "rows"
    ran = lookwhere("jobs", "status", out)
    assert ran.code == 2 and "There is no job in" in ran.err
    lookwhere("classify", photos, "--out", out, "--shard-size", 5, "--shards", "1/2")
    lines = lookwhere("jobs", "status", out).out.splitlines()
    assert lines[0].startswith("7 of 12 pictures done") and str(os.getpid()) in lines[2]
    facts = json.loads(lookwhere("jobs", "status", out, "--json").out)
    assert (facts["done"], facts["shards"], facts["shards_done"], facts["success"]) == (7, 3, 2, False)
    assert lookwhere("jobs", "merge", out, tmp_path / "all.csv").code == 2
    ran = lookwhere("jobs", "merge", out, tmp_path / "all.parquet")
    assert ran.code == 2 and "1 of 3 shards" in ran.err and "is missing; repeat" in ran.err
    lookwhere("classify", photos, "--out", out, "--shard-size", 5)
    assert (
        lookwhere("jobs", "merge", out, tmp_path / "all.parquet").err == f"Wrote 12 rows to {tmp_path}/all.parquet.\n"
    )
    assert pq.read_table(tmp_path / "all.parquet").num_rows == 12


def status_of(**changes):
    manifest = Manifest("classify", "m", "r", "c", {}, {}, 1000, None, 20_000, "d")
    worker = WorkerReport("host", 7, "s", "all", 5, 200, 1, 4200, 100.0, 3.0, 0, 0.0)
    return JobStatus(manifest, {0: PartSummary(1000, 2)}, (worker,), **changes)


def test_a_line_tells_how_far_a_job_is():
    from lookwhere_cli.cli.job_progress import status_line

    assert status_line(status_of()) == "1,200 of 20,000 pictures done, 3 failed, 42.0 pictures/s, 7 min left."


def test_a_line_comes_every_minute_where_there_is_no_terminal(monkeypatch, capsys):
    from lookwhere_cli.cli import job_progress, output
    from lookwhere_cli.show.console import make_console

    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    with job_progress._display(make_console(stderr=True), quiet=False) as show:
        for now[0] in range(0, 200, 10):
            show(status_of())
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_a_table_shows_each_worker():
    from rich.console import Console

    from lookwhere_cli.cli.job_progress import status_table

    console = Console(width=80, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(status_table(status_of()))
    assert "host 7" in (shown := console.export_text()) and "200/1,000" in shown and "42.0" in shown


def test_parquet_of_the_hub_is_read(lookwhere, photos, tmp_path):
    images = [{"bytes": (photos / f"{n}.png").read_bytes(), "path": f"{n}.png"} for n in range(3)]
    pq.write_table(pa.table({"image": images, "label": [0, 1, 2]}), tmp_path / "train.parquet")
    assert lookwhere("classify", tmp_path / "train.parquet", "--out", f"{tmp_path}/rows/").code == 0
    assert [row["path"] for row in rows_in(tmp_path / "rows")][2] == f"{tmp_path}/train.parquet/2/2.png"
