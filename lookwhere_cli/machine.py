"""What this process may use of the machine: CPUs and memory, with the limits of its control groups counted."""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use, at least 1.

    That is the size of its CPU affinity, and at most its control group's CPU quota, rounded up.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([affinity, *_cpu_quotas()])))


def available_memory() -> int:
    """Return the bytes of memory that this process can still take without swapping.

    That is what the system has available, and at most what the memory limit of its control groups leaves.
    """
    import psutil  # deferred: 30 ms, which a short command should not pay

    return int(max(0, min([psutil.virtual_memory().available, *_memory_under_limits()])))


class _MemoryFiles(NamedTuple):
    """Names of a control group's files, and of the cached file pages in its statistics."""

    limit: str
    usage: str
    file_pages: str


_MEMORY_V1 = _MemoryFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_MEMORY_V2 = _MemoryFiles("memory.max", "memory.current", "inactive_file")


def _cpu_quotas() -> Iterator[float]:
    """Yield the CPU quota, in CPUs, of each control group that has one."""
    for group in _groups(""):
        yield from _ratio(*_text(group / "cpu.max").partition(" ")[::2])
    for group in _groups("cpu"):
        yield from _ratio(_text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us"))


def _memory_under_limits() -> Iterator[int]:
    """Yield the bytes that each control group's limit leaves. Inactive file pages count as free: the kernel drops them.

    A group without a limit has the word "max" (version 2) or a number beyond any machine's memory (version 1).
    """
    for controller, files in (("", _MEMORY_V2), ("memory", _MEMORY_V1)):
        for group in _groups(controller):
            limit, usage = _number(_text(group / files.limit)), _number(_text(group / files.usage))
            if limit is not None and usage is not None:
                yield limit - usage + _statistic(_text(group / "memory.stat"), files.file_pages)


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group for a controller ("": version 2), then those of its parents.

    Inside a container the group's path may be that of the host. The folders that exist here then begin further up.
    """
    for line in _text(_MEMBERSHIP).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            root = _CGROUPS / controller
            group = root / path.lstrip("/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(root) and folder.is_dir())


def _text(file: Path) -> str:
    """Return a file's text without white space around it; "" if it can't be read."""
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text().strip()
    return ""


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _ratio(quota: str, period: str) -> Iterator[float]:
    """Yield quota / period if both are positive numbers: no limit is "max" (version 2) or -1 (version 1)."""
    if (above := _number(quota)) and (below := _number(period)):
        yield above / below


def _statistic(statistics: str, name: str) -> int:
    pairs = (line.split() for line in statistics.splitlines())
    return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == name), 0)


def temporary_folder() -> str:
    """Return where temporary files go; what TMPDIR says if there is no usable place."""
    try:
        return tempfile.gettempdir()
    except OSError:
        return os.environ.get("TMPDIR", "the folder for temporary files")
