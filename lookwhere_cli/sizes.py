"""Sizes in pixels that users choose."""

from lookwhere_cli.errors import UsageError


def check_multiple_of_patch(what: str, size: int, patch: int) -> int:
    """Return `size` if it is a positive multiple of the model's patch, both in pixels.

    what: names the size in the message, such as "thumbnail". Raises UsageError, which offers the nearest multiples.
    """
    below = max(0, size // patch * patch)
    if size == below > 0:
        return size
    nearest = f"{below} or {below + patch}" if below else str(patch)
    raise UsageError(
        f"The {what} is {size} pixels, which is not a multiple of the model's patch of {patch} pixels; use {nearest}."
    )
