"""The engine of a cluster: Ray Data hands shard numbers to actors, each with one predictor. Pixels never travel."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any

from lookwhere_cli.errors import LookWhereError, OutputError, UsageError
from lookwhere_cli.extras import require
from lookwhere_cli.jobs.engine import Tick
from lookwhere_cli.jobs.plan import ShardPlan
from lookwhere_cli.machine import usable_cpus

OBJECT_STORE = 128 << 20
"""Bytes of Ray's object store on a machine where we start Ray: only numbers of shards lie in it."""
TICK = 1.0
STARTS = 3
"""How often Ray is started on this machine, at most."""


@dataclass(frozen=True)
class RayEngine:
    """actors: how many; None: as many as the cluster's CPUs, or GPUs, allow. address: of a running cluster.

    cpus, gpus: of each actor. It computes with as many threads as it has CPUs.
    """

    actors: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None

    def run(self, shards: Sequence[int], plan: ShardPlan, tick: Tick) -> None:
        """Do all shards. Raises UsageError if Ray is missing or too small, LookWhereError if it can't be reached."""
        with hidden_output():
            ray = require("ray", "ray", "--engine ray")
            require("ray.data", "ray", "--engine ray")
            self._connect(ray)
            try:
                actors = min(self._actors(ray), len(shards))
                plan = replace(plan, threads=max(1, int(self.cpus)))
                _watched(lambda: self._pass(ray, shards, plan, actors), tick)
            finally:
                ray.shutdown()

    def _connect(self, ray: Any) -> None:
        """Reach the cluster, or start one on this machine."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        quiet = {"log_to_driver": False, "logging_level": "error"}
        try:
            if self.address or os.environ.get("RAY_ADDRESS"):
                ray.init(address=self.address, **quiet)
            else:
                cpus = max(usable_cpus(), int(self.cpus * (self.actors or 1)))
                _start(ray, num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
        except Exception as error:  # Ray raises it for a machine that is too slow, too
            what = f"Ray at {self.address} can't be reached" if self.address else "Ray can't be started"
            raise LookWhereError(f"{what}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error

    def _actors(self, ray: Any) -> int:
        """Return the number of actors. Raises UsageError if not even one fits; a cluster that grows is not asked."""
        if self.actors is not None and self.address:
            return self.actors
        has = ray.cluster_resources()
        fitting = [has.get(kind, 0.0) // each for kind, each in (("CPU", self.cpus), ("GPU", self.gpus)) if each]
        most = int(min(fitting, default=1.0))
        if most < 1:
            raise UsageError(
                f"An actor with {self.cpus:g} CPUs and {self.gpus:g} GPUs does not fit into this Ray cluster, which "
                f"has {has.get('CPU', 0.0):g} CPUs and {has.get('GPU', 0.0):g} GPUs; lower --cpus-per-actor or "
                "--gpus-per-actor."
            )
        return most if self.actors is None else self.actors

    def _pass(self, ray: Any, shards: Sequence[int], plan: ShardPlan, actors: int) -> None:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        with suppress(AttributeError):
            context.print_on_execution_start = False
        done = ray.data.from_items(list(shards), override_num_blocks=len(shards)).map_batches(
            _RayWorker,
            fn_constructor_args=(plan,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=self.cpus,
            num_gpus=self.gpus or None,
        )
        for batch in done.iter_batches(batch_size=1, prefetch_batches=0):
            failure = batch["failure"][0]
            if failure:
                raise pickle.loads(failure)  # made by our own worker


class _RayWorker:
    """An actor: it does shards. Failures are values: as exceptions they would come back in Ray's own ones."""

    def __init__(self, plan: ShardPlan) -> None:
        self._plan, self._failure, self._worker = plan, b"", None
        try:
            self._worker = _worker_of(plan)
        except LookWhereError as error:
            self._failure = pickle.dumps(error)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Do the shards of a batch."""
        if self._worker is not None:
            try:
                for shard in batch["item"]:
                    self._worker(int(shard))
            except LookWhereError as error:
                self._failure = pickle.dumps(error)
        return {"failure": [self._failure]}


def _worker_of(plan: ShardPlan) -> Any:
    """Make a worker that finds files as the driver does. Raises UsageError where it can't."""
    try:
        os.chdir(plan.base)
    except OSError:
        if plan.is_relative:
            raise UsageError(
                f"The folder {plan.base!r}, from which paths of this job start, is not on a node of the cluster; give "
                "absolute paths on a disk that all nodes share, or addresses of a remote store."
            ) from None
    import torch

    torch.set_num_threads(plan.threads)
    from lookwhere_cli.jobs.shards import ShardWorker

    return ShardWorker(plan)


def _start(ray: Any, **options: Any) -> None:
    """Start Ray on this machine, again if a busy machine took longer than the half minute that Ray waits."""
    for attempt in range(1, STARTS + 1):
        try:
            ray.init(**options)
            return
        except Exception as error:
            if attempt == STARTS or "timed out" not in str(error):
                raise
            ray.shutdown()


@contextmanager
def hidden_output() -> Iterator[None]:
    """Hide what Ray prints, from C++ too, within the block; it is in Ray's own log files. Not with --debug.

    Whoever wants to be heard meanwhile writes to a copy of the descriptor that was made before.
    """
    if "--debug" in sys.argv:
        yield
        return
    streams, copies = (sys.stdout, sys.stderr), {number: os.dup(number) for number in (1, 2)}
    nowhere = open(os.devnull, "w")  # noqa: PTH123, SIM115 - it stays open: Ray's loggers keep it until the end
    try:
        for number in copies:
            os.dup2(nowhere.fileno(), number)
        sys.stdout = sys.stderr = nowhere
        yield
    finally:
        sys.stdout, sys.stderr = streams
        for number, copy in copies.items():
            os.dup2(copy, number)
            os.close(copy)


def _watched(work: Any, tick: Tick) -> None:
    """Run the work in a thread, and tick meanwhile. Raises what the work raises."""
    failures: list[BaseException] = []

    def run() -> None:
        """Do the work, and keep what it raises for the thread that waits."""
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(TICK)
        tick()
    if failures:
        raise _as_ours(failures[0])


def _as_ours(error: BaseException) -> BaseException:
    """Return an error of Ray's as a sentence; ours as it is."""
    if isinstance(error, LookWhereError | KeyboardInterrupt):
        return error
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return OutputError(f"Ray ended the job: {lines[-1].strip()}; the same command goes on from here.")
