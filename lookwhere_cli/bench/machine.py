"""The machine that figures were taken on."""

from __future__ import annotations

import platform
from pathlib import Path

from lookwhere_cli.machine import usable_cpus

_CPU_INFO = Path("/proc/cpuinfo")


def describe(device: str) -> dict[str, str | int]:
    """Processor, cores that we may use, versions, threads and device, under names that read well in a table."""
    import torch

    return {
        "processor": _processor(),
        "cores": usable_cpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": _device(device),
    }


def _processor() -> str:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _device(name: str) -> str:
    import torch

    from lookwhere_cli.checkpoints.placement import device_named

    device = device_named(name)
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
