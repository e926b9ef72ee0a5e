"""Pillow's blocks of memory, large enough that the system gets them back."""

import os
from functools import cache

from PIL import _imaging

_BLOCK_BYTES = 1 << 30
"""One block for almost any picture. glibc may keep freed blocks of up to 32 MiB in the heap of each thread.

With Pillow's 16 MiB, four threads that decoded pictures of 960 MB in turn held nearly three of them at their end.
"""


@cache
def enlarge_blocks() -> None:
    """Let Pillow decode into blocks that are returned when they are freed, unless PILLOW_BLOCK_SIZE chooses the size.

    A picture takes no more than its own size, whatever that of a block is.
    """
    if "PILLOW_BLOCK_SIZE" not in os.environ:
        _imaging.set_block_size(max(_BLOCK_BYTES, _imaging.get_block_size()))
