"""One run for each slice of a job, on a disk and in a store without locks."""

import json
import time
import uuid

import pytest

from lookwhere_cli.errors import UsageError
from lookwhere_cli.jobs import locks
from lookwhere_cli.jobs.folder import LocalFolder, open_folder
from lookwhere_cli.jobs.locks import LOCKS, held
from lookwhere_cli.jobs.slices import Slice


@pytest.fixture(params=["disk", "store"])
def folder(request, tmp_path):
    return open_folder(str(tmp_path) if request.param == "disk" else f"memory://{uuid.uuid4().hex}")


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (Slice(), Slice(), "Another run does this job already"),
        (Slice(3, 40), Slice(3, 40), "Another run does the slice 3/40 already"),
        (Slice(), Slice(3, 40), "A run without --shards does all of this job already"),
        (Slice(3, 40), Slice(), r"Runs of its slices \(3/40\) do this job already"),
        (Slice(3, 40), Slice(1, 20), "A run does the slice 3/40 of this job already; all members need the same number"),
    ],
)
def test_a_second_run_is_refused_until_the_first_ends(folder, first, second, sentence):
    with held(folder, first), pytest.raises(UsageError, match=sentence), held(folder, second):
        pass
    with held(folder, second):
        pass


def test_slices_of_one_cut_run_side_by_side(folder):
    with held(folder, Slice(1, 3)), held(folder, Slice(2, 3)), held(folder, Slice(3, 3)):
        pass


def lease(folder, **changes):
    values = {"id": "other", "host": "elsewhere", "pid": 1, "time": time.time()} | changes
    folder.write(f"{LOCKS}/all", json.dumps(values).encode())


def test_a_lease_counts_while_it_is_fresh():
    folder = open_folder(f"memory://{uuid.uuid4().hex}")
    lease(folder)
    with pytest.raises(UsageError), held(folder, Slice()):
        pass
    lease(folder, time=time.time() - locks.LEASE - 1)
    with held(folder, Slice()):
        assert json.loads(folder.read(f"{LOCKS}/all"))["id"] != "other"
    assert folder.names(LOCKS) == []


def test_a_lease_of_a_process_of_this_machine_that_is_gone_does_not_count(monkeypatch):
    folder = open_folder(f"memory://{uuid.uuid4().hex}")
    monkeypatch.setattr(locks.socket, "gethostname", lambda: "here")
    lease(folder, host="here", pid=2**22 + 1)
    with held(folder, Slice()):
        pass


def test_a_disk_without_locks_has_leases(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "lock", lambda descriptor: None)
    folder = LocalFolder(str(tmp_path))
    with held(folder, Slice()):
        assert json.loads(folder.read(f"{LOCKS}/all"))["id"]
        with pytest.raises(UsageError), held(folder, Slice()):
            pass


def test_a_lease_is_renewed(monkeypatch):
    monkeypatch.setattr(locks, "RENEWED", 0.01)
    folder = open_folder(f"memory://{uuid.uuid4().hex}")
    with held(folder, Slice()):
        first = json.loads(folder.read(f"{LOCKS}/all"))["time"]
        deadline = time.monotonic() + 10
        while json.loads(folder.read(f"{LOCKS}/all"))["time"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
