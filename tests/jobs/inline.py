"""Jobs in this process: an engine without processes, and what a test asks of a job's folder."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet
from PIL import Image

from lookwhere_cli.jobs.job import Job
from lookwhere_cli.jobs.shards import ShardWorker
from lookwhere_cli.options import Options


class InlineEngine:
    """Does shards here. stop_after: raise KeyboardInterrupt after so many."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after, self.done = stop_after, []

    def run(self, shards, plan, tick):
        worker = ShardWorker(plan)
        for shard in shards:
            if len(self.done) == self.stop_after:
                raise KeyboardInterrupt
            worker(shard)
            self.done.append(shard)
            tick()


def job_of(model, folder, *inputs, command="classify", **fields) -> Job:
    fields.setdefault("options", Options(device="cpu", workers=1))
    return Job(command, str(model), folder=str(folder), inputs=tuple(map(str, inputs)), **fields)


def rows_in(folder) -> list[dict]:
    """The rows of all shards, in order."""
    parts = sorted(Path(folder).glob("part-*.parquet"))
    return [row for part in parts for row in pyarrow.parquet.read_table(part).to_pylist()]


def small_pictures(folder: Path, count: int) -> Path:
    """Make so many small pictures of one colour each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (24, 24), (number % 256, 40, 90)).save(folder / f"{number}.png")
    return folder


def messages(error: str) -> list[str]:
    """What a command said, without the line of every minute, which comes where the machine is slow."""
    return [line for line in error.splitlines() if not re.match(r"[\d,]+ of [\d,]+ pictures done", line)]


def same_rows(rows, others):
    """Assert that rows say the same: all but times equal; probabilities, scores and sides of boxes nearly."""
    assert [row["path"] for row in rows] == [row["path"] for row in others]
    for row, other in zip(rows, others, strict=True):
        for name in row.keys() - {"seconds", "labels", "mask", "boxes"}:
            assert row[name] == other[name], (row["path"], name)
        for label, same in zip(row["labels"] or [], other["labels"] or [], strict=True):
            assert label["label"] == same["label"] and abs(label["probability"] - same["probability"]) < 1e-4
        for box, same in zip(row["boxes"] or [], other["boxes"] or [], strict=True):
            assert box["label"] == same["label"] and abs(box["score"] - same["score"]) < 1e-4
            assert all(abs(side - its) < 0.02 for side, its in zip(box["box"], same["box"], strict=True))
