"""LookWhere: the selector scores the cells, the extractor reads the best of them.

"LookWhere? Efficient Visual Recognition by Learning Where to Look and What to See from Self-Supervision",
Fuller et al., NeurIPS 2025, arXiv 2505.18051.
"""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from lookwhere_cli.models.cascade.second_look import SecondLook
from lookwhere_cli.models.chosen import Chosen, Grid, Selection
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.decoder import decoder_of
from lookwhere_cli.models.detector import Detector
from lookwhere_cli.models.extractor import Extracted, Extractor
from lookwhere_cli.models.layers import Linear
from lookwhere_cli.models.pruning.schedule import pruning_of
from lookwhere_cli.models.selector import Selector, selector_of
from lookwhere_cli.models.vit import CLS


class LookWhere(nn.Module):
    """Selector, extractor and, for models with labels, a head: linear on what is pooled, or a dense decoder.

    second_look: for models whose further looks add to earlier ones; None for all others.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.selector = cast(Selector, selector_of(config))
        self.extractor = Extractor(config)
        self.second_look = SecondLook(config) if config.second_look == "add" else None
        if config.task == "segment":
            self.decoder = decoder_of(config)
        elif config.has_boxes:
            self.detector = Detector(config)
        else:
            self.head = Linear(config.dim, len(config.labels)) if config.labels else nn.Identity()

    def set_pruning(self, config: Config, tokens: int) -> None:
        """Drop as many tokens as another config says, from now on.

        config: this model's with another `prune`. Raises ValueError if its schedule is impossible with `tokens` tokens.
        """
        pruning = pruning_of(config)
        assert self.extractor.cropr is not None and pruning is not None
        self.extractor.cropr.set_schedule(pruning, tokens)
        self.config = config

    def select(self, thumbnails: Float[Tensor, "batch 3 height width"], grid: Grid) -> Selection[Tensor]:
        """Score the cells of `grid` from normalised thumbnails in whole patches."""
        return self.selector(thumbnails, grid)

    def extract(self, chosen: Chosen[Tensor]) -> Float[Tensor, "batch dim"]:
        """Return the head's input: CLS or, with `pool: max`, the maximum of each channel over the cells.

        `chosen.patches` are normalised and may come in any order.
        """
        if self.config.pool == "max":
            return self.extract_dense(chosen).tokens.amax(dim=1)
        return self.extractor(chosen, CLS).tokens[:, 0]

    def extract_dense(self, chosen: Chosen[Tensor]) -> Extracted:
        """Return a token for each chosen cell, in the order of `chosen.cells`, and these cells.

        A model that prunes without fusion returns only the cells that it has not dropped. Raises ValueError if such a
        model also reads coarse patches.
        """
        first = self.config.prefix_tokens
        return self.extractor(chosen, slice(first, first + chosen.cells.shape[1]))

    def answer(self, chosen: Chosen[Tensor]) -> Float[Tensor, "batch first *others"]:
        """Return the output of the model's head: logits, scores on a finer grid for a segmentation model, or
        candidates (batch, points, numbers) for a detection model.
        """
        if self.config.has_boxes:
            return self.detect(chosen)
        return self.segment(chosen) if self.config.task == "segment" else self.logits(self.extract(chosen))

    def logits(self, cls: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Return class scores before softmax or, for a multi-label model, before sigmoid."""
        return self.head(cls)

    def detect(self, chosen: Chosen[Tensor]) -> Float[Tensor, "batch candidates numbers"]:
        """Return the candidates at the cells that were read and that pruning leaves; for detection models."""
        tokens, cells = self.extract_dense(chosen)
        return self.detector(tokens, cells, chosen.grid)

    def segment(self, chosen: Chosen[Tensor]) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Return class scores before softmax, `decoder_scale` times finer than the grid; for segmentation models.

        Cells that were not read take their scores from the coarse patches or, without these, from the nearest cells.
        """
        tokens, cells = self.extractor(chosen, slice(self.config.prefix_tokens, None))
        # Patches are those of all chosen cells. Only a decoder of a model that drops none looks at them.
        return self.decoder(tokens, chosen._replace(cells=cells))
