"""LookWhere: the selector says which cells matter, the extractor says what is there.

"LookWhere? Efficient Visual Recognition by Learning Where to Look and What to See from Self-Supervision",
Fuller et al., NeurIPS 2025, arXiv 2505.18051.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from lookwhere_cli.models.blank import Linear
from lookwhere_cli.models.cascade.second_look import SecondLook
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.decoder import decoder_of
from lookwhere_cli.models.extractor import Coarse, Extracted, Extractor
from lookwhere_cli.models.selector import Selection, selector_of
from lookwhere_cli.models.vit import CLS


class LookWhere(nn.Module):
    """Selector, extractor and, for models with labels, a head: linear on what is pooled, or a dense decoder.

    `second_look` is for models that learnt to add to what they saw; see `looks`.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.selector = selector_of(config)
        self.extractor = Extractor(config)
        self.second_look = SecondLook(config) if config.second_look == "add" else None
        if config.task == "segment":
            self.decoder = decoder_of(config)
        else:
            self.head = Linear(config.dim, len(config.labels)) if config.labels else nn.Identity()

    def select(self, thumbnails: Float[Tensor, "batch 3 height width"], grid: Grid) -> Selection:
        """Where to look on `grid` (rows, columns), from normalised thumbnails in whole patches."""
        return self.selector(thumbnails, grid)

    def extract(
        self,
        patches: Float[Tensor, "batch k 3 patch patch"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        prefix_tokens: Float[Tensor, "batch prefix dim"],
        coarse: Coarse | None = None,
    ) -> Float[Tensor, "batch dim"]:
        """What the head sees: CLS or, with `pool: max`, each channel's maximum over the cells.

        From the patches of the chosen cells (row * columns + column), in any order; `coarse` adds all of the picture.
        """
        if self.config.pool == "max":
            return self.extract_dense(patches, cells, grid, prefix_tokens, coarse).tokens.amax(dim=1)
        return self.extractor(patches, cells, grid, prefix_tokens, CLS, coarse).tokens[:, 0]

    def extract_dense(
        self,
        patches: Float[Tensor, "batch k 3 patch patch"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        prefix_tokens: Float[Tensor, "batch prefix dim"],
        coarse: Coarse | None = None,
    ) -> Extracted:
        """A token for each chosen cell, in the order of `cells`, and these cells; `spread` takes them to all others.

        Where the model prunes without fusion, there are tokens of the cells that are left only. Raises ValueError where
        coarse patches were given to it, too.
        """
        first = self.config.prefix_tokens
        chosen = slice(first, first + cells.shape[1])
        return self.extractor(patches, cells, grid, prefix_tokens, chosen, coarse)

    def logits(self, cls: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch classes"]:
        """Scores of the classes, before softmax (or sigmoid, for a multi-label model)."""
        return self.head(cls)

    def segment(
        self,
        patches: Float[Tensor, "batch k 3 patch patch"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        prefix_tokens: Float[Tensor, "batch prefix dim"],
        coarse: Coarse | None = None,
    ) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Scores of the classes before softmax, decoder_scale times finer than `grid`, for a model that segments.

        Cells that were not read take what `coarse` shows of them or, without it, what their neighbours show.
        """
        read = slice(self.config.prefix_tokens, None)
        left = self.extractor(patches, cells, grid, prefix_tokens, read, coarse)
        return self.decoder(left.tokens, left.cells, grid, coarse and coarse.grid)
