"""A predictor that was loaded and used before a fork works in the child, or raises; it never waits for ever."""

import multiprocessing
import os
import pickle

import pytest
import torch

from lookwhere_cli import load
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.runtimes.forks import ProcessGuard

SECONDS = 120
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")


@pytest.fixture
def several_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def in_child(work, method="fork", *arguments):
    """Run work(queue, ...) in another process and return what it puts into the queue."""
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=work, args=(queue, *arguments))
    process.start()
    try:
        return queue.get(timeout=SECONDS)
    finally:
        process.kill()
        process.join()


def answers(predictor, files):
    return [(row.error, row.labels[0].label, row.labels[0].probability) for row in predictor.classify(files)]


def same(found, expected):
    """Another number of threads may add in another order."""
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], abs=1e-4)


def put_answers(queue, predictor, files):
    queue.put((answers(predictor, files), torch.get_num_threads()))


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_used_predictor_answers_the_same_after_a_fork(model_folder, files, several_threads):
    # Enough for torch to begin its threads, which the child does not have.
    torch.ones(600, 600) @ torch.ones(600, 600)
    predictor = load(str(model_folder), device="cpu")
    expected = answers(predictor, files)
    found, threads = in_child(lambda queue: put_answers(queue, predictor, files))
    same(found, expected)
    assert threads == 1
    assert torch.get_num_threads() == 4
    same(answers(predictor, files), expected)


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_rows_that_were_begun_before_a_fork_raise(model_folder, files):
    rows = load(str(model_folder), batch_size=1, device="cpu").classify(files * 3)
    next(rows)

    def go_on(queue):
        try:
            queue.put(list(rows))
        except UsageError as error:
            queue.put(str(error))

    assert in_child(go_on).startswith("Rows that were begun before this process was forked")
    assert len(list(rows)) == 3 * len(files) - 1


def test_a_predictor_can_be_pickled_for_another_process(model_folder, files):
    predictor = load(str(model_folder), device="cpu")
    same(answers(pickle.loads(pickle.dumps(predictor)), files), answers(predictor, files))


def test_a_model_on_a_gpu_raises_in_a_forked_process(monkeypatch):
    guard = ProcessGuard(torch.device("cuda:0"))
    guard.check()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(ModelError, match=r"lies on cuda:0 .* load it in each process, or .* 'spawn'"):
        guard.check()
    pickle.loads(pickle.dumps(guard)).check()


@pytest.mark.parametrize("kind", ["segmenting_folder", "pruning_folder", "cascade_folder"])
def test_predictors_of_all_kinds_can_be_pickled(kind, request, files):
    predictor = load(str(request.getfixturevalue(kind)), device="cpu")
    copy = pickle.loads(pickle.dumps(predictor))
    macs = [[answer.row.macs for answer in one.answers(files)] for one in (predictor, copy)]
    assert macs[0] == macs[1]
