"""A job that reads from S3 and writes there, while the server throttles and fails now and then."""

import json
import os
import subprocess
import sys
import threading

import pyarrow.parquet as pq
import pytest
from werkzeug.serving import make_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
BROKEN = b"<?xml version='1.0'?><Error><Code>InternalError</Code><Message>We failed.</Message></Error>"


class Flaky:
    """A WSGI application in front of another one: every 7th request is throttled, every 11th fails."""

    def __init__(self, application):
        self.application, self.requests, self.refused, self.steady = application, 0, 0, False
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        with self.lock:
            self.requests += 1
            number = self.requests
        if self.steady or (number % 7 and number % 11):
            return self.application(environ, start_response)
        self.refused += 1
        status, body = ("503 Slow Down", SLOW_DOWN) if number % 7 == 0 else ("500 Internal Server Error", BROKEN)
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def s3():
    """The address of an S3 server of this machine, and the environment of a command that uses it."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    flaky = Flaky(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, flaky, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    yield flaky, environment
    server.shutdown()
    thread.join()


def lookwhere(environment, *arguments):
    command = [sys.executable, "-m", "lookwhere_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=900)


def test_a_job_reads_and_writes_s3_with_failures_in_between(s3, model_folder, photos, monkeypatch):
    import s3fs

    flaky, environment = s3
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    flaky.steady = True
    system = s3fs.S3FileSystem(skip_instance_cache=True)
    for bucket in ("pictures", "rows"):
        system.mkdir(bucket)
    for photo in photos.iterdir():
        system.pipe_file(f"pictures/in/{photo.name}", photo.read_bytes())
    flaky.steady = False
    job = ("classify", "s3://pictures/in/", "--out", "s3://rows/job/", "--model", model_folder, "--shard-size", 5)
    ran = lookwhere(environment, *job, "--processes", 2, "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.splitlines()[-1] == "Wrote 12 rows to s3://rows/job/."
    assert flaky.refused > 10
    flaky.steady = True
    system.invalidate_cache()
    parts = sorted(system.glob("rows/job/part-*.parquet"))
    rows = [row for part in parts for row in pq.read_table(system.open(part)).to_pylist()]
    assert [row["path"] for row in rows] == [f"s3://pictures/in/{number}.png" for number in range(12)]
    assert not any(row["error"] for row in rows) and system.exists("rows/job/_SUCCESS")
    assert not system.find("rows/job/_job/locks")
    again = lookwhere(environment, *job, "--processes", 2, "--device", "cpu")
    assert again.returncode == 0 and "There was nothing left to do" in again.stderr
    status = lookwhere(environment, "jobs", "status", "s3://rows/job/", "--json")
    assert json.loads(status.stdout)["done"] == 12
