"""The size of a model."""

import torch

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere


def stored_bytes(config: Config) -> int:
    """Return the bytes of all tensors of a config's model, in float32."""
    with torch.device("meta"):
        return sum(4 * tensor.numel() for tensor in LookWhere(config).state_dict().values())
