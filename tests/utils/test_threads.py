"""Coarse threads: results in order, nothing global changed, ends with an error, nests."""

import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest
import torch

from sklearn_kmfeat._utils.threads import coarse_threads, in_threads, n_threads

CPU = torch.device("cpu")


@pytest.fixture
def three_threads():
    """torch has three threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_new_thread(function):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def squares():
    return lambda i: i * i


@pytest.mark.parametrize("n", [0, 1, 2, 50])
def test_results_come_in_order(three_threads, n):
    assert list(in_threads(squares, range(n), CPU)) == [i * i for i in range(n)]


def test_threads_work_at_the_same_time_with_torch_on_one_thread_each(three_threads):
    barrier = threading.Barrier(3, timeout=30)

    def worker():
        def function(_):
            barrier.wait()
            return threading.get_ident(), (torch.get_num_threads(), n_threads())

        return function

    found = dict(in_threads(worker, range(3), CPU))
    assert len(found) == 3
    assert set(found.values()) == {(1, 1)}
    assert torch.get_num_threads() == 3
    assert in_new_thread(torch.get_num_threads) == 3


def test_each_thread_has_memory_of_its_own(three_threads):
    made = []

    def worker():
        memory = torch.zeros(1000)
        made.append(memory)

        def function(i):
            memory.fill_(i)
            return bool((memory == i).all())

        return function

    assert all(in_threads(worker, range(200), CPU))
    assert len(made) <= 3


def test_one_item_or_another_device_stays_in_the_calling_thread(three_threads):
    def worker():
        return lambda _: threading.get_ident()

    here = threading.get_ident()
    assert list(in_threads(worker, range(1), CPU)) == [here]
    assert list(in_threads(worker, range(4), torch.device("meta"))) == [here] * 4
    torch.set_num_threads(1)
    assert list(in_threads(worker, range(4), CPU)) == [here] * 4


def test_items_are_read_a_few_ahead(three_threads):
    read = []
    results = in_threads(squares, (read.append(i) or i for i in range(100)), CPU)
    assert next(results) == 0
    assert len(read) <= 3 + 2 + 1
    results.close()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_in_one_ends_all(three_threads, error):
    done = []

    def worker():
        def function(i):
            if i == 3:
                raise error("third")
            done.append(i)

        return function

    with pytest.raises(error, match="third"):
        list(in_threads(worker, range(1000), CPU))
    assert len(done) < 20
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]
    assert torch.get_num_threads() == 3


def test_an_error_while_results_are_used_ends_all(three_threads):
    def interrupted():
        for _ in in_threads(squares, range(1000), CPU):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not [t for t in threading.enumerate() if t.name.startswith("ahead")]


def test_nested_calls_do_not_wait_for_each_other(three_threads):
    def worker():
        return lambda i: sum(in_threads(squares, range(i), CPU))

    found = list(in_threads(worker, range(20), CPU))
    assert found == [sum(j * j for j in range(i)) for i in range(20)]


def test_many_threads_may_call_at_once(three_threads):
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(lambda: list(in_threads(squares, range(50), CPU))) for _ in range(8)]
        assert all(call.result(60) == [i * i for i in range(50)] for call in calls)


def test_gradients_and_default_types_are_those_of_the_library(three_threads):
    def worker():
        return lambda _: (torch.is_grad_enabled(), torch.ones(1).dtype)

    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            assert set(in_threads(worker, range(4), CPU)) == {(False, torch.float32)}
        assert set(in_threads(worker, range(4), CPU)) == {(True, torch.float32)}
    finally:
        torch.set_default_dtype(torch.float32)


def test_inside_coarse_threads_torch_computes_on_one(three_threads):
    with coarse_threads():
        assert (torch.get_num_threads(), n_threads()) == (1, 3)
        assert in_new_thread(torch.get_num_threads) == 3
        with coarse_threads():
            assert (torch.get_num_threads(), n_threads()) == (1, 3)
        assert (torch.get_num_threads(), n_threads()) == (1, 3)
    assert (torch.get_num_threads(), n_threads()) == (3, 3)
    with pytest.raises(KeyboardInterrupt), coarse_threads():
        raise KeyboardInterrupt
    assert (torch.get_num_threads(), n_threads()) == (3, 3)


def test_threads_of_joblib_get_no_threads_of_their_own(three_threads):
    found = joblib.Parallel(2, backend="threading")(joblib.delayed(n_threads)() for _ in range(4))
    assert found == [1] * 4
    assert in_new_thread(n_threads) == 3


def test_processes_of_joblib_have_what_joblib_leaves_them(three_threads):
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        found = joblib.Parallel(2)(joblib.delayed(n_threads)() for _ in range(2))
    assert found == [1, 1]


def test_where_torch_has_no_such_numbers_torch_threads_each_piece(three_threads, monkeypatch):
    monkeypatch.setattr("sklearn_kmfeat._utils.threads._setters", lambda: None)
    with coarse_threads():
        assert (torch.get_num_threads(), n_threads()) == (3, 1)
    assert list(in_threads(squares, range(4), CPU)) == [0, 1, 4, 9]
