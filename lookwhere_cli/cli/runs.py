"""What the commands that train share: where they run, in which precision, into which folder."""

from pathlib import Path

from lookwhere_cli.checkpoints.layout import WEIGHTS
from lookwhere_cli.errors import UsageError


def placed(device: str) -> str:
    """The kind of device; which of several, accelerate decides."""
    from lookwhere_cli.checkpoints.placement import device_named

    return device_named(device).type


def precision(dtype: str, device: str) -> str:
    """accelerate's name of a dtype; `auto` is bfloat16 where the device computes faster in it."""
    import torch

    if dtype == "auto":
        on_gpu = device == "cuda"
        pays = torch.cuda.is_bf16_supported() if on_gpu else bool(torch.cpu.get_capabilities().get("avx512_bf16"))
        dtype = "bfloat16" if pays else "float32"
    return "bf16" if dtype == "bfloat16" else "no"


def shares(area: tuple[float, float]) -> tuple[float, float]:
    """A range of shares as given. Raises UsageError for one that is none."""
    if not 0 < area[0] <= area[1] <= 1:
        raise UsageError(f"--area {area[0]:g} {area[1]:g} is no range of shares; write, for instance, 0.3 1.")
    return area


def unfinished(out: Path) -> None:
    """Raise UsageError, before any work is done, for an output folder with a model that a run would overwrite."""
    from lookwhere_cli.training import checkpoint

    if (out / WEIGHTS).exists() and not (out / checkpoint.FILE).exists():
        raise UsageError(f"--out {out} holds a finished model and no checkpoint to take up; choose another folder.")


def made(out: Path) -> Path:
    """The output folder. Raises UsageError where it can't be made, or as `unfinished` does."""
    unfinished(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} can't be made ({error.strerror}); choose another place.") from None
    return out
