import threading
import time

import pytest

from sklearn_kmfeat._utils.ahead import done_ahead


def test_results_are_in_the_order_of_the_items():
    def slow_first(i):
        time.sleep(0.02 * (i == 0))
        return i * i

    assert list(done_ahead(slow_first, range(20))) == [i * i for i in range(20)]
    assert list(done_ahead(str, [])) == []


def test_what_waits_is_bounded():
    begun, lock = [], threading.Lock()

    def note(i):
        with lock:
            begun.append(i)
        return i

    results = done_ahead(note, range(100), costs=[3] * 100, budget=10)
    assert next(results) == 0
    time.sleep(0.05)
    assert len(begun) <= 5
    # One that costs more than all may be under way alone.
    assert list(done_ahead(str, [1, 2], costs=[50, 50], budget=10)) == ["1", "2"]


def test_work_goes_on_while_the_caller_works():
    done = threading.Event()

    def note(i):
        if i == 3:
            done.set()
        return i

    results = done_ahead(note, range(4))
    next(results)
    assert done.wait(5)
    results.close()


def test_an_error_comes_when_its_turn_comes():
    results = done_ahead(lambda i: 1 // i, [2, 1, 0, 1])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_no_thread_is_left():
    results = done_ahead(lambda i: i, range(1000))
    next(results)
    results.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("ahead")]
