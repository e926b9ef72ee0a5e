import os
import sys
from types import SimpleNamespace

import psutil
import pytest

from lookwhere_cli import machine
from lookwhere_cli.machine import available_memory, usable_cpus

GIB = 1 << 30
NO_LIMIT_V1 = "9223372036854771712"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A machine of 8 CPUs and 16 GiB; the function returned writes control group files, by path, and memberships."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=16 * GIB))

    def write(membership, contents):
        (tmp_path / "membership").write_text(membership)
        for name, content in contents.items():
            (tmp_path / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "cgroup" / name).write_text(f"{content}\n")

    return write


def test_without_control_groups_affinity_and_free_memory_count(files):
    assert (usable_cpus(), available_memory()) == (8, 16 * GIB)


def test_without_affinity_the_machines_cpus_count(files, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert usable_cpus() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cpus() == 1


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("5000000 100000", 8)],
)
def test_a_cpu_quota_is_rounded_up(files, quota, cpus):
    files("0::/", {"cpu.max": quota})
    assert usable_cpus() == cpus


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 8), ("0", 8), ("250000", 3)])
def test_a_cpu_quota_of_version_1(files, quota, cpus):
    files("4:cpu,cpuacct:/job", {"cpu/job/cpu.cfs_quota_us": quota, "cpu/job/cpu.cfs_period_us": "100000"})
    assert usable_cpus() == cpus


def test_the_tightest_limit_of_a_group_and_its_parents_counts(files):
    files(
        "0::/a/b",
        {"cpu.max": "max 100000", "a/cpu.max": "300000 100000", "a/b/cpu.max": "400000 100000"}
        | {"a/memory.max": 3 * GIB, "a/memory.current": GIB, "a/b/memory.max": "max", "a/b/memory.current": GIB},
    )
    assert (usable_cpus(), available_memory()) == (3, 2 * GIB)


def test_other_groups_do_not_count(files):
    files("0::/a", {"b/cpu.max": "100000 100000", "b/memory.max": GIB, "b/memory.current": 0})
    assert (usable_cpus(), available_memory()) == (8, 16 * GIB)


def test_inactive_file_pages_count_as_free(files):
    statistics = f"anon {GIB}\ninactive_file {GIB // 2}\nactive_file {GIB}"
    files("0::/", {"memory.max": 4 * GIB, "memory.current": 3 * GIB, "memory.stat": statistics})
    assert available_memory() == 1.5 * GIB


def test_a_memory_limit_of_version_1(files):
    files(
        "5:memory:/docker/0123",  # the host's path; in the container the group is the root
        {"memory/memory.limit_in_bytes": 2 * GIB, "memory/memory.usage_in_bytes": GIB}
        | {"memory/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB // 4}"},
    )
    assert available_memory() == 1.25 * GIB


def test_no_memory_limit_of_version_1(files):
    files("5:memory:/", {"memory/memory.limit_in_bytes": NO_LIMIT_V1, "memory/memory.usage_in_bytes": GIB})
    assert available_memory() == 16 * GIB


def test_memory_over_the_limit_leaves_nothing(files):
    files("0::/", {"memory.max": GIB, "memory.current": 2 * GIB})
    assert available_memory() == 0


def test_damaged_control_group_files_are_ignored(files):
    files(
        "nonsense\n0::/", {"cpu.max": "", "memory.max": "a lot", "memory.current": "1", "memory.stat": "inactive_file"}
    )
    assert (usable_cpus(), available_memory()) == (8, 16 * GIB)


@pytest.mark.skipif(sys.platform != "linux", reason="the real files are Linux's")
def test_the_real_machine():
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
    assert 0 < available_memory() <= psutil.virtual_memory().total
