"""Frames hold their pixels before they are opened: only so many are drawn at once."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from lookwhere_cli import stream
from lookwhere_cli.images.films.frames import FilmFrame
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.source import FilmMoment
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.stream import StreamOptions, Work

FRAME = 100 * 100 * 3


def test_memory_does_not_grow_with_the_film(monkeypatch: Any) -> None:
    """With batches of 32, a budget of 20 frames, and room for 10 that are not opened yet."""
    monkeypatch.setattr(stream, "DRAWN", 10 * FRAME)
    alive: set[int] = set()
    most: list[int] = []
    lock = threading.Lock()

    def dropped(number: int) -> None:
        with lock:
            alive.discard(number)

    def frames() -> Iterator[FilmFrame]:
        for number in range(300):
            frame = FilmFrame(np.zeros((100, 100, 3), np.uint8), "made.mp4", FilmMoment(number / 25, number))
            weakref.finalize(frame, dropped, number)
            with lock:
                alive.add(number)
                most.append(len(alive))
            yield frame

    reader = PictureReader(Reading(patch=16, size=96, mode="whole"), lambda grid: (2, 2))
    work = Work(
        reader.prepare,
        lambda batch: [cast(Any, one.view.moment).frame for one in batch.pictures],
        lambda numbers: numbers,
        lambda picture, sentence: sentence,
        lambda grid: 32,
    )
    results = list(stream.stream(frames(), work, StreamOptions(batch_size=32, workers=2, memory=20 * FRAME)))
    assert results == list(range(300))
    assert max(most) <= 56  # and the batch before, which is let go when the next one is there; a few are on their way
