"""The folder of a job, on a disk and in a store: files appear whole or not at all."""

import uuid

import pytest

from lookwhere_cli.errors import OutputError, UsageError
from lookwhere_cli.jobs import remote
from lookwhere_cli.jobs.folder import LocalFolder, RemoteFolder, open_folder
from lookwhere_cli.jobs.remote import StoreError, is_remote, retried


@pytest.fixture(params=["disk", "store"])
def folder(request, tmp_path):
    return open_folder(str(tmp_path / "out") if request.param == "disk" else f"memory://{uuid.uuid4().hex}/")


def test_files_are_written_listed_read_and_removed(folder):
    assert folder.names() == [] and folder.names("_job") == [] and not folder.exists("a")
    folder.write("_job/x/mark", b"1")
    folder.write("_job/x/mark", b"2")
    with folder.new_file("part-00000.parquet") as stream:
        stream.write(b"rows")
        assert folder.names() == []
    assert folder.names() == ["part-00000.parquet"] and folder.names("_job/x") == ["mark"]
    assert folder.exists("_job/x/mark") and folder.read("_job/x/mark") == b"2"
    with folder.open("part-00000.parquet") as stream:
        stream.seek(2)
        assert stream.read() == b"ws"
    with pytest.raises(FileNotFoundError):
        folder.read("none")
    folder.remove("part-00000.parquet")
    folder.remove("part-00000.parquet")
    folder.remove_all("_job")
    folder.remove_all("_job")
    assert folder.names() == [] and folder.names("_job/x") == []


def test_a_file_that_fails_does_not_appear(folder):
    with pytest.raises(ZeroDivisionError), folder.new_file("part") as stream:
        stream.write(b"half")
        raise ZeroDivisionError
    assert folder.names() == []


def test_a_file_in_the_place_of_the_folder_is_a_usage_error(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="can't be made"):
        LocalFolder(str(tmp_path / "out")).write("_job/a", b"")


@pytest.mark.parametrize("name", ["s3://a/b", "gs://a", "memory://x", "https://a.b/c.jpg", "simplecache::s3://a/b"])
def test_addresses_are_told_from_paths(name):
    assert is_remote(name) and not is_remote(name.replace("://", "/"))


class Failing:
    def __init__(self, *errors):
        self.errors, self.calls = list(errors), 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


class AnswerError(Exception):  # as aiohttp's
    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0))


def test_what_may_pass_is_tried_again(at_once):
    call = Failing(AnswerError(503), OSError("SlowDown"))
    assert retried(call, "Reading x") == "done" and call.calls == 3


@pytest.mark.parametrize("error", [FileNotFoundError("x"), PermissionError("x"), AnswerError(403)])
def test_what_lasts_is_raised_at_once(at_once, error):
    call = Failing(error)
    with pytest.raises(type(error)):
        retried(call, "Reading x")
    assert call.calls == 1


def test_what_does_not_pass_is_said(at_once):
    call = Failing(*[AnswerError(429)] * 9)
    with pytest.raises(
        StoreError, match="Reading x failed 3 times, at last with: status 429; the same command goes on"
    ):
        retried(call, "Reading x")


def test_an_unknown_store_and_a_missing_library_are_usage_errors(monkeypatch):
    with pytest.raises(UsageError, match="of no kind of store that fsspec knows"):
        open_folder("nonsense://a/b")
    import fsspec.core

    def missing(address):
        raise ImportError("Install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UsageError, match=r"Install gcsfs.*pip install 'lookwhere\[remote\]'"):
        open_folder("gs://a/b")


def test_a_store_that_refuses_writing_is_an_output_error(monkeypatch):
    folder = open_folder(f"memory://{uuid.uuid4().hex}")
    assert isinstance(folder, RemoteFolder)

    def refuse(*_, **__):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(folder._system, "put_file", refuse)
    with pytest.raises(OutputError, match="Access Denied"):
        folder.write("a", b"")


def test_a_store_without_whole_uploads_gets_them_by_renaming(tmp_path):
    folder = open_folder(f"file://{tmp_path}/out")
    assert isinstance(folder, RemoteFolder)
    folder.write("sub/a", b"1")
    assert [file.name for file in (tmp_path / "out" / "sub").iterdir()] == ["a"]
