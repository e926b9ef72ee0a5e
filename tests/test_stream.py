"""Many pictures through a model: in order, in batches of one grid, under a budget of bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli import load
from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.decode import Reserve
from lookwhere_cli.images.view import Picture, View
from lookwhere_cli.reader import OpenedPicture
from lookwhere_cli.strategies.base import Batch
from lookwhere_cli.stream import Cutter, StreamOptions, Work, largest_batch, stream


class Drawn(NamedTuple):
    """A picture that is only numbers: bytes while it is decoded, bytes that it holds, columns of its grid."""

    number: int
    decoding: int = 0
    holding: int = 0
    columns: int = 1
    damaged: bool = False


@dataclass
class Model:
    """Answers a picture with its number, and records what it was asked."""

    delay: Callable[[Drawn], float] = lambda _: 0.0
    largest: int = 1000
    events: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=dict)
    peaks: list[dict[int, int]] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    @property
    def work(self) -> Work[Any, Any]:
        return Work(cast(Any, self.open), self.begin, self.finish, self.fail, lambda _: self.largest)

    def open(self, picture: Drawn, reserve: Reserve) -> OpenedPicture:
        if picture.damaged:
            raise PictureError("damaged")
        reserve(picture.decoding)
        self._hold(picture.number, picture.decoding)
        time.sleep(self.delay(picture))
        self._hold(picture.number, picture.holding)
        view = cast(View, FakeView((1, picture.columns), picture.holding, picture.number))
        return OpenedPicture(view, np.zeros(0), None, 0.0)

    def begin(self, batch: Batch) -> Sequence[int]:
        numbers = tuple(cast(FakeView, picture.view).number for picture in batch.pictures)
        self.events.append(("begin", numbers))
        assert {picture.view.grid for picture in batch.pictures} == {batch.grid}
        return numbers

    def finish(self, numbers: Sequence[int]) -> Sequence[int]:
        self.events.append(("finish", tuple(numbers)))
        return numbers

    def fail(self, picture: Picture, sentence: str) -> str:
        return f"{cast(Any, picture).number} {sentence}"

    def run(self, pictures: Sequence[Drawn], **options: Any) -> list[Any]:
        """All results; a picture counts as held until its result is there."""
        results = []
        for result in stream(cast(Any, pictures), self.work, StreamOptions(**options)):
            results.append(result)
            with self._lock:
                self.held.pop(len(results) - 1, None)
        return results

    def _hold(self, number: int, size: int) -> None:
        with self._lock:
            self.held[number] = size
            self.peaks.append({key: value for key, value in self.held.items() if value})


class FakeView(NamedTuple):
    grid: tuple[int, int]
    nbytes: int
    number: int


PICTURES = st.lists(
    st.builds(
        Drawn,
        number=st.just(0),
        decoding=st.integers(0, 120),
        holding=st.integers(0, 60),
        columns=st.integers(1, 3),
        damaged=st.sampled_from([False, False, False, True]),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=60)
@given(
    drawn=PICTURES, batch_size=st.integers(1, 7), workers=st.integers(1, 4), memory=st.sampled_from([1, 50, 100, None])
)
def test_every_picture_has_its_result_in_order_whatever_the_budget(
    drawn: list[Drawn], batch_size: int, workers: int, memory: int | None
) -> None:
    pictures = [picture._replace(number=number) for number, picture in enumerate(drawn)]
    model = Model()
    results = model.run(pictures, batch_size=batch_size, workers=workers, memory=memory)
    assert results == [f"{one.number} damaged" if one.damaged else one.number for one in pictures]
    assert all(len(numbers) <= batch_size for _, numbers in model.events)


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 60), max_size=30), batch_size=st.integers(1, 7), workers=st.integers(1, 4))
def test_pictures_in_flight_keep_to_the_budget(sizes: list[int], batch_size: int, workers: int) -> None:
    pictures = [Drawn(number, decoding=size, holding=size) for number, size in enumerate(sizes)]
    model = Model()
    model.run(pictures, batch_size=batch_size, workers=workers, memory=50)
    assert all(sum(held.values()) <= 50 or len(held) == 1 for held in model.peaks)


def test_a_picture_larger_than_the_budget_waits_until_it_is_alone() -> None:
    pictures = [Drawn(number, size, size) for number, size in enumerate((10, 10, 500, 10, 10))]
    model = Model()
    assert model.run(pictures, batch_size=8, workers=3, memory=100) == [0, 1, 2, 3, 4]
    assert {2: 500} in model.peaks and all(2 not in held or len(held) == 1 for held in model.peaks)


def test_pictures_of_one_grid_are_gathered_from_two_batches() -> None:
    model = Model()
    model.run([Drawn(number, columns=1 + number % 2) for number in range(8)], batch_size=4)
    assert [numbers for event, numbers in model.events if event == "begin"] == [(0, 2, 4, 6), (1, 3, 5, 7)]


def test_a_batch_is_begun_before_the_one_before_it_is_finished() -> None:
    model = Model()
    model.run([Drawn(number) for number in range(6)], batch_size=2)
    assert model.events == [
        ("begin", (0, 1)),
        ("begin", (2, 3)),
        ("finish", (0, 1)),
        ("begin", (4, 5)),
        ("finish", (2, 3)),
        ("finish", (4, 5)),
    ]


def test_batches_are_no_larger_than_their_activations_allow() -> None:
    model = Model(largest=3)
    model.run([Drawn(number) for number in range(8)], batch_size=8)
    assert [len(numbers) for event, numbers in model.events if event == "begin"] == [3, 3, 2]
    assert largest_batch(tokens=100, dim=192, batch_size=32) == 32
    assert 1 < largest_batch(tokens=3000, dim=192, batch_size=32) < 32
    assert largest_batch(tokens=10**7, dim=768, batch_size=32) == 1


def test_pictures_are_drawn_in_the_callers_thread_as_they_are_needed() -> None:
    drawn: list[int] = []

    def pictures() -> Iterator[Drawn]:
        for number in range(100):
            assert threading.current_thread() is threading.main_thread()
            drawn.append(number)
            yield Drawn(number)

    results = stream(cast(Any, pictures()), Model().work, StreamOptions(batch_size=2))
    next(results)
    assert len(drawn) <= 12
    results.close()


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    pictures = [Drawn(number, 90, 90) for number in range(20)]
    results = stream(cast(Any, pictures), Model().work, StreamOptions(batch_size=2, workers=3, memory=100))
    next(results)
    results.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_an_error_that_is_no_pictures_fault_reaches_the_caller() -> None:
    model = Model(delay=lambda picture: 1 / 0 if picture.number == 3 else 0.0)
    with pytest.raises(ZeroDivisionError):
        model.run([Drawn(number) for number in range(6)], batch_size=2)


def test_cells_are_cut_alike_by_any_number_of_threads(model_folder: Any, files: list[str]) -> None:
    reader = load(str(model_folder), device="cpu").pipeline.reader
    views = [reader.open(file) for file in files[::4]]
    cells = np.stack([np.arange(7) + number for number in range(len(views))])
    cut = [Cutter(workers).cut(views, cells) for workers in (1, 3)]
    assert np.array_equal(*cut) and cut[0].shape == (len(views), 7, 4, 4, 3)


def test_pictures_that_are_large_while_decoded_do_not_pile_up(model_folder: Any, tmp_path: Any) -> None:
    """What a file takes while it is decoded counts, although little of it is kept."""
    for number in range(6):
        Image.new("RGB", (2000, 2000), (number, 0, 0)).save(tmp_path / f"{number}.png")
    pictures = sorted(tmp_path.iterdir())
    predictor = load(str(model_folder), device="cpu", memory="20M", workers=4, batch_size=6)
    rows = list(predictor.classify(pictures))
    assert [row.path for row in rows] == list(map(str, pictures)) and not any(row.error for row in rows)


def test_what_reserves_nothing_waits_for_its_turn() -> None:
    """Else pictures that were open at once kept an earlier one waiting for ever, as small rasters did a large file."""
    model = Model()

    def open_picture(picture: Drawn, reserve: Reserve) -> OpenedPicture:
        if picture.decoding:  # it asks late, when all others are open
            time.sleep(0.2)
            return model.open(picture, reserve)
        return model.open(picture, lambda size: None)

    pictures = [Drawn(number, 1000 if number == 1 else 0, 60) for number in range(6)]
    work = model.work._replace(open=cast(Any, open_picture))
    assert list(stream(cast(Any, pictures), work, StreamOptions(1, 4, 100))) == list(range(6))
