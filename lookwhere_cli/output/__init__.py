"""Rows and their writers, arrays of features, masks, and atomic files."""

from typing import Any


def arrow_schema() -> Any:
    """Return pyarrow's schema of rows: what `classify --format parquet` and the shards of a job have.

    Raises UsageError, which says what to install, if pyarrow is missing.
    """
    from lookwhere_cli.extras import require
    from lookwhere_cli.output.parquet import row_schema, row_types

    arrow = require("pyarrow", "parquet", "The schema of rows")
    return row_schema(arrow, row_types(arrow))
