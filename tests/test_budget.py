"""The budget of bytes for opened pictures: in order, without deadlock, and never exceeded but by one picture."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.budget import Budget, BudgetClosedError, default_memory
from lookwhere_cli.machine import available_memory


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 100), min_size=1, max_size=30), budget=st.integers(1, 120))
def test_pictures_in_flight_keep_to_the_budget_but_for_one_that_is_larger_alone(sizes, budget):
    shared, lock = Budget(budget), threading.Lock()
    held, most = {}, []

    def take(number):
        shared.reserve(number, sizes[number])
        shared.settle(number, sizes[number])
        with lock:
            held[number] = sizes[number]
            most.append(dict(held))
        with lock:
            del held[number]
        shared.release(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(take, range(len(sizes))))
    assert all(sum(one.values()) <= budget or len(one) == 1 for one in most)
    assert len(most) == len(sizes)


def test_pictures_are_granted_their_bytes_in_their_order():
    budget, order = Budget(10), []

    def take(number):
        budget.reserve(number, 6)
        order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in (2, 1, 0)]
    for thread in threads:
        thread.start()
    for number in range(3):
        while len(order) <= number:
            time.sleep(0.001)
        budget.release(number)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2]


def test_what_a_picture_really_holds_replaces_what_was_reserved():
    budget = Budget(10)
    budget.reserve(0, 9)
    budget.settle(0, 2)
    budget.reserve(1, 8)  # would wait for ever if the first still held 9
    budget.settle(1, 0)
    budget.reserve(2, 8)


def test_one_learns_that_a_picture_waits_for_what_others_hold():
    budget, future = Budget(10), Future()
    budget.reserve(0, 9)
    waiting = threading.Thread(target=budget.reserve, args=(1, 5))
    waiting.start()
    assert budget.wait(future) is False
    budget.release(0)
    waiting.join()
    future.set_result(None)
    assert budget.wait(future) is True


def test_closing_ends_the_wait():
    budget = Budget(10)
    budget.reserve(0, 9)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.reserve, 1, 5)
        assert budget.wait(waiting) is False
        budget.close()
        with pytest.raises(BudgetClosedError):
            waiting.result()


def test_by_default_it_is_what_the_process_may_use():
    assert 1 << 20 < default_memory() <= min(512 << 20, available_memory())


def test_nothing_is_remembered_of_pictures_that_are_done():
    budget = Budget(10)
    for number in range(100):
        budget.reserve(number, 5)
        budget.settle(number, 4)
        budget.release(number)
    assert not budget._known and not budget._held
