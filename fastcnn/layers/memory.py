"""Where a layer's results lie, and what it remembers from the forward to the backward pass.

Four-dimensional arrays are seen as N, C, H, W and lie in memory as N, H, W, C: `memory_of` goes
from the one to the other, which copies only what another library made, and `seen` goes back, which
never copies.

Workspaces hold arrays for each thread by itself, so that any number of threads can run the same
layers; only training, which leaves something behind in the layers, is for one thread at a time.
"""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from kernels.changes import changed
from kernels.workspace import Workspace

from ..checks import refuse_masked
from ..conversion import for_kernels
from . import spoken
from .described import Described, is_own

Shape = tuple[int, ...]

# Bytes of a gradient that finds no room in a core's cache.
_LARGE = 1 << 21

_EVERY_PASS = ("needs_input_gradient",)  # what every pass sets

# What `backward` gives where nobody needs the input's gradient.
NO_GRADIENT = np.empty(0, np.float32)


def memory_of(x: np.ndarray) -> np.ndarray:
    """x as it lies in memory: (N, C, H, W) becomes a C-contiguous (N, H, W, C).

    A view where x lies so already, else a copy, also of what is read-only. Arrays of other ranks
    are made C-contiguous. One of another class becomes an array like all others first: the rows of
    an `np.matrix` are matrices.
    """
    if type(x) is not np.ndarray:
        x = np.asarray(x)
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    return x if x.flags.carray else for_kernels(x)


def seen(y: np.ndarray) -> np.ndarray:
    """The opposite: an (N, H, W, C) array as the (N, C, H, W) view that people see."""
    return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y


def as_image(x: np.ndarray) -> np.ndarray:
    """(N, C, L) as images of one row, so that they lie channels-last too; others as they are."""
    return x[:, :, None] if x.ndim == 3 else x


def as_given(y: np.ndarray, axes: int) -> np.ndarray:
    """The opposite, for a y of images where x had so many axes."""
    return y[:, :, 0] if axes == 3 else y


def in_memory(shape: Shape) -> Shape:
    """How a sample that layers see with this shape lies."""
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


class Clock:
    """Where training is: what random choices during a forward pass are keyed by."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        self.step = 0


class Place(NamedTuple):
    """Memory that the layers of a model share; replaced as a whole, whatever thread looks.

    Attributes
    ----------
    scratch : Workspace
        The memory.
    slot : str
        Name of the layer's result in it.
    gradient_slot : str
        The beginning of the names of its large gradients.
    """

    scratch: Workspace
    slot: str
    gradient_slot: str


class Recollection:
    """What the layers of a row remember of a pass that all of them made, as long as they do.

    So that they forget, or remember again, in one stroke.

    Attributes
    ----------
    layers : int
        How many.
    holds : bool
        Whether it is still to be remembered.
    is_whole : bool
        Whether no layer has remembered something else since.
    """

    def __init__(self, layers: int = 0) -> None:
        self.layers, self.holds, self.is_whole = layers, True, False

    def is_of(self, layers: "Sequence[WithMemory]") -> bool:
        """Whether it is that of these layers, and of no others."""
        are_all = self.is_whole and self.layers == len(layers)
        return are_all and all(layer.recollection is self for layer in layers)


_PLACES = 128


@functools.lru_cache(maxsize=100)
def _places(size: int) -> np.ndarray:
    """Where an array is looked at: by steps of the golden ratio, clear of rows and columns."""
    return (np.arange(1, _PLACES + 1) * ((5**0.5 - 1) / 2) % 1 * size).astype(np.intp)


def looked_at(array: np.ndarray) -> bytes:
    """All numbers of a small array, 128 of a large one."""
    if array.size <= 2 * _PLACES:
        return array.tobytes()
    numbers = array.reshape(-1) if array.flags.c_contiguous else array.flat
    return numbers[_places(array.size)].tobytes()


_OWN = Recollection()  # of a layer that was called by itself, or with layers that are


class WithMemory(Described):
    """The part of a layer that knows where its results lie and what it has remembered.

    Attributes
    ----------
    workspace : Workspace
        Gives the arrays that live until the backward pass.
    scratch : Workspace
        Gives those that live until the next layer has run.
    clock : Clock, optional
        That of the model whose part it is.
    own_clock : Clock, optional
        What random choices are keyed by where there is no model, in a layer that makes some.
    path : str
        Where it stands in that model.
    needs_input_gradient : bool
        Whether anyone needs what `backward` returns; if not, it may return an empty array instead.
    recollection : Recollection
        Whether what it remembers still holds.
    trainer : Turn, optional
        Whose turn it is to train it; see `fastcnn.network.turns`.
    """

    read_anew: tuple[str, ...] = _EVERY_PASS
    """What is set without another kernel being called: `renew` reads it, or every pass sets it."""
    own_clock: Clock | None = None
    passes_through = False  # whether forward(training=False) returns its argument

    def __init__(self) -> None:
        self.workspace = Workspace(keep=False)
        self.place = Place(self.workspace, "y", "gradient")
        self.clock: Clock | None = None
        self.path = ""
        self.needs_input_gradient = True
        self.trainer: Any = None
        self.recollection = _OWN
        self._takes_turns = False
        self._remembered: tuple[Any, ...] | None = None
        self._seen: list[tuple[str, bytes]] | None = None
        self._trained_like: tuple[Shape, np.dtype] = ((), np.dtype(np.float32))

    def __setattr__(self, name: str, value: Any) -> None:
        is_setting = name[0] != "_" and name not in _EVERY_PASS and not is_own(self)
        super().__setattr__(name, self._checked_setting(name, value) if is_setting else value)
        if is_setting and name not in self.read_anew:
            changed()  # it may decide about kernels

    def _checked_setting(self, name: str, value: Any) -> Any:
        """What to keep of an attribute that is set."""
        return value

    @property
    def scratch(self) -> Workspace:
        """Memory that lives until the next layer has run."""
        return self.place.scratch

    @property
    def is_alone(self) -> bool:
        """Whether it is called by itself, and not in a pass of a network."""
        return not self.scratch.keep

    def remember(self, y: np.ndarray, *memory: Any) -> None:
        """Keep what the backward pass needs, and that it belongs to y (as people see it)."""
        self.remember_with(_OWN, memory, (y.shape, y.dtype))
        if self.is_alone:  # what lies between is the caller's
            vars(self)["_seen"] = list(self._look())

    def _look(self) -> Iterator[tuple[str, bytes]]:
        """All that `backward` needs and people can write into: what it is, and numbers of it."""
        for kept in self._remembered or ():
            for each in kept if isinstance(kept, list) else (kept,):
                if isinstance(each, np.ndarray):
                    yield "what went in or came out", looked_at(each)

    def remember_with(
        self, recollection: Recollection, memory: Any, trained_like: tuple[Shape, np.dtype]
    ) -> None:
        """Keep it as long as the recollection holds that this layer has with others."""
        own = vars(self)
        own["recollection"].is_whole = False
        own["recollection"], own["_remembered"] = recollection, memory
        own["_trained_like"], own["_seen"] = trained_like, None

    def recall(self, dy: np.ndarray) -> Any:
        """What the last forward(training=True) remembered; raises if dy does not belong to it."""
        memory = self.remembered()
        if not isinstance(dy, np.ndarray) or (dy.shape, dy.dtype) != self._trained_like:
            shape, dtype = spoken.shape(self._trained_like[0]), self._trained_like[1]
            is_array = isinstance(dy, np.ndarray)
            got = f"{dy.dtype} of shape {spoken.shape(dy.shape)}" if is_array else type(dy).__name__
            raise ValueError(
                f"{self.name}: backward expected a {dtype} gradient of shape {shape}, like the "
                f"output of the last forward(x, training=True), got {got}"
            )
        if type(dy) is not np.ndarray:
            refuse_masked(f"{self.name}: the gradient for backward", dy)
        return memory

    def remembered(self) -> Any:
        """What the last forward(training=True) remembered, for a gradient made on the way."""
        if self._remembered is None or not self.recollection.holds:
            raise RuntimeError(
                f"{self.name}: backward needs a forward(x, training=True) before it that was not "
                f"refused, and after the last step of an optimizer"
            )
        if self._seen is not None:
            for (what, now), (_, before) in zip(self._look(), self._seen, strict=True):
                if now != before:
                    raise RuntimeError(
                        f"{self.name}: {what} was changed in place between forward(x, "
                        f"training=True) and backward, which needs it as it was: change it after "
                        f"backward, or change a copy"
                    )
        return self._remembered

    def left_behind(self) -> tuple[Any, tuple[Shape, np.dtype]]:
        """What `remember` was last given, for `remember_with`."""
        return self._remembered, self._trained_like

    def renew(self) -> None:
        """Write anew the numbers that a pass in training has of its own, where they were written.

        Called where the kernels of the pass before are run again: then `forward` is not.
        """

    def forget(self) -> None:
        """Let the backward pass find nothing."""
        self.remember_with(_OWN, None, self._trained_like)

    def result(self, shape: Shape, dtype: np.dtype, training: bool) -> np.ndarray:
        """Memory for y: until the backward pass if `training`, else until the layer after next."""
        if training:
            return self.workspace.array("y", shape, dtype)
        place = self.place
        return place.scratch.array(place.slot, shape, dtype)

    def gradient(self, shape: Shape, dtype: np.dtype, dy: np.ndarray) -> np.ndarray:
        """Memory for dx, until the layer before has used it; other memory than dy's.

        Small arrays have memory of their own, of which each core keeps its part in its cache. With
        large ones the layers of a row take turns with two buffers.
        """
        self._takes_turns |= math.prod(shape) * dtype.itemsize >= _LARGE
        if not self._takes_turns:
            return self.workspace.array("dx", shape, dtype)
        place = self.place
        for turn in (0, 1):
            dx = place.scratch.array(f"{place.gradient_slot} {turn}", shape, dtype)
            if not np.may_share_memory(dx, dy):
                break
        return dx

    def bind_inside(self, place: Place) -> Place:
        """Give the layers inside their memory, if there are any; returns where y then lies."""
        return place
