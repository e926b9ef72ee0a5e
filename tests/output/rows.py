"""Rows to write: of a classified picture, a failed one, a segmented one, and others with rare fields."""

from dataclasses import replace

from lookwhere_cli.output.rows import Label, Row, Share

CLASSIFIED = Row(
    path="a b.jpg",
    width=640,
    height=480,
    model="tiny",
    revision="0123456789ab",
    k=2,
    grid=(12, 16),
    cells=((3, 4), (0, 15)),
    labels=(Label("tabby, cat", 281, 0.8712345678), Label("dog", 3, 0.1)),
    macs=600,
    macs_full=1200,
    seconds=0.0123456789,
)
SEGMENTED = replace(
    CLASSIFIED,
    path="c.jpg",
    labels=(),
    shares=(Share("road", 3, 0.75), Share("sky", 0, 0.25)),
    mask="masks/caf\udce9.png",
)
COARSE = replace(CLASSIFIED, path="d.jpg", coarse=(3, 4), coarse_k=8)
EARLY_EXIT = replace(CLASSIFIED, path="e.jpg", exit=1)
FAILED = Row("b.jpg", error="'b.jpg' is empty (0 bytes).")
