"""Run as a module: a command of `lookwhere`, then the most memory that its process has held, in MiB.

    python -m lookwhere_cli.bench.command classify photo.jpg ...

The number is the last line of stderr.
"""

from __future__ import annotations

import sys
from runpy import run_module

from lookwhere_cli.bench.peak import peak_memory


def main() -> None:
    """Run the command, and print the number."""
    try:
        run_module("lookwhere_cli", run_name="__main__")
    finally:
        print(f"{peak_memory():.1f}", file=sys.stderr)


if __name__ == "__main__":
    main()
