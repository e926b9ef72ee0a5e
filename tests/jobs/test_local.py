"""The engine of this machine: how it divides CPUs and GPUs, and when it gives up."""

import pytest

from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.jobs import local
from lookwhere_cli.jobs.local import LocalEngine, default_processes, visible_gpus
from lookwhere_cli.jobs.plan import ShardPlan
from lookwhere_cli.options import Options

GIB = 1 << 30


@pytest.fixture
def machine(monkeypatch):
    """A machine with 16 CPUs, 64 GiB and no GPU."""
    monkeypatch.setattr(local, "usable_cpus", lambda: 16)
    monkeypatch.setattr(local, "available_memory", lambda: 64 * GIB)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return monkeypatch


def test_there_is_a_process_for_each_cpu_as_far_as_memory_goes(machine):
    assert default_processes(0, "auto") == 16
    machine.setattr(local, "available_memory", lambda: 7 * GIB)
    assert default_processes(0, "cpu") == 3
    machine.setattr(local, "available_memory", lambda: 1 * GIB)
    assert default_processes(0, "auto") == 1
    assert default_processes(0, "mps") == 1, "processes would share the device"


def test_cpus_are_divided(machine):
    assert [one.threads for one in LocalEngine(3, "cpu")._assignments] == [5, 5, 5]
    assert [one.threads for one in LocalEngine(32, "cpu")._assignments] == [1] * 32
    assert [one.threads for one in LocalEngine(2, "cpu", threads=1)._assignments] == [1, 1]


def test_each_process_sees_a_gpu_of_its_own(machine):
    machine.setenv("CUDA_VISIBLE_DEVICES", "2,5, GPU-abc")
    assert visible_gpus() == ["2", "5", "GPU-abc"]
    engine = LocalEngine(None, "auto")
    assert engine.processes == 3 and [one.gpu for one in engine._assignments] == ["2", "5", "GPU-abc"]
    assert [one.gpu for one in LocalEngine(4, "cuda")._assignments] == ["2", "5", "GPU-abc", "2"]
    assert [one.gpu for one in LocalEngine(2, "cpu")._assignments] == [None, None]
    assert [one.gpu for one in LocalEngine(2, "cuda:5")._assignments] == [None, None], "the device was chosen by hand"
    machine.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert visible_gpus() == []


def test_memory_for_pictures_is_divided(machine, tmp_path):
    plans = []
    machine.setattr(local, "_Pool", lambda assignments, plan, tick: plans.append((assignments, plan)) or Nothing())
    machine.setattr(local, "available_memory", lambda: 4 * GIB)
    plan = ShardPlan("classify", "m", Options(), str(tmp_path), "list", "s")
    LocalEngine(4, "cpu").run([0, 1], plan, lambda: None)
    (assignments, given) = plans[0]
    assert len(assignments) == 2, "no more processes than shards"
    assert given.options.memory == GIB // 4


class Nothing:
    def run(self, shards):
        pass


class Mortal:
    """Stands for a process that dies at once."""

    exitcode = -9

    def join(self):
        pass

    kill = join


class Silent:
    def recv(self):
        raise EOFError

    def close(self):
        pass


def test_deaths_without_end_end_the_job(tmp_path):
    pool = local._Pool(
        [local.Assignment(1)], ShardPlan("classify", "m", Options(), str(tmp_path), "l", "s"), lambda: None
    )
    pool._start = lambda assignment: pool._processes.append(local._Process(Mortal(), Silent(), assignment, shard=3))
    pool._ready = lambda: list(pool._processes)
    with pytest.raises(
        LookWhereError, match=r"11 processes died in a row, the last one with signal 9; see whether memory"
    ):
        pool.run([3])
