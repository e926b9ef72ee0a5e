"""Shards: done once, whole or not at all, and what is known of pictures over which processes died."""

import json
import os
import uuid

import fsspec
import pyarrow.parquet as pq
import pytest

from lookwhere_cli.errors import LookWhereError, ModelError, OutputError, UsageError
from lookwhere_cli.jobs import shards
from lookwhere_cli.jobs.folder import LocalFolder, open_folder
from lookwhere_cli.jobs.journal import Journal
from lookwhere_cli.jobs.merge import merge
from lookwhere_cli.jobs.parts import PartWriter
from lookwhere_cli.jobs.remote import StoreError
from lookwhere_cli.jobs.run import run_job
from lookwhere_cli.jobs.shards import ShardWorker
from lookwhere_cli.jobs.slices import Slice
from lookwhere_cli.jobs.status import status_of
from lookwhere_cli.options import Options
from lookwhere_cli.output import arrow_schema
from tests.jobs.inline import InlineEngine, job_of, rows_in, same_rows


@pytest.fixture
def pictures(photos, tmp_path):
    """The photographs, and a file that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for photo in photos.iterdir():
        os.link(photo, folder / photo.name)
    (folder / "3-broken.png").write_text("no")
    return folder


@pytest.fixture(autouse=True)
def listed_here(monkeypatch):
    """List pictures in this process."""
    from lookwhere_cli.jobs import prepare

    monkeypatch.setattr(prepare, "_listed", prepare.list_pictures)


def are_ours(schema):
    return schema.equals(arrow_schema()) and schema.metadata == arrow_schema().metadata


def test_rows_are_those_of_the_plain_command(lookwhere, model_folder, pictures, tmp_path):
    run = run_job(job_of(model_folder, tmp_path / "out", pictures, shard_size=5), InlineEngine())
    assert lookwhere("classify", pictures, "--device", "cpu", "--out", tmp_path / "plain.parquet").code == 1
    plain = pq.read_table(tmp_path / "plain.parquet")
    same_rows(rows_in(tmp_path / "out"), plain.to_pylist())
    schemas = [pq.read_schema(part) for part in (tmp_path / "out").glob("part-*.parquet")]
    assert len(schemas) == 3 and all(map(are_ours, schemas))
    assert are_ours(plain.schema)
    assert (run.status.written, run.status.failed, run.begun_with, run.missing) == (13, 1, 0, 0)
    assert (tmp_path / "out" / "_SUCCESS").exists() and run.status.success


def test_a_run_goes_on_where_one_stopped(model_folder, pictures, tmp_path):
    job = job_of(model_folder, tmp_path / "out", pictures, shard_size=3)
    with pytest.raises(KeyboardInterrupt):
        run_job(job, InlineEngine(stop_after=2))
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    kept = {part: part.stat().st_mtime_ns for part in (tmp_path / "out").glob("part-*.parquet")}
    engine = InlineEngine()
    run = run_job(job, engine)
    assert engine.done == [2, 3, 4] and run.begun_with == 6 and run.status.written == 13
    assert all(part.stat().st_mtime_ns == time for part, time in kept.items())
    again = InlineEngine()
    assert run_job(job, again).status.written == 13 and again.done == []


def test_members_do_their_slices_and_the_last_marks_success(model_folder, pictures, tmp_path):
    job = job_of(model_folder, tmp_path / "out", pictures, shard_size=2)
    for number in (3, 1):
        run = run_job(job, InlineEngine(), Slice(number, 3))
        assert not run.status.success and run.missing == 0
    assert run_job(job, InlineEngine(), Slice(2, 3)).status.success
    assert len(rows_in(tmp_path / "out")) == 13


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"options": Options(k="50%", device="cpu")}, "-k the model's own, and this run has 0.5"),
        ({"shard_size": 4}, "--shard-size 5, and this run has 4"),
        ({"limit": 10}, "--limit the model's own, and this run has 10"),
        ({"command": "features"}, "lookwhere classify, and this is lookwhere features"),
        ({"options": Options(dtype="bfloat16", device="cpu")}, "--dtype float32, and this run has bfloat16"),
    ],
)
def test_a_run_with_other_options_is_refused(model_folder, pictures, tmp_path, changes, difference):
    fields = {"shard_size": 5}
    run_job(job_of(model_folder, tmp_path / "out", pictures, **fields), InlineEngine())
    with pytest.raises(UsageError) as refused:
        run_job(job_of(model_folder, tmp_path / "out", pictures, **(fields | changes)), InlineEngine())
    assert f"was begun with {difference}" in str(refused.value)


def test_other_pictures_and_another_model_are_refused_but_other_speed_is_not(
    model_folder, pruning_folder, pictures, tmp_path
):
    run_job(job_of(model_folder, tmp_path / "out", pictures), InlineEngine())
    run_job(job_of(model_folder, tmp_path / "out", pictures, options=Options(batch_size=2, workers=2)), InlineEngine())
    with pytest.raises(UsageError, match=r"begun with --model .*tiny, and this run has .*pruning"):
        run_job(job_of(pruning_folder, tmp_path / "out", pictures), InlineEngine())
    (pictures / "0.png").rename(pictures / "00.png")
    with pytest.raises(UsageError, match="begun with other pictures, or in another order"):
        run_job(job_of(model_folder, tmp_path / "out", pictures), InlineEngine())
    (pictures / "00.png").unlink()
    with pytest.raises(UsageError, match="begun with 13 pictures, and this run finds 12"):
        run_job(job_of(model_folder, tmp_path / "out", pictures), InlineEngine())
    run = run_job(job_of(model_folder, tmp_path / "out", pictures), InlineEngine(), overwrite=True)
    assert run.status.written == 12 and run.begun_with == 0


def test_a_folder_with_other_files_is_refused(model_folder, pictures, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"holds files, 'notes\.txt' among them, but no job"):
        run_job(job_of(model_folder, tmp_path / "out", pictures), InlineEngine())


def test_a_job_that_could_not_begin_leaves_nothing(model_folder, tmp_path):
    with pytest.raises(UsageError, match="is not there"):
        run_job(job_of(model_folder, tmp_path / "out", tmp_path / "none"), InlineEngine())
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="is not there"):
        run_job(job_of(model_folder, tmp_path / "out", tmp_path / "none"), InlineEngine())
    assert list((tmp_path / "out").iterdir()) == []


def test_options_may_be_corrected_until_there_are_rows(model_folder, pictures, tmp_path):
    wrong = job_of(model_folder, tmp_path / "out", pictures, options=Options(size=33, device="cpu"))
    with pytest.raises(UsageError, match="The size is 33 pixels"):
        run_job(wrong, InlineEngine())
    assert run_job(job_of(model_folder, tmp_path / "out", pictures), InlineEngine()).status.written == 13


def test_a_limit_takes_the_first_pictures(model_folder, pictures, tmp_path):
    run_job(job_of(model_folder, tmp_path / "out", pictures, limit=4), InlineEngine())
    assert [row["path"].rpartition("/")[2] for row in rows_in(tmp_path / "out")] == [
        "0.png",
        "1.png",
        "2.png",
        "3-broken.png",
    ]


def test_a_model_of_another_task_is_refused(segmenting_folder, pictures, tmp_path):
    with pytest.raises(ModelError, match="can't classify"):
        run_job(job_of(segmenting_folder, tmp_path / "out", pictures), InlineEngine())


@pytest.mark.parametrize("command", ["classify", "detect", "segment", "features"])
def test_a_job_in_a_store_reads_and_writes_there(model_folder, detecting_folder, segmenting_folder, photos, command):
    place = f"memory:///{uuid.uuid4().hex}"
    system, root = fsspec.core.url_to_fs(place)
    for photo in photos.iterdir():
        system.pipe_file(f"{root}/in/{photo.name}", photo.read_bytes())
    model = {"segment": segmenting_folder, "detect": detecting_folder}.get(command, model_folder)
    settings = {"segment": {"format": "png"}, "features": {"dense": False, "maps": True}}.get(command, {})
    job = job_of(model, f"{place}/out", f"{place}/in/", command=command, shard_size=5, settings=settings)
    assert run_job(job, InlineEngine()).status.success
    parts = [pq.read_table(system.open(name)) for name in sorted(system.glob(f"{root}/out/part-*.parquet"))]
    rows = [row for part in parts for row in part.to_pylist()]
    assert len(rows) == 12 and not any(row["error"] for row in rows)
    assert rows[0]["path"] == f"{place}/in/0.png"
    if command == "segment":
        assert rows[3]["mask"] == f"{place}/out/3.png" and system.cat_file(f"{root}/out/3.png")[:4] == b"\x89PNG"
    if command == "features":
        assert len(rows[0]["cls"]) == 24 and len(rows[0]["map"]) == rows[0]["grid"][0] * rows[0]["grid"][1]
    assert status_of(open_folder(f"{place}/out")).is_complete


def test_boxes_are_those_of_the_plain_command(lookwhere, detecting_folder, pictures, tmp_path):
    options = Options(conf=0.4, device="cpu", workers=1)
    job = job_of(detecting_folder, tmp_path / "out", pictures, command="detect", shard_size=4, options=options)
    run_job(job, InlineEngine())
    model = ("--model", detecting_folder, "--device", "cpu", "--conf", 0.4)
    assert lookwhere("detect", pictures, *model, "--out", tmp_path / "plain.parquet").code == 1  # one is broken
    rows = rows_in(tmp_path / "out")
    same_rows(rows, pq.read_table(tmp_path / "plain.parquet").to_pylist())
    assert sum(len(row["boxes"] or ()) for row in rows) > len(rows)


def test_features_are_those_of_the_plain_command(lookwhere, model_folder, pictures, tmp_path):
    job = job_of(model_folder, tmp_path / "out", pictures, command="features", shard_size=4, settings={"dense": True})
    run_job(job, InlineEngine())
    lookwhere("features", pictures, "--dense", "--device", "cpu", "--out", tmp_path / "plain.parquet")
    plain = pq.read_table(tmp_path / "plain.parquet")
    rows = rows_in(tmp_path / "out")
    assert pq.read_schema(tmp_path / "out" / "part-00000.parquet").equals(plain.schema, check_metadata=True)
    for row, other in zip(rows, plain.to_pylist(), strict=True):
        assert row["path"] == other["path"] and row["error"] == other["error"]
        assert row["dense"] == (other["dense"] and pytest.approx(other["dense"], abs=1e-5))


def test_masks_lie_where_the_plain_command_puts_them(lookwhere, segmenting_folder, photos, tmp_path):
    job = job_of(
        segmenting_folder, tmp_path / "out", photos, command="segment", shard_size=5, settings={"format": "png"}
    )
    run_job(job, InlineEngine())
    arguments = ("--model", segmenting_folder, "--device", "cpu", "--rows", tmp_path / "plain.parquet")
    lookwhere("segment", photos, "--out", tmp_path / "plain", *arguments)
    same_rows(rows_in(tmp_path / "out"), pq.read_table(tmp_path / "plain.parquet").to_pylist())
    for file in (tmp_path / "plain").iterdir():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()
    assert [row["mask"] for row in rows_in(tmp_path / "out")] == [f"{tmp_path}/out/{n}.png" for n in range(12)]


@pytest.mark.parametrize("format", ["rle", "geojson"])
def test_other_forms_of_masks(segmenting_folder, photos, tmp_path, format):
    from pycocotools import mask

    job = job_of(segmenting_folder, tmp_path / "out", photos, command="segment", settings={"format": format})
    run_job(job, InlineEngine())
    rows = rows_in(tmp_path / "out")
    if format == "geojson":
        drawn = json.loads((tmp_path / "out" / "3.geojson").read_text())
        assert rows[3]["mask"] == f"{tmp_path}/out/3.geojson" and drawn["file_name"] == "3.png"
        return
    for row in rows:
        areas = [int(mask.area({"size": one["size"], "counts": one["counts"]})) for one in row["rle"]]
        assert sum(areas) == row["width"] * row["height"] and row["mask"] is None
        assert [one["label"] for one in row["rle"]] == [share["label"] for share in row["shares"]]


def test_two_pictures_with_one_mask_are_refused(segmenting_folder, photos, tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    os.link(photos / "0.png", tmp_path / "a" / "x.png")
    os.link(photos / "1.png", tmp_path / "a" / "b" / "x.png")
    inputs = (tmp_path / "a" / "b", tmp_path / "a")
    job = job_of(segmenting_folder, tmp_path / "out", *inputs, command="segment", settings={"format": "png"})
    with pytest.raises(UsageError, match=r"would both be 'x\.png'"):
        run_job(job, InlineEngine())


@pytest.mark.parametrize("kind", ["disk", "store"])
def test_the_journal_finds_the_culprit(tmp_path, kind):
    folder = open_folder(str(tmp_path) if kind == "disk" else f"memory:///{uuid.uuid4().hex}")
    first = Journal(folder, 7, "monday")
    assert not first.begin()
    again = Journal(folder, 7, "monday")  # another process of the same run: the first one died
    assert again.begin() and again.begin_picture(0)
    again.keep_row(0, b"row")
    assert again.begin_picture(1)
    third = Journal(folder, 7, "monday")
    assert third.begin() and third.row(0) == b"row" and third.row(1) is None
    assert not third.begin_picture(1) and third.begin_picture(2)
    third.close()
    assert not Journal(folder, 7, "monday").begin()


def test_a_run_that_was_killed_as_a_whole_blames_no_picture_at_once(tmp_path):
    folder = LocalFolder(str(tmp_path))
    assert not Journal(folder, 0, "monday").begin()
    assert not Journal(folder, 0, "tuesday").begin()
    wednesday = Journal(folder, 0, "wednesday")
    assert wednesday.begin() and wednesday.begin_picture(4)
    thursday = Journal(folder, 0, "thursday")
    assert thursday.begin() and thursday.begin_picture(4)
    assert not Journal(folder, 0, "friday").begin_picture(4)


class DiedError(BaseException):
    """Stands for the end of a process."""


def test_a_picture_that_kills_gets_a_row_and_the_others_theirs(model_folder, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(ShardWorker, "_forget", lambda worker, journal: None)  # as when the process is gone
    picture = shards.Pictures.picture

    def deadly(one, entry):
        if entry.path.endswith(("5.png", "7.png")):
            raise DiedError
        return picture(one, entry)

    monkeypatch.setattr(shards.Pictures, "picture", deadly)
    deaths, plans = [], []

    class Restarting:
        def run(self, todo, plan, tick):
            plans.append(plan)
            while True:
                worker = ShardWorker(plan)
                try:
                    for shard in todo:
                        worker(shard)
                    return
                except DiedError:
                    deaths.append(1)

    run = run_job(job_of(model_folder, tmp_path / "out", pictures, shard_size=20), Restarting())
    rows = rows_in(tmp_path / "out")
    assert len(rows) == 13 and run.status.failed == 3 and len(deaths) == 3
    killed = [row for row in rows if "died" in (row["error"] or "")]
    assert [row["path"].rpartition("/")[2] for row in killed] == ["5.png", "7.png"]
    good = [row for row in rows if row["error"] is None]
    assert len(good) == 10 and all(row["labels"] and row["cells"] for row in good)
    assert not LocalFolder(str(tmp_path / "out")).names("_job/attempts")
    assert not LocalFolder(str(tmp_path / "out")).names("_job/journal/00000")


def test_a_full_disk_ends_the_run_and_the_next_one_completes_it(model_folder, pictures, tmp_path, monkeypatch):
    job = job_of(model_folder, tmp_path / "out", pictures, shard_size=5)
    close = PartWriter.close

    def full(writer):
        if "00001" in writer._name:
            raise OutputError("Writing 'part-00001.parquet' failed: No space left on device.")
        close(writer)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="No space"):
        patch.setattr(PartWriter, "close", full)
        run_job(job, InlineEngine())
    files = {file.name for file in (tmp_path / "out").iterdir()}
    assert files == {"_job", "part-00000.parquet"}
    assert run_job(job, InlineEngine()).status.written == 13


def test_a_store_that_fails_ends_the_run_instead_of_making_rows(model_folder, photos, tmp_path, monkeypatch):
    place = f"memory:///{uuid.uuid4().hex}"
    system, root = fsspec.core.url_to_fs(place)
    for photo in photos.iterdir():
        system.pipe_file(f"{root}/{photo.name}", photo.read_bytes())
    job = job_of(model_folder, tmp_path / "out", place)
    monkeypatch.setattr("lookwhere_cli.jobs.remote.WAITS", (0.0,))
    with monkeypatch.context() as patch, pytest.raises(StoreError, match="503; the same command goes on"):
        patch.setattr("lookwhere_cli.jobs.sources._from_store", failing)
        run_job(job, InlineEngine())
    assert rows_in(tmp_path / "out") == []
    system.rm_file(f"{root}/3.png")
    system.pipe_file(f"{root}/3.png", b"")
    run = run_job(job, InlineEngine())
    assert run.status.failed == 1 and len(rows_in(tmp_path / "out")) == 12


def failing(address, place, length):
    from lookwhere_cli.jobs.remote import retried

    def call():
        raise OSError("503")

    return retried(call, f"Reading {address}")


def test_a_damaged_file_of_rows_is_named(model_folder, pictures, tmp_path):
    job = job_of(model_folder, tmp_path / "out", pictures, shard_size=5)
    run_job(job, InlineEngine())
    part = tmp_path / "out" / "part-00001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(OutputError, match=r"part-00001\.parquet is damaged.*remove it"):
        run_job(job, InlineEngine())
    part.unlink()
    assert run_job(job, InlineEngine()).status.written == 13


def test_merging_needs_all_shards(model_folder, pictures, tmp_path):
    job = job_of(model_folder, tmp_path / "out", pictures, shard_size=5)
    folder = LocalFolder(str(tmp_path / "out"))
    with pytest.raises(UsageError, match="There is no job in"):
        merge(folder, tmp_path / "all.parquet")
    with pytest.raises(KeyboardInterrupt):
        run_job(job, InlineEngine(stop_after=1))
    with pytest.raises(UsageError, match=r"2 of 3 shards in .* are missing; repeat"):
        merge(folder, tmp_path / "all.parquet")
    run_job(job, InlineEngine())
    assert merge(folder, tmp_path / "all.parquet") == 13
    merged = pq.read_table(tmp_path / "all.parquet")
    assert merged.to_pylist() == rows_in(tmp_path / "out")
    assert are_ours(merged.schema)


def test_other_readers_read_the_rows(model_folder, pictures, tmp_path):
    import polars

    run_job(job_of(model_folder, tmp_path / "out", pictures, shard_size=5), InlineEngine())
    table = polars.read_parquet(tmp_path / "out" / "part-*.parquet")
    assert table["path"].to_list() == [row["path"] for row in rows_in(tmp_path / "out")]
    assert table.filter(polars.col("error").is_not_null()).height == 1
    whole = pq.read_table(tmp_path / "out")  # a folder: what begins with _ is left out
    assert whole.num_rows == 13


def test_errors_of_ours_travel_between_processes():
    import pickle

    error = pickle.loads(pickle.dumps(UsageError("A sentence.", ["a detail"])))
    assert isinstance(error, LookWhereError) and str(error) == "A sentence.\na detail"
