"""What a labelled set holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lookwhere_cli.text import printable, shared_name, shared_sentence

Kind = Literal["single", "multi", "masks"]
"""What is known of each picture: one label, any number of labels, or a mask of class indices."""
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, Split] = ("train", "val")
"""The splits that a training uses; pictures for test are only measured."""


@dataclass(frozen=True)
class Example:
    """A picture and what is known of it."""

    path: str
    """The picture's file."""
    classes: tuple[int, ...] = ()
    """Class indices, rising: one for the kind "single", any number for "multi", none for "masks"."""
    mask: str | None = None
    """The file of its index mask; only for the kind "masks"."""
    split: Split | None = None
    """As the data say; None if they don't, until `split_examples` assigns one."""
    group: str | None = None
    """Examples of one group always go to the same split."""


@dataclass(frozen=True)
class LabelledSet:
    """Pictures with labels or masks.

    Attributes:
        kind: what is known of each picture.
        classes: the classes' names; a class's index is its place here.
        examples: sorted by path in natural order (2 before 10).
        root: the folder that names in a split file are relative to.
        notes: sentences about what was left out.
    """

    kind: Kind
    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    root: Path
    notes: tuple[str, ...] = ()

    def of(self, split: Split) -> tuple[Example, ...]:
        """Return the examples of one split."""
        return tuple(example for example in self.examples if example.split == split)

    def name(self, example: Example) -> str:
        """Return the name of the example's picture; see `name_of_file`."""
        return self.name_of_file(example.path)

    def name_of_file(self, file: str) -> str:
        r"""Return a file's path relative to `root`, with forward slashes; bytes that are not UTF-8 as `\udcff`."""
        return printable(Path(os.path.relpath(file, self.root)).as_posix())

    @property
    def shared_root(self) -> str:
        """The root for what people share: as given or, of an absolute path, its name."""
        return shared_name(str(self.root))

    def shared_sentence(self, sentence: str) -> str:
        """Return a sentence about a file for what people share: with its path relative to an absolute root."""
        root = os.path.join(self.root, "")  # noqa: PTH118 - with a separator at its end
        return shared_sentence(sentence.replace(root, "") if self.root.is_absolute() else sentence)
