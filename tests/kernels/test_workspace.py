"""Scratch memory: what is kept, what is new, and when it is zero."""

import numpy as np

from kernels.workspace import ALIGNMENT, Workspace


def test_kept_memory_is_used_again_and_only_grows():
    workspace = Workspace(keep=True)
    large = workspace.array("a", (4, 6))
    large[...] = 7
    small = workspace.array("a", (3, 2))
    assert np.shares_memory(small, large)
    assert (small == 7).all()
    assert workspace.nbytes == large.nbytes
    larger = workspace.array("a", (5, 6))
    assert not np.shares_memory(larger, large)
    assert workspace.nbytes == larger.nbytes


def test_names_and_dtypes_have_memory_of_their_own():
    workspace = Workspace(keep=True)
    arrays = [
        workspace.array("a", (8,), np.float32),
        workspace.array("a", (8,), np.float64),
        workspace.array("b", (8,), np.float32),
    ]
    for number, array in enumerate(arrays):
        array.fill(number)
    assert [array[0] for array in arrays] == [0, 1, 2]
    assert workspace.nbytes == 8 * (4 + 8 + 4)


def test_without_keep_every_array_is_new():
    workspace = Workspace(keep=False)
    first, second = workspace.array("a", (4,)), workspace.array("a", (4,))
    assert not np.shares_memory(first, second)
    assert workspace.nbytes == 0


def test_zeroed_means_zero_every_time():
    workspace = Workspace(keep=True)
    workspace.array("a", (5, 5)).fill(3)
    assert not workspace.array("a", (2, 2), zeroed=True).any()
    assert workspace.array("a", (5, 5))[-1, -1] == 3


def test_arrays_are_contiguous_and_aligned():
    for keep in (True, False):
        workspace = Workspace(keep)
        for size in (1, 33, 5000):
            array = workspace.array(str(size), (size, 3), np.float32)
            assert array.shape == (size, 3)
            assert array.flags.c_contiguous
            assert array.ctypes.data % ALIGNMENT == 0
