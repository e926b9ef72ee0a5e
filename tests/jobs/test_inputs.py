"""The list of a job's pictures: tables, tar files, remote addresses, lists of all of them."""

import csv
import io
import os
import tarfile
import time
import uuid

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.formats import looks_like_picture
from lookwhere_cli.jobs.entries import Entry, read_shard, write_list
from lookwhere_cli.jobs.inputs import find_entries, is_only_for_jobs
from lookwhere_cli.jobs.sources import Pictures
from tests.jobs.inline import small_pictures


def encoded(number=0):
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 0)).save(stream, format="PNG")
    return stream.getvalue()


def content(entry):
    """What a predictor reads of an entry."""
    picture = Pictures().picture(entry)
    return picture.read() if hasattr(picture, "read") else open(picture, "rb").read()  # noqa: PTH123


def paths(*arguments, **options):
    return [entry.path for entry in find_entries([str(one) for one in arguments], **options)]


def test_the_list_is_read_back_shard_by_shard_with_any_names(tmp_path):
    entries = [
        Entry(os.fsdecode(b"a\xff.jpg")),
        Entry("b", "c.tar", 512, 9, None, "x/b"),
        Entry("c", "d", 3, column="i"),
    ]
    summary = write_list(tmp_path / "list", iter(entries), 2)
    assert summary.pictures == 3
    with open(tmp_path / "list", "rb") as stream:  # noqa: PTH123
        assert [read_shard(stream, 0), read_shard(stream, 1)] == [entries[:2], entries[2:]]
    assert write_list(tmp_path / "other", iter(entries[::-1]), 2).digest != summary.digest
    assert write_list(tmp_path / "same", iter(entries), 1).digest == summary.digest


def test_a_parquet_file_holds_pictures_as_the_hub_has_them(tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [{"bytes": encoded(n), "path": None if n == 2 else f"{n}.png"} for n in range(7)]
    table = pa.table({"label": list(range(7)), "image": pa.array(values, kind)})
    file = tmp_path / "train.parquet"
    pq.write_table(table, file, row_group_size=3)
    entries = list(find_entries([str(file)]))
    assert [entry.path for entry in entries][:3] == [f"{file}/0/0.png", f"{file}/1/1.png", f"{file}/2"]
    pictures = Pictures()
    for number in (6, 0, 3, 1, 5, 2, 4):
        assert pictures.picture(entries[number]).read() == encoded(number)


def test_a_parquet_file_of_bytes_and_one_of_paths(tmp_path):
    photos = small_pictures(tmp_path / "photos", 3)
    inside, named = tmp_path / "inside.parquet", tmp_path / "named.parquet"
    pq.write_table(pa.table({"picture_bytes": [encoded(1), b""], "path": ["x", "y"]}), inside)
    pq.write_table(pa.table({"id": [1, 2], "Path": [str(photos / "0.png"), str(photos / "2.png")]}), named)
    entries = list(find_entries([str(inside)], "picture_bytes"))
    assert content(entries[0]) == encoded(1)
    with pytest.raises(Exception, match="holds no bytes"):
        content(entries[1])
    assert paths(named) == [str(photos / "0.png"), str(photos / "2.png")]


def test_a_csv_names_pictures_beside_it(tmp_path, monkeypatch):
    small_pictures(tmp_path / "data" / "photos", 2)
    table = tmp_path / "data" / "list.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([["file_name", "label"], ["photos/1.png", "cat"], ["photos/0.png", "dog"]])
    assert paths(table) == [f"{tmp_path}/data/photos/1.png", f"{tmp_path}/data/photos/0.png"]
    monkeypatch.chdir(tmp_path / "data")
    assert paths("list.csv") == ["photos/1.png", "photos/0.png"]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_column_that_is_not_there_is_named(tmp_path, name):
    file = tmp_path / name
    if name.endswith("csv"):
        file.write_text("where,label\na.jpg,1\n")
    else:
        pq.write_table(pa.table({"where": ["a.jpg"], "label": [1]}), file)
    with pytest.raises(UsageError, match="has no column of a usual name; choose one with --column: 'where', 'label'"):
        paths(file)
    with pytest.raises(UsageError, match="has no column 'wher'; did you mean 'where'"):
        paths(file, column="wher")
    assert [path.rpartition("/")[2] for path in paths(file, column="where")] == ["a.jpg"]


def test_a_column_of_numbers_holds_no_pictures(tmp_path):
    pq.write_table(pa.table({"label": [1]}), tmp_path / "t.parquet")
    with pytest.raises(UsageError, match="holds int64; pictures are bytes"):
        paths(tmp_path / "t.parquet", column="label")


def shard(file, *names):
    with tarfile.open(file, "w") as tar:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = len(encoded(number))
            tar.addfile(info, io.BytesIO(encoded(number)))
    return file


def test_tar_files_are_read_as_webdataset_writes_them(tmp_path):
    names = ("0001.png", "0001.cls", "sub/0002.PNG", "0002.json", "._0003.png", "0004.jpg")
    shard(tmp_path / "s-10.tar", *names)
    shard(tmp_path / "s-9.tar", "a.png")
    found = list(find_entries([str(tmp_path / "*.tar")]))
    assert [entry.path.removeprefix(f"{tmp_path}/") for entry in found] == [
        *("s-9.tar/a.png", "s-10.tar/0001.png", "s-10.tar/sub/0002.PNG", "s-10.tar/0004.jpg")
    ]
    assert [content(entry) for entry in found] == [encoded(0), encoded(0), encoded(2), encoded(5)]


def test_tar_files_that_can_not_be_used_say_so(tmp_path):
    with pytest.raises(UsageError, match="There is no picture in"):
        paths(shard(tmp_path / "labels.tar", "a.json"))
    (tmp_path / "no.tar").write_bytes(b"x" * 2000)
    with pytest.raises(DataError, match="is not a tar file"):
        paths(tmp_path / "no.tar")
    with pytest.raises(UsageError, match="is a compressed tar file"):
        paths("a.tar.gz")
    with pytest.raises(UsageError, match=r"'.*none\.tar' is not there"):
        paths(tmp_path / "none.tar")
    (tmp_path / "no.parquet").write_text("no")
    with pytest.raises(DataError, match="is not a Parquet file"):
        paths(tmp_path / "no.parquet")


@pytest.fixture
def store():
    """A place in a store of this process, with pictures, a table and a tar file."""
    place = f"memory:///{uuid.uuid4().hex}"
    system, root = fsspec.core.url_to_fs(place)
    for number in (10, 9):
        system.pipe_file(f"{root}/photos/{number}.png", encoded(number))
    system.pipe_file(f"{root}/photos/labels.txt", b"")
    system.pipe_file(f"{root}/t.csv", b"url\nphotos/9.png\n")
    return place


def test_a_prefix_a_pattern_a_file_and_a_table_of_a_store(store):
    nine, ten = f"{store}/photos/9.png", f"{store}/photos/10.png"
    assert paths(f"{store}/photos/") == [nine, ten]
    assert len(paths(f"{store}/photos/*.png")) == 2 and len(paths(nine)) == 1
    (entry,) = find_entries([f"{store}/t.csv"])
    assert entry.path == nine and content(entry) == encoded(9)
    with pytest.raises(UsageError, match="There is no picture at"):
        paths(f"{store}/none/")


def test_lists_may_hold_tables_and_addresses(tmp_path, store):
    photos = small_pictures(tmp_path / "photos", 1)
    lines = tmp_path / "list.txt"
    lines.write_text(f"{photos}\n{store}/photos/9.png\n{shard(tmp_path / 's.tar', 'a.png')}\n{photos}/0.png\n")
    assert [path.rpartition("/")[2] for path in paths(f"@{lines}")] == ["0.png", "9.png", "a.png"]


def test_a_picture_on_standard_input_is_no_job(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.BytesIO(encoded()))
    with pytest.raises(UsageError, match="A picture on standard input is no job"):
        paths("-")
    monkeypatch.setattr("sys.stdin", io.BytesIO(b"examples\n"))
    assert paths("-")


def test_what_needs_a_job():
    assert all(map(is_only_for_jobs, ["a.parquet", "A.CSV", "b.tar", "c.tar.gz", "s3://b/x.jpg"]))
    assert not any(map(is_only_for_jobs, ["photos", "a.jpg", "@list.txt", "-"]))


@pytest.mark.slow
def test_a_hundred_thousand_files_are_listed_without_opening_them(tmp_path, monkeypatch):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(100_000):
        os.close(os.open(many / f"{number}.jpg", os.O_CREAT | os.O_WRONLY))
    opened = []
    monkeypatch.setattr("lookwhere_cli.images.formats.open", lambda *a, **k: opened.append(a), raising=False)
    started = time.perf_counter()
    summary = write_list(tmp_path / "list", find_entries([str(many)]), 1000)
    assert summary.pictures == 100_000 and time.perf_counter() - started < 10
    assert opened == [] and looks_like_picture("x.jpg")
