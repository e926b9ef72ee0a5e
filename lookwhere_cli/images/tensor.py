"""Tensors as arrays, without importing the library that made them."""

from typing import Any, Protocol, TypeGuard

from jaxtyping import Shaped
from numpy import ndarray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.names import in_message

_CHANNELS = (1, 3, 4)


class TorchTensor(Protocol):
    """What is used of a torch tensor."""

    dtype: Any
    shape: tuple[int, ...]

    def detach(self) -> Any:
        """Return the values without their history."""


def is_tensor(value: object) -> TypeGuard[TorchTensor]:
    """Return True for a torch tensor, on any device."""
    return type(value).__module__ != "numpy" and all(
        hasattr(value, name) for name in ("detach", "cpu", "dtype", "ndim")
    )


def array_of(tensor: TorchTensor, name: str) -> Shaped[ndarray, "..."]:
    """Return a tensor of one picture as an array whose channels, if there are any, come last.

    Raises PictureError, naming the picture, if its shape allows channels first and last, or it is sparse or on "meta".
    """
    try:
        values = tensor.detach().cpu()
        if str(values.dtype).endswith("bfloat16"):  # which NumPy does not have
            values = values.float()
        array: ndarray = values.numpy()
    except (TypeError, NotImplementedError, RuntimeError) as error:
        raise PictureError(
            f"{in_message(name)} is a tensor whose values can't be read ({str(error).splitlines()[0]}); give a dense "
            "one that holds data."
        ) from error
    if array.ndim != 3 or array.shape[0] not in _CHANNELS:
        return array
    if array.shape[2] in _CHANNELS:
        raise PictureError(
            f"{in_message(name)} is a tensor of shape {array.shape}, whose channels may come first or last; give it as "
            "a NumPy array of shape (height, width, channels)."
        )
    return array.transpose(1, 2, 0)
