"""Where a model runs and in what numbers, by name."""

from collections.abc import Iterable

import torch

from lookwhere_cli.errors import UsageError
from lookwhere_cli.text import near_names

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_named(name: str) -> torch.device:
    """The device: "auto" (an accelerator where there is one, else the CPU), "cpu", "cuda", "cuda:1", "mps", ...

    Raises UsageError for one that does not exist here.
    """
    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as failure:
        raise _unknown("device", name, ["auto", *_devices()]) from failure
    if str(device) not in _devices():
        raise _unknown("device", name, ["auto", *_devices()])
    return device


def dtype_named(name: str) -> torch.dtype:
    """The dtype of weights and activations. Raises UsageError for a name that is not among `DTYPES`."""
    if name not in DTYPES:
        raise _unknown("dtype", name, DTYPES)
    return DTYPES[name]


def _devices() -> list[str]:
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ["cpu"]
    kind = accelerator.type
    return ["cpu", kind, *(f"{kind}:{index}" for index in range(torch.accelerator.device_count()))]


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    near = near_names(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else "choose one of these:"
    return UsageError(f"There is no {what} {name!r} here; {hint} ({', '.join(known)})")
