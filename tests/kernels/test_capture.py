"""Lists of calls: what is listed, when two are alike, and what a forked process keeps of them."""

import threading

import numpy as np
import pytest

from kernels import activation, capture
from kernels.capture import Capture, capturing
from kernels.dispatch import Kernel


def listed(x: np.ndarray, y: np.ndarray, alpha: float = 0.5) -> Capture:
    found = Capture()
    with capturing(found):
        activation.leaky_relu(x, alpha, y)
    return found


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_calls_are_made_again_with_what_memory_holds_by_then(size):
    x, y = np.full(size, -2, np.float32), np.empty(size, np.float32)
    found = listed(x, y)
    x.fill(-8)
    y.fill(np.nan)
    found.run()
    assert (y == -4).all()


def test_lists_are_alike_if_numbers_and_memory_are():
    x, y = np.ones((2, 5), np.float32)
    first = listed(x, y)
    x.fill(3)
    assert listed(x, y).is_like(first)
    assert not listed(x.copy(), y).is_like(first)
    assert not listed(x, y, 0.25).is_like(first)
    assert not listed(x[1:], y[1:]).is_like(first)
    assert not Capture().is_like(first)


def test_tables_of_whole_numbers_may_lie_elsewhere():
    table = np.arange(5)
    assert capture._is_same((table, 1), (table.copy(), 1))
    assert not capture._is_same((table, 1), (table + 1, 1))
    assert not capture._is_same((table, 1), (table, 1.0))
    assert capture._is_same(np.empty(0, np.float32), np.empty(0, np.float32))


def test_calls_of_other_threads_are_not_listed():
    x, y = np.ones((2, 5), np.float32)
    found = Capture()
    with capturing(found):
        thread = threading.Thread(target=activation.relu, args=(x, y))
        thread.start()
        thread.join()
    assert found.is_like(Capture())
    assert "__call__" not in vars(Kernel)


def test_a_forked_process_lists_no_calls_for_threads_that_it_has_not():
    with capturing(Capture()):
        capture._captures[-1] = Capture()
        capture._begin_anew()
        assert list(capture._captures) == [threading.get_ident()]
    assert "__call__" not in vars(Kernel)
