import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.ahead import in_background, read_ahead

_elsewhere: set[threading.Thread] = set()


@pytest.fixture(scope="module", autouse=True)
def _threads_of_other_tests():
    _elsewhere.update(threading.enumerate())


def running():
    return [thread for thread in set(threading.enumerate()) - _elsewhere if thread.name.startswith("read-ahead")]


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 4), st.integers(1, 6))
def test_order_is_kept_whatever_takes_longest(delays, workers, depth):
    def read(numbered):
        time.sleep(numbered[1] / 5000)
        return numbered

    items = list(enumerate(delays))
    assert list(read_ahead(items, read, workers, depth)) == items
    assert not running()


def test_a_picture_error_is_a_value_and_any_other_is_raised_in_its_place():
    def read(item):
        if item == 1:
            raise PictureError("torn")
        if item == 3:
            raise ZeroDivisionError
        return item

    results = read_ahead(range(9), read, 2, 3)
    assert next(results) == 0
    torn = next(results)
    assert isinstance(torn, PictureError)
    assert str(torn) == "torn"
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not running()


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_no_more_than_depth_items_are_drawn_ahead(depth):
    drawn = []
    results = read_ahead((drawn.append(i) or i for i in range(1000)), lambda item: item, 2, depth)
    for count in range(1, 50):
        next(results)
        assert len(drawn) == count + depth
    results.close()


def test_closing_stops_the_threads_and_drops_what_has_not_begun():
    begun = []
    release = threading.Event()

    def read(item):
        begun.append(item)
        if item:
            release.wait(5)
        return item

    results = read_ahead(range(100), read, 2, 50)
    assert next(results) == 0
    threading.Timer(0.05, release.set).start()
    results.close()
    assert not running()
    assert len(begun) <= 5


def test_reading_goes_on_while_the_caller_works():
    both = threading.Barrier(2, timeout=5)
    results = read_ahead(range(2), lambda item: both.wait() >= 0, workers=2, depth=2)
    assert list(results) == [True, True]


def test_a_thread_makes_items_ahead_and_ends_when_nobody_wants_more():
    made = []

    def items(closed):
        for number in range(1000):
            if closed():
                return
            made.append(threading.current_thread())
            yield number

    ahead = in_background(items, 3)
    assert [next(ahead), next(ahead)] == [0, 1]
    ahead.close()
    assert len(made) <= 7 and len(set(made)) == 1 and made[0] is not threading.current_thread()
    assert not made[0].is_alive() and list(in_background(lambda _: iter("abc"), 1)) == list("abc")


def test_what_the_thread_raises_is_raised_in_its_place():
    def items(_):
        yield 1
        raise ValueError("damaged")

    ahead = in_background(items, 5)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(ahead)
