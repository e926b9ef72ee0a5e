"""The engine of this machine: processes, each with one predictor and its share of the CPUs, or a GPU of its own."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.jobs.engine import Tick
from lookwhere_cli.jobs.folder import open_folder
from lookwhere_cli.jobs.journal import Journal
from lookwhere_cli.jobs.plan import ShardPlan
from lookwhere_cli.machine import available_memory, usable_cpus

DEATHS = 10
"""Deaths of workers without a picture between them, after which something else is thought to be wrong."""
PICTURE = "picture"
"""What a process sends for each picture that it does alone, after another process died over the shard."""
TICK = 1.0
PROCESS_MEMORY = 2 << 30
"""Bytes that a process is thought to need, when their number is not given."""
PICTURES_MEMORY = 512 << 20
LEAST_MEMORY = 64 << 20


class Assignment(NamedTuple):
    """What one process is given of the machine. gpu: the name of its GPU, as CUDA_VISIBLE_DEVICES writes it."""

    threads: int
    gpu: str | None = None


@dataclass
class _Process:
    process: BaseProcess
    connection: Connection
    assignment: Assignment
    shard: int | None = None


class LocalEngine:
    """processes: how many; None: one for each GPU or, without one, for each CPU, as far as memory goes.

    threads: of each; None: its share of the CPUs.
    """

    def __init__(self, processes: int | None, device: str, threads: int | None = None) -> None:
        gpus = visible_gpus() if device in ("auto", "cuda") else []
        self.processes = processes or default_processes(len(gpus), device)
        threads = threads or max(1, usable_cpus() // self.processes)
        places: Sequence[str | None] = gpus or [None]
        self._assignments = [Assignment(threads, places[number % len(places)]) for number in range(self.processes)]

    def run(self, shards: Sequence[int], plan: ShardPlan, tick: Tick) -> None:
        """Do all shards."""
        memory = plan.options.memory or max(LEAST_MEMORY, min(PICTURES_MEMORY, _quarter() // self.processes))
        plan = replace(plan, options=replace(plan.options, memory=memory))
        _Pool(self._assignments[: len(shards)], plan, tick).run(shards)


class _Pool:
    """The processes of one run."""

    def __init__(self, assignments: Sequence[Assignment], plan: ShardPlan, tick: Tick) -> None:
        self._assignments, self._plan, self._tick = assignments, plan, tick
        self._context: Any = get_context("spawn")
        self._processes: list[_Process] = []
        self._waiting: deque[int] = deque()
        self._deaths = 0

    def run(self, shards: Sequence[int]) -> None:
        """Do all shards; whatever ends this early ends the processes too."""
        self._waiting.extend(shards)
        try:
            for assignment in self._assignments:
                self._start(assignment)
            while self._processes:
                for process in self._ready():
                    self._answer(process)
                self._tick()
        finally:
            self._stop()

    def _start(self, assignment: Assignment) -> None:
        ours, theirs = self._context.Pipe()
        arguments = (theirs, replace(self._plan, threads=assignment.threads), assignment.gpu)
        process = self._context.Process(target=work, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._processes.append(_Process(process, ours, assignment))

    def _ready(self) -> list[_Process]:
        """Wait a moment for answers and deaths. A connection whose process died is ready too."""
        by_connection = {process.connection: process for process in self._processes}
        return [by_connection[ready] for ready in wait(list(by_connection), TICK)]  # type: ignore[index]

    def _answer(self, process: _Process) -> None:
        """Hear that a process is ready for a shard, has failed, or is gone."""
        try:
            message = process.connection.recv()
        except (EOFError, OSError):
            self._replace(process)
            return
        if isinstance(message, BaseException):
            process.shard = None
            raise message
        if process.shard is not None:
            self._deaths = 0
        if message == PICTURE:
            return
        process.shard = self._waiting.popleft() if self._waiting else None
        with suppress(OSError):  # it died at once: its connection says so
            process.connection.send(process.shard)
        if process.shard is None:
            self._remove(process)

    def _replace(self, process: _Process) -> None:
        """Start another process for one that died; its shard is done again."""
        self._remove(process)
        self._deaths += 1
        if self._deaths > DEATHS:
            raise LookWhereError(
                f"{self._deaths} processes died in a row, the last one with {_ending(process.process)}; see whether "
                "memory is short (fewer --processes need less). The same command goes on from here."
            )
        if process.shard is not None:
            self._waiting.appendleft(process.shard)
        if self._waiting:
            self._start(process.assignment)

    def _remove(self, process: _Process) -> None:
        self._processes.remove(process)
        process.process.join()
        process.connection.close()

    def _stop(self) -> None:
        """End what still runs. Its shards were not finished, but nobody died over them."""
        for process in self._processes:
            process.process.kill()
        for process in self._processes:
            process.process.join()
            if process.shard is not None:
                with suppress(LookWhereError, OSError):
                    Journal(open_folder(self._plan.folder), process.shard, self._plan.session).forget_attempt()


def work(connection: Connection, plan: ShardPlan, gpu: str | None) -> None:
    """Be a process of the pool: do the shards that come until None does; send what goes wrong."""
    for number in (signal.SIGINT, signal.SIGHUP) if hasattr(signal, "SIGHUP") else (signal.SIGINT,):
        signal.signal(number, signal.SIG_IGN)  # of a terminal; whoever started this process decides
    _limit_threads(plan.threads, gpu)
    try:
        from lookwhere_cli.jobs.shards import ShardWorker

        worker = ShardWorker(plan, lambda: connection.send(PICTURE))
        _end_with_parent(worker)
        connection.send("ready")
        while (shard := connection.recv()) is not None:
            worker(shard)
            connection.send(shard)
    except LookWhereError as error:
        connection.send(error)
    except (EOFError, BrokenPipeError):  # whoever started this process is gone
        return
    except Exception as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        connection.send(
            LookWhereError(f"A worker failed: unexpected {type(error).__name__}: {error}; --debug shows the traceback.")
        )


def _limit_threads(threads: int, gpu: str | None) -> None:
    """Keep to this process's share of the machine; before torch is imported, which reads these."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    import torch

    torch.set_num_threads(threads)


def _end_with_parent(worker: Any) -> None:
    """End this process once the one that started it is gone: another run may begin the same shard."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        """End this process when its parent ends; the shard that it works on counts as not attempted."""
        parent.join()
        journal = worker.current
        if journal is not None:
            with suppress(LookWhereError, OSError):
                journal.forget_attempt()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def default_processes(gpus: int, device: str) -> int:
    """Return one process for each GPU or, without one, for each CPU, as far as memory goes."""
    if gpus or device not in ("auto", "cpu"):
        return max(1, gpus)
    return max(1, min(usable_cpus(), available_memory() // PROCESS_MEMORY))


def visible_gpus() -> list[str]:
    """Return NVIDIA's GPUs that this process may use, without loading a library."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in (one.strip() for one in chosen.split(",")) if name and name != "-1"]
    devices = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return sorted((name for name in devices if name.isdecimal()), key=int)


def _quarter() -> int:
    return available_memory() // 4


def _ending(process: BaseProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        return f"signal {-code}"
    return f"exit code {code}"
