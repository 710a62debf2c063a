"""BLAS has one thread during training, and gets its own number back whatever happens."""

import threading

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from fastcnn import Sequential
from fastcnn.layers import Dense, Flatten
from fastcnn.training import blas


def threads() -> set[int]:
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


@pytest.fixture(autouse=True)
def _three_threads():
    if not threads():
        pytest.skip("NumPy's BLAS is not one that threadpoolctl knows")
    with threadpool_limits(3, user_api="blas"):
        for library in ThreadpoolController().lib_controllers:  # let other Python threads set it
            getattr(library, "clear_controlling_thread", lambda: None)()
        yield


def test_held_and_given_back():
    with blas.one_thread():
        assert threads() == {1}
        with blas.one_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {3}


def test_given_back_after_an_exception():
    def fail() -> bool:
        assert threads() == {1}
        raise KeyboardInterrupt

    model = Sequential(Flatten(), Dense(64, 2))
    x, y = np.zeros((4, 1, 8, 8), np.float32), np.zeros(4, np.int64)
    with pytest.raises(KeyboardInterrupt):
        model.train(x, y, epochs=1, should_stop=fail)
    assert threads() == {3}


def test_given_back_by_the_last_of_two_threads():
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with blas.one_thread():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with blas.one_thread():
        leave.set()
        thread.join()
        assert threads() == {1}
    assert threads() == {3}
