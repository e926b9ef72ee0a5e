"""Other processes, each measured from its beginning."""

from __future__ import annotations

import subprocess

from lookwhere_cli.errors import LookWhereError


def run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run to the end, with nothing on a terminal. Raises LookWhereError where the command fails."""
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise LookWhereError(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr.strip()}")
    return ended
