"""All rows of a job in one file."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import require
from lookwhere_cli.jobs.folder import JobFolder
from lookwhere_cli.jobs.names import part_name
from lookwhere_cli.jobs.parquet import open_parquet, read_group
from lookwhere_cli.jobs.status import status_of
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.text import counted


def merge(folder: JobFolder, out: Path) -> int:
    """Copy the rows of all shards, in order, to one Parquet file; return how many they are.

    One row group is held at a time. Raises UsageError if shards are missing, or if the file can't be written.
    """
    status = status_of(folder)
    missing = status.manifest.shards - len(status.parts)
    if missing:
        shards = counted(status.manifest.shards, "shard")
        raise UsageError(
            f"{missing:,} of {shards} in {folder.name!r} {'is' if missing == 1 else 'are'} missing; repeat the job's "
            "command, which does them, then merge."
        )
    pq = require("pyarrow.parquet", "parquet", "lookwhere jobs merge")
    with folder.open(part_name(0)) as first:
        schema = open_parquet(first).schema_arrow
    with whole_file(out) as stream, writing(out), pq.ParquetWriter(stream, schema) as writer:
        for shard in range(status.manifest.shards):
            with folder.open(part_name(shard)) as part:
                parquet = open_parquet(part)
                for group in range(parquet.num_row_groups):
                    writer.write_table(read_group(parquet, group))
    return status.written
