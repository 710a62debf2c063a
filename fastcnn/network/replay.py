"""Training passes that are like one before run without the Python of their layers.

Batches of one size go through a network in the same way: the same kernels, in the same memory. The
Python between them checks shapes, makes views and chooses kernels, which takes a third of a step of
`mnist-baseline`. So of each kind of pass (shape and dtype of x, where it lies if that stays so,
whether logits are wanted)

- the first is run as always, and another one if memory grew;
- the next, too, and the kernels that it calls are listed (`kernels.capture`);
- before the next, as soon as an optimizer has changed the weights, the lists are tried: from memory
  full of NaN they have to bring the bits of a pass as always, which has to call the same kernels
  with the same memory;
- from then on the lists are run. Afterwards the layers remember what they did after the pass that
  was listed; numbers that are new in every pass they write themselves (`Layer.renew`).

A list is thrown away when anything changes that may decide which kernels are called
(`kernels.changes`): a setting of a layer, what is frozen, the backend, memory that grows. Weights
and state may be written at any time, for they lie where the kernels read them.

What NumPy does is in no list. So a network with a layer of somebody's own has none, nor has one
where a function was put into the place of a layer's own. If a layer of this package uses NumPy for
more than shapes, the trial shows it, for what NumPy makes is new memory each time, or was left full
of NaN; then all stays as it was.
"""

import enum
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from kernels.capture import Capture, capturing, is_possible
from kernels.changes import mark
from kernels.portion import Portion
from kernels.workspace import Workspace

from ..layers import Layer
from ..layers.described import is_altered, is_own
from ..layers.memory import (
    NO_GRADIENT,
    Clock,
    Recollection,
    as_given,
    as_image,
    memory_of,
    seen,
)

_MOST_KINDS = 8
_LONG = 0.002  # seconds of a kernel beside which Python does not count
_MOST_IN_VAIN = 10  # lists that are run less than ten times each


class Row(Protocol):
    """What is run: see `fastcnn.network.row`."""

    portion: Portion
    clock: Clock

    def run_forward(self, x: np.ndarray, logits: Any) -> Any:
        """y, layer by layer."""

    def run_backward(self, dy: Any, logits: Any, to_input: bool) -> Any:
        """The gradients, layer by layer; dx."""

    def workspaces(self) -> Iterator[Workspace]:
        """All memory that passes are made in."""
        ...


class Stage(enum.Enum):
    """How far it has come with a kind of pass: run once, listed, tried and found right or wrong."""

    NEW, KNOWN, LISTED, TRUSTED, REFUSED = range(5)


class Pass:
    """One kind of pass: its lists, once there are some, and the memory at their ends.

    Attributes
    ----------
    x, y, dy, dx : array
        The memory that kernels read and write. What the caller gives is copied there.
    is_lent : bool
        Whether x is the caller's.
    to_input : bool
        Whether the backward pass that is listed ends with the gradient by x.
    weights : int
        Checksum of those that are trained, when the list was made.
    """

    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray
    dx: np.ndarray

    def __init__(self) -> None:
        self.mark, self.stage = mark(), Stage.NEW
        self.forward, self.backward = Capture(), Capture()
        self.is_lent, self.to_input, self.weights = False, False, 0
        self._left: list[tuple[Layer, Any, Any]] = []
        self._recollection = Recollection()

    def take(self, x: np.ndarray) -> None:
        """Have the kernels read this x."""
        if not self.is_lent:
            np.copyto(self.x, x)

    def fits(self, dy: Any, to_input: bool) -> bool:
        """Whether the backward pass that is listed is such a one."""
        same = self.to_input is to_input and isinstance(dy, np.ndarray)
        return same and (dy.shape, dy.dtype) == (self.dy.shape, self.dy.dtype)

    def remember(self, layers: Sequence[Layer]) -> None:
        """Note what the forward pass has left in the layers."""
        self._left = [(each, *each.left_behind()) for each in layers]
        self._recollection = Recollection(len(self._left))
        self.remind()

    def remind(self) -> None:
        """Have the layers remember what they did after the listed pass."""
        all_of_it = self._recollection
        if not all_of_it.is_whole:
            for layer, memory, trained_like in self._left:
                layer.remember_with(all_of_it, memory, trained_like)
        all_of_it.is_whole = all_of_it.holds = True

    def is_remembered(self) -> bool:
        """Whether they do: no optimizer has made a step since, and nobody has called one alone."""
        return self._recollection.is_whole and self._recollection.holds


class Replay:
    """The passes of a row of layers in training.

    family : the layers, with those inside them
    """

    def __init__(self, family: Sequence[Layer]) -> None:
        self._family = family
        self._leaves = [layer for layer in family if not layer.children()]
        self._renewed = [layer for layer in family if type(layer).renew is not Layer.renew]
        self._classes = tuple(dict.fromkeys(type(layer) for layer in family))
        self._methods = self._methods_now()
        self._is_possible = is_possible() and not any(map(is_own, family))
        self._passes: dict[Any, Pass] = {}
        self._current: Pass | None = None
        self._lists = self._runs = 0

    def forward(self, row: Row, x: Any, logits: Any, is_lent: bool = False) -> Any:
        """y of a row, and all that `backward` needs.

        is_lent : whether x is memory that its owner fills anew for each pass, and may be kept
        """
        self._current = None
        now = self._kind_of(row, x, logits, is_lent)
        if now is None or now.stage in (Stage.NEW, Stage.REFUSED):
            if now is not None and now.stage is Stage.NEW:  # kernels may have to be compiled
                now.stage = Stage.KNOWN
            return row.run_forward(x if is_lent else np.copy(x), logits)  # it may be overwritten
        if now.stage is Stage.KNOWN:
            return self._list_forward(row, now, x, logits, is_lent)
        now.take(x)
        if now.stage is Stage.LISTED and (not now.weights or now.weights != self._weights()):
            self._try(row, now, logits)
        if now.stage is not Stage.TRUSTED:
            return row.run_forward(now.x, logits)
        self._current = now
        self._run_forward(now)
        return now.y

    def backward(self, row: Row, dy: Any, logits: Any, to_input: bool) -> Any:
        """The gradients, and dx if it is wanted, after `forward`."""
        now, self._current = self._current, None
        if now is None or now.mark != mark() or not now.is_remembered():
            return row.run_backward(dy, logits, to_input)
        if now.stage is Stage.KNOWN:
            return self._list_backward(row, now, dy, logits, to_input)
        if not now.fits(dy, to_input):
            return row.run_backward(dy, logits, to_input)
        np.copyto(now.dy, dy)
        now.backward.run()
        return now.dx

    def _run_forward(self, now: Pass) -> None:
        for layer in self._renewed:
            layer.renew()
        now.forward.run()
        now.remind()
        self._runs += 1

    # --- which kind -----------------------------------------------------------------------------

    def _kind_of(self, row: Row, x: Any, logits: Any, is_lent: bool) -> Pass | None:
        """What is known of such a pass; None if it has to be run as always."""
        if not self._is_possible or row.portion.processes > 1 or not isinstance(x, np.ndarray):
            return None
        if self._methods != self._methods_now():
            return None  # somebody put a function into the place of a layer's own
        place = (_place_of(x), x.strides) if is_lent else None
        kind = x.shape, x.dtype, place, logits, threading.get_ident()
        found = self._passes.get(kind)
        if found is None or found.mark != mark():
            self._forget_old()
            found = self._passes[kind] = Pass()
            if any(map(is_altered, self._family)):
                found.stage = Stage.REFUSED
        return found

    def _forget_old(self) -> None:
        """Let go of the memory of passes that are run no more."""
        now = {kind: each for kind, each in self._passes.items() if each.mark == mark()}
        self._passes = dict([*now.items()][1 - _MOST_KINDS :])

    def _methods_now(self) -> list[Any]:
        return [method for kind in self._classes for method in (kind.forward, kind.backward)]

    # --- making lists ---------------------------------------------------------------------------

    def _list_forward(self, row: Row, now: Pass, x: np.ndarray, logits: Any, is_lent: bool) -> Any:
        is_lent = is_lent and x.flags.writeable and np.shares_memory(x, memory_of(as_image(x)))
        now.forward, now.x, now.is_lent = Capture(), x if is_lent else _place_for(x), is_lent
        now.take(x)
        started = time.perf_counter()
        with capturing(now.forward):
            y = row.run_forward(now.x, logits)
        is_long = time.perf_counter() - started > _LONG * max(1, len(now.forward))
        if is_long or not isinstance(y, np.ndarray):
            now.stage = Stage.REFUSED
            return y
        now.y, self._current = y, now
        now.remember(self._family)
        return y

    def _list_backward(
        self, row: Row, now: Pass, dy: np.ndarray, logits: Any, to_input: bool
    ) -> Any:
        if not isinstance(dy, np.ndarray):
            now.stage = Stage.REFUSED
            return row.run_backward(dy, logits, to_input)
        now.backward, now.dy, now.to_input = Capture(), _place_for(dy), to_input
        np.copyto(now.dy, dy)
        with capturing(now.backward):
            dx = row.run_backward(now.dy, logits, to_input)
        now.dx = dx if to_input else NO_GRADIENT
        now.stage = Stage.LISTED if isinstance(now.dx, np.ndarray) else Stage.REFUSED
        now.weights = self._weights()
        self._lists += 1
        if self._lists > _MOST_IN_VAIN and self._runs < 10 * self._lists:
            self._is_possible = False
        return dx

    # --- trying them ----------------------------------------------------------------------------

    def _try(self, row: Row, now: Pass, logits: Any) -> None:
        """See whether the lists do what a pass as always does; then all is as it was before."""
        now.stage = Stage.REFUSED
        arrays = [each for layer in self._leaves for each in layer.state.values()]
        states = len(arrays)
        arrays += [each for layer in self._leaves for each in layer.grads.values()]
        kept = [each.copy() for each in arrays]
        forward, backward = Capture(), Capture()
        try:
            self._begin(row, now)
            self._run_forward(now)
            now.backward.run()
            found = self._left_behind(now)
            _write(kept[:states], arrays[:states])
            self._begin(row, now)
            with capturing(forward):
                row.run_forward(now.x, logits)
            with capturing(backward):
                row.run_backward(now.dy, logits, now.to_input)
            is_same = self._left_behind(now) == found
            is_same &= bool(np.isfinite(now.y).all())  # NaN is like all other NaN
        finally:
            _write(kept, arrays)
        if is_same and forward.is_like(now.forward) and backward.is_like(now.backward):
            now.stage = Stage.TRUSTED

    def _begin(self, row: Row, now: Pass) -> None:
        """Noise as dy, as there may be no gradient yet, and NaN wherever passes write."""
        now.dy[...] = np.random.default_rng(1).standard_normal(now.dy.shape, now.dy.dtype)
        for workspace in row.workspaces():
            workspace.spoil()
        for layer in self._leaves:
            if layer.trainable:
                for gradient in layer.grads.values():
                    gradient.fill(np.nan)

    def _weights(self) -> int:
        """Checksum of those that are trained; 0 if none are."""
        trained = [layer for layer in self._leaves if layer.trainable and layer.params]
        sums = [_sum(array) for layer in trained for array in layer.params.values()]
        return hash(tuple(sums)) if sums else 0

    def _left_behind(self, now: Pass) -> list[int]:
        """Checksums of all that a pass leaves."""
        left = [now.y, now.dx]
        for layer in self._leaves:
            left += [*layer.state.values(), *layer.grads.values()]
        for layer in self._family:
            remembered = layer.left_behind()[0] or ()
            left += [each for each in remembered if isinstance(each, np.ndarray)]
        return [_sum(array) for array in left]


def _write(values: Sequence[np.ndarray], arrays: Sequence[np.ndarray]) -> None:
    for value, array in zip(values, arrays, strict=True):
        array[...] = value


def _place_of(array: np.ndarray) -> int:
    """A number that tells where an array lies, while it lies there."""
    whole = array.base  # whoever keeps the array keeps this, too
    if type(whole) is np.ndarray and whole.nbytes == array.nbytes:
        return id(whole)  # sooner known than an address
    return int(array.__array_interface__["data"][0])


def _place_for(array: np.ndarray) -> np.ndarray:
    """Memory for an array like this one, in which images and series lie as layers like it."""
    memory = memory_of(as_image(array))
    place = Workspace(keep=False).array("", memory.shape, memory.dtype)
    return as_given(seen(place), array.ndim)


def _sum(array: np.ndarray) -> int:
    """Checksum."""
    return zlib.crc32(memory_of(array).data.cast("B")) if array.size else 0
