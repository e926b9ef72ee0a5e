"""The machine that measurements were taken on."""

from __future__ import annotations

import platform
from pathlib import Path

from lookwhere_cli.machine import usable_cpus


def describe_machine(device: str) -> dict[str, str | int]:
    """Return processor, usable CPUs, versions, threads and device, under names for a table."""
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
    """Return the processor's name. Linux tells it only in a file that neither platform nor psutil reads."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _device(name: str) -> str:
    import torch

    from lookwhere_cli.checkpoints.placement import device_named

    device = device_named(name)
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
