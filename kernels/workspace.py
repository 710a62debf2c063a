"""Scratch memory that kernels ask for by name, so that a training step allocates nothing.

A convolution needs room for unrolled windows or a padded image, a layer needs room for its result.
Asking the operating system for that room at every step costs page faults that take longer than
the arithmetic of a small layer, so a model keeps one `Workspace` and uses its memory again.
"""

import math
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from kernels.changes import changed_here
from kernels.portion import WHOLE, Portion

# A cache line, and the width of the widest vector registers (AVX-512): an array that starts on
# such a border is never loaded in two halves. NumPy itself promises only 16 bytes.
ALIGNMENT = 64
Shape = tuple[int, ...]
Shapes = tuple[tuple[str, Shape], ...]
# Views that are kept, for callers whose shapes differ from call to call.
_MOST_VIEWS = 1000
# What new memory comes from; whoever does not run the kernels wants zeros (`jit.collect_calls`).
allocate = np.empty
# Called in a Python thread that uses a workspace for the first time (`jit` says how many threads
# its kernels have).
greet: Callable[[], object] = object


def _aligned_empty(size: int, dtype: np.dtype) -> np.ndarray:
    """A 1-D uninitialised array of `size` elements that starts on an `ALIGNMENT` border."""
    raw = allocate(size * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.__array_interface__["data"][0] % ALIGNMENT
    return raw[start : start + size * dtype.itemsize].view(dtype)


class Workspace(threading.local):
    """Arrays by name: the same memory every time (`keep=True`) or new memory (`keep=False`).

    With `keep=True` there is one buffer for each pair of name and dtype. It grows when a larger
    array is asked for and never shrinks, so an array is valid only until its name is asked for
    again. With `keep=False` every call allocates: for callers whose arrays outlive the next call.

    Each Python thread has arrays of its own, and its own `keep`, which begins as it was given. They
    go when the thread ends.

    Attributes
    ----------
    portion : Portion
        Which images of the batch the callers have; all, unless somebody says otherwise.

    Examples
    --------
    >>> workspace = Workspace()
    >>> columns = workspace.array("columns", (4, 9))
    >>> np.shares_memory(columns, workspace.array("columns", (2, 3, 3)))
    True
    """

    def __init__(self, keep: bool = True) -> None:
        greet()
        self.keep = keep
        self.portion: Portion = WHOLE
        self._buffers: dict[tuple[str, np.dtype], np.ndarray] = {}
        self._views: dict[tuple[str, DTypeLike, Shape], np.ndarray] = {}
        self._rooms: dict[tuple[Shapes, DTypeLike], tuple[np.ndarray, ...]] = {}

    def array(
        self,
        name: str,
        shape: Shape,
        dtype: DTypeLike = np.float32,
        zeroed: bool = False,
    ) -> np.ndarray:
        """A C-contiguous array of `shape` and `dtype`.

        Its contents are zeros with `zeroed=True` (written anew at every call), else whatever the
        memory held before.
        """
        if self.keep:
            # A model asks for the same shapes at every step: 0.3 us, against 0.8 for a new view.
            array = self._views.get((name, dtype, shape))
            if array is None:
                array = self._view(name, shape, np.dtype(dtype))
                self._views[name, dtype, shape] = array
        else:
            array = _aligned_empty(math.prod(shape), np.dtype(dtype)).reshape(shape)
        if zeroed:
            array.fill(0)
        return array

    def room(self, shapes: Shapes, dtype: DTypeLike) -> tuple[np.ndarray, ...]:
        """`array` of each of several (name, shape), in the time of one."""
        room = self._rooms.get((shapes, dtype)) if self.keep else None
        if room is None:
            room = tuple([self.array(name, shape, dtype) for name, shape in shapes])
            if self.keep:
                self._rooms[shapes, dtype] = room
        return room

    def _view(self, name: str, shape: Shape, dtype: np.dtype) -> np.ndarray:
        """The start of the buffer for `name` and `dtype`, which grows if it must, as `shape`."""
        size = math.prod(shape)
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.size < size:
            self._forget_views()  # they hold the buffer that is replaced
            if buffer is not None:
                changed_here()
            buffer = self._buffers[name, dtype] = _aligned_empty(size, dtype)
        elif len(self._views) >= _MOST_VIEWS:
            self._forget_views()
        return buffer[:size].reshape(shape)

    def _forget_views(self) -> None:
        self._views.clear()
        self._rooms.clear()

    def spoil(self) -> None:
        """Make NaN of all floats that are kept, so that it shows if somebody reads them."""
        for buffer in self._buffers.values():
            if buffer.dtype.kind == "f":
                buffer.fill(np.nan)

    @property
    def nbytes(self) -> int:
        """Bytes held by the kept buffers."""
        return sum(buffer.nbytes for buffer in self._buffers.values())
