"""A worker of a job: it holds one predictor and does shard after shard, each to a file of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.images.view import Picture
from lookwhere_cli.jobs.entries import Entry, read_shard
from lookwhere_cli.jobs.folder import open_folder
from lookwhere_cli.jobs.journal import Journal
from lookwhere_cli.jobs.names import part_name
from lookwhere_cli.jobs.parts import PartSummary, PartWriter, decoded, encoded, summary_of
from lookwhere_cli.jobs.plan import ShardPlan
from lookwhere_cli.jobs.reports import Reporter
from lookwhere_cli.jobs.sources import Pictures
from lookwhere_cli.jobs.work import WORKS, Record
from lookwhere_cli.loading import load
from lookwhere_cli.options import Options
from lookwhere_cli.output.rows import Row

REMOTE_READERS = 16
"""Threads that open pictures of a remote store, at least: they wait most of the time."""


class ShardWorker:
    """Does shards. Raises what `load` and the command's work raise.

    survived: called after each picture that is done alone, because a process died over its shard.
    current: the shard that is being done, for whoever ends the process.
    """

    def __init__(self, plan: ShardPlan, survived: Callable[[], None] = lambda: None) -> None:
        started = time.monotonic()
        self._plan, self._folder, self._survived = plan, open_folder(plan.folder), survived
        predictor = load(plan.model, options_for_one(plan.options, plan.threads))
        self._work = WORKS[plan.command](predictor, plan)
        self._predictor = predictor
        self._schema = self._work.schema()
        self._reporter = Reporter(self._folder, plan.session, plan.slice_name, time.monotonic() - started)
        self.current: Journal | None = None

    def __call__(self, shard: int) -> PartSummary:
        """Do a shard, unless its file is there.

        Raises OutputError if the file can't be written, StoreError if a remote store fails; the shard is done again by
        the next run then.
        """
        name = part_name(shard)
        if self._folder.exists(name):
            return summary_of(self._folder, name)
        with self._folder.open(self._plan.listing) as stream:
            entries = read_shard(stream, shard)
        journal = self.current = Journal(self._folder, shard, self._plan.session)
        self._reporter.begin(shard)
        try:
            summary = self._write(name, entries, journal)
        except BaseException:
            self._forget(journal)
            raise
        journal.close()
        self.current = None
        self._reporter.finish()
        return summary

    def _write(self, name: str, entries: Sequence[Entry], journal: Journal) -> PartSummary:
        records = self._one_by_one(entries, journal) if journal.begin() else self._together(entries)
        rows = failed = 0
        with self._folder.new_file(name) as stream:
            writer = PartWriter(stream, self._schema, f"{self._plan.folder}/{name}")
            for record in records:
                writer.add(record)
                rows, failed = rows + 1, failed + (record.get("error") is not None)
                self._reporter.count(record.get("error") is not None)
            writer.close()
        return PartSummary(rows, failed)

    def _together(self, entries: Sequence[Entry]) -> Iterator[dict[str, Any]]:
        for record in self._records(entries):
            yield record.to_dict()

    def _one_by_one(self, entries: Sequence[Entry], journal: Journal) -> Iterator[dict[str, Any]]:
        """Yield the records of pictures that are done alone, each kept before the next one is begun."""
        for number, entry in enumerate(entries):
            kept = journal.row(number)
            if kept is None:
                record = self._alone(entry) if journal.begin_picture(number) else _deadly(entry)
                kept = encoded(record.to_dict(), self._schema)
                journal.keep_row(number, kept)
            yield from ({key: value for key, value in one.items() if value is not None} for one in decoded(kept))

    def _alone(self, entry: Entry) -> Record:
        (record,) = self._records([entry])
        self._survived()
        return record

    def _records(self, entries: Sequence[Entry]) -> Iterator[Record]:
        """Yield the record of each picture. Raises StoreError if pictures could not be fetched."""
        pictures = Pictures()
        self._read_widely(entries)
        for record in self._work.records(entries, _opened(entries, pictures)):
            if pictures.failure is not None:
                raise pictures.failure
            yield record

    def _read_widely(self, entries: Sequence[Entry]) -> None:
        """Give remote pictures more threads, unless the user set their number."""
        if self._plan.options.workers is None and any(entry.file and "://" in entry.file for entry in entries):
            pipeline = self._predictor.pipeline
            options = replace(pipeline.options, workers=max(REMOTE_READERS, pipeline.options.workers))
            self._predictor.pipeline = replace(pipeline, options=options)

    def _forget(self, journal: Journal) -> None:
        try:
            journal.forget_attempt()
        except (LookWhereError, OSError):  # the place is full or away, which is the failure already
            return


def options_for_one(options: Options, threads: int) -> Options:
    """Return the options of one worker of several: it reads with as many threads as it computes with."""
    return options if options.workers else replace(options, workers=threads)


def _opened(entries: Iterable[Entry], pictures: Pictures) -> Iterator[Picture]:
    return (pictures.picture(entry) for entry in entries)


def _deadly(entry: Entry) -> Record:
    return Record(
        Row(
            entry.path,
            error=f"{entry.path!r} can't be read: the process that read it died, twice; leave it out, or try it alone.",
        )
    )
