"""Jobs that are killed, on disks that are full, with pictures that kill: by real processes and real signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.jobs.inline import messages, rows_in, small_pictures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
PICTURES, SHARD = 600, 20
DEADLY = Path(__file__).with_name("sitecustomize_deadly.py")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return small_pictures(tmp_path_factory.mktemp("small"), PICTURES)


class Command:
    """`lookwhere classify` on a folder of pictures, as a job of two processes."""

    def __init__(self, model, pictures, out, *options, environment=None):
        self.out, self._environment = out, os.environ | (environment or {})
        self._arguments = [
            sys.executable,
            "-m",
            "lookwhere_cli",
            "classify",
            pictures,
            "--model",
            model,
            "--device",
            "cpu",
        ]
        self._arguments += ["--out", f"{out}/", "--shard-size", SHARD, "--processes", 2, "--batch-size", 4, *options]
        self.process = None

    def start(self):
        arguments = list(map(str, self._arguments))
        self.process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=self._environment)
        return self

    def end(self):
        """Wait for the end; return the exit code and what was said."""
        error = self.process.communicate(timeout=800)[1]
        return self.process.returncode, "\n".join(messages(error))

    def run(self):
        return self.start().end()

    def parts(self):
        return sorted(file.name for file in self.out.glob("part-*.parquet"))

    def wait_for_parts(self, count):
        while len(self.parts()) < count:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.01)

    def workers(self):
        """The processes that hold a predictor."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.fixture
def command(model_folder, pictures, tmp_path):
    made = []

    def make(*options, source=pictures, out=tmp_path / "rows", environment=None):
        made.append(Command(model_folder, source, out, *options, environment=environment))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def check_complete(command, failed=0, total=PICTURES):
    """Every picture has exactly one row."""
    rows = rows_in(command.out)
    assert len(rows) == total and set(Counter(row["path"] for row in rows).values()) == {1}
    assert sum(row["error"] is not None for row in rows) == failed
    assert (command.out / "_SUCCESS").exists()
    assert not list(command.out.glob(".*")) and not list((command.out / "_job" / "attempts").iterdir())


def test_a_worker_that_is_killed_is_replaced(command):
    running = command().start()
    running.wait_for_parts(4)
    running.workers()[0].kill()
    code, error = running.end()
    assert code == 0, error
    check_complete(running)


def test_a_driver_that_is_killed_loses_a_shard_per_worker_at_most(command):
    running = command().start()
    running.wait_for_parts(4)
    workers = running.workers()
    running.process.kill()
    running.process.communicate()
    psutil.wait_procs(workers, timeout=20)
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    before = {name: (running.out / name).stat().st_mtime_ns for name in running.parts()}
    assert 4 <= len(before) < PICTURES // SHARD
    code, error = command().run()
    assert code == 0 and f"after {len(before) * SHARD} of earlier runs" in error
    assert all((running.out / name).stat().st_mtime_ns == when for name, when in before.items())
    check_complete(running)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_job_in_order(command, number, code):
    running = command().start()
    running.wait_for_parts(2)
    running.process.send_signal(number)
    ended, error = running.end()
    assert ended == code and "the same command goes on from there." in error and error.count("\n") == 0
    assert not list((running.out / "_job" / "attempts").iterdir())
    assert command().run()[0] == 0
    check_complete(running)


def test_a_second_job_is_refused(command):
    running = command().start()
    running.wait_for_parts(1)
    code, error = command().run()
    assert (
        code == 2 and error == "Error: Another run does this job already; wait until it ends, or choose another folder."
    )
    assert running.end()[0] == 0
    check_complete(running)


def test_members_of_an_array_start_at_once(command):
    members = [command("--shards", f"{number}/3").start() for number in (1, 2, 3)]
    ended = [member.end() for member in members]
    assert [code for code, _ in ended] == [0, 0, 0], ended
    check_complete(members[0])


@pytest.fixture
def deadly(pictures, tmp_path):
    """Pictures of which two end the process that opens them, in one shard, and the environment in which they do."""
    folder, site = tmp_path / "deadly", tmp_path / "site"
    folder.mkdir()
    site.mkdir()
    shutil.copy(DEADLY, site / "sitecustomize.py")
    for number in range(50):
        name = f"deadly-{number}.png" if number in (25, 30) else f"{number}.png"
        os.link(pictures / f"{number}.png", folder / name)
    return folder, {"PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}


def test_a_picture_that_kills_gets_a_row_with_its_error(command, deadly):
    folder, environment = deadly
    running = command(source=folder, environment=environment).start()
    code, error = running.end()
    assert code == 1, error
    assert "(2 failed)" in error
    check_complete(running, failed=2, total=50)
    failed = [row for row in rows_in(running.out) if row["error"]]
    assert all("deadly" in row["path"] and "the process that read it died" in row["error"] for row in failed)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_the_job_and_room_completes_it(command, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=250k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        running = command(out=disk / "rows")
        code, error = running.run()
        assert code == 1 and "No space left on device" in error and error.count("\n") == 0
        assert 0 < len(running.parts()) < PICTURES // SHARD
        subprocess.run(["mount", "-o", "remount,size=60m", disk], check=True)
        assert command(out=disk / "rows").run()[0] == 0
        check_complete(running)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_model_that_can_not_be_used_is_said_once(command, segmenting_folder):
    code, error = command("--model", segmenting_folder).run()
    assert code == 3 and error.count("\n") == 0 and "can't classify" in error
