"""Training passes that are like one before run without the Python of their layers.

Batches of one size go through a network in the same way: the same kernels, in the same memory. The
Python between them checks shapes, makes views and chooses kernels, which takes a third of a step of
`mnist-baseline`. So of each kind of pass (shape and dtype of x, where it lies if that stays so,
whether logits are wanted)

- the first is run as always, and another one if memory grew,
- the next, too, and the kernels that it calls are listed (`kernels.capture`),
- the next, too; then the lists are tried: with other weights than they were made with, other x and
  dy, and all memory full of NaN they have to bring the bits that a pass as always brings,
- from then on the lists are run: the layers remember what they did after the listed pass, and
  numbers that are new in every pass they write themselves (`Layer.renew`).

A list is thrown away when anything changes that may decide which kernels are called
(`kernels.changes`): a setting of a layer, what is frozen, the backend, memory that grows. What
NumPy does is in no list. So a network with a layer of somebody's own has none; if a layer of this
package uses NumPy for more than shapes, that shows when they are tried, and all stays as it was.
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
from ..layers.described import is_own
from ..layers.memory import NO_GRADIENT, Clock, memory_of, seen

_MOST_KINDS = 8
_LONG = 0.5  # seconds of a forward pass in which Python does not count
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
    """How far it has come with a kind of pass."""

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
    before : list of array
        The layers' state before the pass just now.
    """

    x: np.ndarray
    y: np.ndarray
    dy: np.ndarray
    dx: np.ndarray

    def __init__(self) -> None:
        self.mark, self.stage = mark(), Stage.NEW
        self.forward, self.backward = Capture(), Capture()
        self.is_lent, self.to_input, self.weights = False, False, 0
        self.before: list[np.ndarray] = []
        self._left: list[tuple[dict[str, Any], dict[str, Any]]] = []

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
        names = "_remembered", "_trained_like"
        self._left = [(vars(each), {name: vars(each)[name] for name in names}) for each in layers]

    def remind(self) -> None:
        """Have the layers remember what they did after the listed pass."""
        for now, then in self._left:
            now.update(then)

    def is_remembered(self) -> bool:
        """Whether they do: no optimizer has made a step since."""
        return all(now["_remembered"] is then["_remembered"] for now, then in self._left)


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
        if now is None or now.stage is Stage.REFUSED:
            return row.run_forward(x, logits)
        if now.stage is Stage.NEW:  # kernels may have to be compiled
            now.stage = Stage.KNOWN
            return row.run_forward(x, logits)
        if now.stage is Stage.KNOWN:
            return self._list_forward(row, now, x, logits, is_lent)
        self._current = now
        now.take(x)
        if now.stage is Stage.LISTED:
            now.before = self._state()
            return row.run_forward(now.x, logits)
        self._run_forward(now)
        return now.y

    def backward(self, row: Row, dy: Any, logits: Any, to_input: bool) -> Any:
        """The gradients, and dx if it is wanted, after `forward`."""
        now, self._current = self._current, None
        if now is None or now.mark != mark():
            return row.run_backward(dy, logits, to_input)
        if now.stage is Stage.KNOWN:
            return self._list_backward(row, now, dy, logits, to_input)
        if not now.fits(dy, to_input):
            return row.run_backward(dy, logits, to_input)
        if now.stage is Stage.LISTED:
            return self._try(row, now, dy, logits)
        if not now.is_remembered():
            return row.run_backward(dy, logits, to_input)  # which refuses
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
        place = (x.ctypes.data, x.strides) if is_lent else None
        kind = x.shape, x.dtype, place, logits, threading.get_ident()
        found = self._passes.get(kind)
        if found is None or found.mark != mark():
            if found is None and len(self._passes) == _MOST_KINDS:
                del self._passes[next(iter(self._passes))]
            found = self._passes[kind] = Pass()
        return found

    def _methods_now(self) -> list[Any]:
        return [method for kind in self._classes for method in (kind.forward, kind.backward)]

    # --- making lists ---------------------------------------------------------------------------

    def _list_forward(self, row: Row, now: Pass, x: np.ndarray, logits: Any, is_lent: bool) -> Any:
        is_lent = is_lent and x.flags.writeable and np.shares_memory(x, memory_of(x))
        now.forward, now.x, now.is_lent = Capture(), x if is_lent else _place_for(x), is_lent
        now.take(x)
        started = time.perf_counter()
        with capturing(now.forward):
            y = row.run_forward(now.x, logits)
        if time.perf_counter() - started > _LONG or not isinstance(y, np.ndarray):
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

    def _try(self, row: Row, now: Pass, dy: np.ndarray, logits: Any) -> Any:
        """The backward pass as always; then see whether the lists do the same."""
        np.copyto(now.dy, dy)
        dx = row.run_backward(now.dy, logits, now.to_input)
        if self._weights() == now.weights != 0:
            return dx  # what is made of the weights may still lie where it did
        x, dy, after, step = now.x.copy(), now.dy.copy(), self._state(), row.clock.step
        now.stage = Stage.REFUSED
        try:
            np.multiply(x[::-1], 0.75, now.x)
            np.multiply(dy[::-1], 0.75, now.dy)
            self._begin(row, now)
            self._run_forward(now)
            now.backward.run()
            found = self._left_behind(now)
            self._begin(row, now)
            self._run_as_always(row, now, logits)
            is_same = self._left_behind(now) == found
            # And once more what the caller has asked for.
            np.copyto(now.x, x)
            np.copyto(now.dy, dy)
            self._begin(row, now)
            row.clock.step = step - 1
            dx = self._run_as_always(row, now, logits)
        except BaseException:
            self._set_state(after)
            for layer in self._family:
                layer.forget()
            raise
        finally:
            row.clock.step = step
        now.stage = Stage.TRUSTED if is_same else Stage.REFUSED
        return dx

    def _run_as_always(self, row: Row, now: Pass, logits: Any) -> Any:
        row.run_forward(now.x, logits)
        return row.run_backward(now.dy, logits, now.to_input)

    def _begin(self, row: Row, now: Pass) -> None:
        """Put the state back, and NaN wherever the passes write."""
        self._set_state(now.before)
        for workspace in row.workspaces():
            workspace.spoil()
        for layer in self._leaves:
            if layer.trainable:
                for gradient in layer.grads.values():
                    gradient.fill(np.nan)

    def _state(self) -> list[np.ndarray]:
        return [array.copy() for layer in self._leaves for array in layer.state.values()]

    def _set_state(self, values: list[np.ndarray]) -> None:
        arrays = (array for layer in self._leaves for array in layer.state.values())
        for array, value in zip(arrays, values, strict=True):
            array[...] = value

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
            remembered = vars(layer)["_remembered"] or ()
            left += [each for each in remembered if isinstance(each, np.ndarray)]
        return [_sum(array) for array in left]


def _place_for(array: np.ndarray) -> np.ndarray:
    """Memory for an array like this one, in which images lie as layers like it."""
    memory = memory_of(array)
    return seen(Workspace(keep=False).array("", memory.shape, memory.dtype))


def _sum(array: np.ndarray) -> int:
    """Checksum."""
    return zlib.crc32(memory_of(array).data.cast("B")) if array.size else 0
