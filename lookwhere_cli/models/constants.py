"""Sizes that both the models and the counting of their multiply-adds need."""

NEAREST = 5
"""Chosen cells whose tokens are blended into the token of a cell."""
DECODER_KERNEL = 3
"""Cells across the decoder's convolution."""
DETAIL_KERNEL = 3
"""Pieces of a cell, across, whose pixels the decoder sees for the scores of the piece in the middle."""
REUSE_HIDDEN, REUSED_CHANNELS = 128, 48
"""DVT: hidden and output channels of the MLP on an earlier exit's features."""
RELATION_EXPANSION = 3
"""DVT: hidden channels of the MLP on an earlier exit's attention logits, as a multiple of its input channels."""
MAX_SPACING = 100.0
"""Largest `Config.map_spacing`. No map has such differences; beside much larger numbers float32 would lose the map."""
