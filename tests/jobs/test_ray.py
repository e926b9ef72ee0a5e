"""Jobs on a real Ray of this machine: rows, deaths of actors and of the whole session; and a Worker in Ray Data."""

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from lookwhere_cli.jobs.folder import LocalFolder
from lookwhere_cli.jobs.reports import read_reports
from tests.jobs.inline import messages, rows_in, same_rows, small_pictures
from tests.jobs.test_faults import DEADLY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
DOCS = Path(__file__).parents[2] / "docs" / "scale.md"
PICTURES = 240
QUIET = "num_cpus=3, include_dashboard=False, object_store_memory=200_000_000, log_to_driver=False"


@pytest.fixture
def small(tmp_path):
    return small_pictures(tmp_path / "small", PICTURES)


def arguments(model, pictures, out):
    command = [sys.executable, "-m", "lookwhere_cli", "classify", pictures, "--model", model, "--device", "cpu"]
    options = ["--shard-size", 10, "--engine", "ray", "--actors", 2, "--batch-size", 4]
    return list(map(str, [*command, "--out", f"{out}/", *options]))


def started(model, pictures, out):
    return subprocess.Popen(arguments(model, pictures, out), stderr=subprocess.PIPE, text=True)


def wait_for_parts(process, out, count):
    while len(list(out.glob("part-*.parquet"))) < count:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)


def kill_session(process):
    """Kill the driver and all of Ray's processes."""
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.communicate()
    psutil.wait_procs(family, timeout=20)


def test_actors_and_sessions_that_are_killed_lose_no_row(model_folder, small, tmp_path):
    out = tmp_path / "rows"
    process = started(model_folder, small, out)
    wait_for_parts(process, out, 2)
    kill_session(process)
    kept = {part: part.stat().st_mtime_ns for part in out.glob("part-*.parquet")}
    assert 2 <= len(kept) < PICTURES // 10
    process = started(model_folder, small, out)
    wait_for_parts(process, out, len(kept) + 2)
    worker = next(report for report in read_reports(LocalFolder(str(out))).values())
    psutil.Process(worker.pid).kill()
    error = process.communicate(timeout=900)[1]
    assert process.returncode == 0, error
    assert (
        error.splitlines()[-1]
        == f"Wrote {PICTURES - 10 * len(kept)} rows to {out}/, after {10 * len(kept)} of earlier runs."
    )
    assert all(part.stat().st_mtime_ns == when for part, when in kept.items())
    rows = rows_in(out)
    assert len({row["path"] for row in rows}) == len(rows) == PICTURES and not any(row["error"] for row in rows)


def test_rows_are_those_of_the_plain_command_and_pictures_that_kill_have_an_error(
    lookwhere, model_folder, photos, tmp_path
):
    pictures, site = tmp_path / "pictures", tmp_path / "site"
    shutil.copytree(photos, pictures)
    lookwhere("classify", pictures, "--device", "cpu", "--out", tmp_path / "plain.parquet")
    shutil.copy(photos / "0.png", pictures / "deadly-3.png")
    site.mkdir()
    shutil.copy(DEADLY, site / "sitecustomize.py")
    environment = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = arguments(model_folder, pictures, tmp_path / "rows")
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert ran.returncode == 1, ran.stderr
    error, done = messages(ran.stderr)
    assert "deadly-3.png' can't be read: the process that read it died" in error
    assert done == f"Wrote 13 rows to {tmp_path}/rows/ (1 failed)."
    good = [row for row in rows_in(tmp_path / "rows") if row["error"] is None]
    same_rows(good, pq.read_table(tmp_path / "plain.parquet").to_pylist())


def test_more_than_the_cluster_has_is_refused(model_folder, small, tmp_path):
    command = [*arguments(model_folder, small, tmp_path / "rows"), "--gpus-per-actor", "8"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 2 and ran.stderr.startswith(
        "Error: An actor with 1 CPUs and 8 GPUs does not fit into this Ray"
    )
    assert ran.stderr.count("\n") == 1


def test_the_pipeline_of_the_docs_runs(model_folder, small, tmp_path):
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL) if "read_images" in block
    )
    code = code.replace('"photos/"', repr(str(small))).replace('"rows/"', repr(str(tmp_path / "rows")))
    code = code.replace("Options(k=0.25)", "Options(k=0.25, device='cpu', workers=1)")
    code = code.replace('"lookwhere-tiny-in1k"', repr(str(model_folder)))
    start = f"import ray\nray.init({QUIET})\n"
    (tmp_path / "pipeline.py").write_text(f"{start}\n{code}")
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    ran = subprocess.run(
        [sys.executable, tmp_path / "pipeline.py"], capture_output=True, text=True, env=environment, timeout=900
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    rows = pq.read_table(tmp_path / "rows").to_pylist()
    assert len({row["path"] for row in rows}) == PICTURES and all(row["labels"] for row in rows)


def test_the_cluster_of_the_examples_is_valid():
    import yaml
    from ray.autoscaler._private.util import prepare_config, validate_config

    file = Path(__file__).parents[2] / "examples" / "scale" / "cluster.yaml"
    validate_config(prepare_config(yaml.safe_load(file.read_text())))
