"""What all layers share: arrays by name, checks, memory, and how a layer is written down.

A layer checks the shape it is given, calls a kernel and returns. Four-dimensional arrays are seen
as N, C, H, W and lie in memory as N, H, W, C: `memory_of` goes from the one to the other, which
copies only what another library made, and `seen` goes back, which never copies.
"""

import functools
import inspect
import itertools
import math
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.workspace import Workspace

from .. import checks, random
from ..checks import unknown
from .arrays import ParameterDict

if TYPE_CHECKING:
    from ..network.parameters import FlatParameters

Shape = tuple[int, ...]

# A layer made without a seed gets the next of these, so that two equal layers differ.
_next_seed = itertools.count()

# Every class of layers by name, for `from_spec`.
_classes: "dict[str, type[Layer]]" = {}

# Bytes of a gradient that finds no room in a core's cache.
_LARGE = 1 << 21

# What `backward` gives where nobody needs the input's gradient.
NO_GRADIENT = np.empty(0, np.float32)


def memory_of(x: np.ndarray) -> np.ndarray:
    """x as it lies in memory: (N, C, H, W) becomes a C-contiguous (N, H, W, C).

    A view where x already lies so, else a copy. Arrays of other ranks are made C-contiguous.
    """
    if x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)


def seen(y: np.ndarray) -> np.ndarray:
    """The opposite: an (N, H, W, C) array as the (N, C, H, W) view that people see."""
    return y.transpose(0, 3, 1, 2) if y.ndim == 4 else y


class Clock:
    """Where training is: what random choices during a forward pass are keyed by."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        self.step = 0


class Layer:
    """Base of all layers.

    A new kind of layer defines `output_shape`, `forward`, `backward`, and `arguments` if its
    constructor takes any; with parameters also `parameter_shapes` and `initial_values`.

    Neither x nor y may be changed in place between a `forward(x, training=True)` and the
    `backward` that belongs to it: the layer remembers them, not copies.

    Attributes
    ----------
    params
        Trained arrays by name ("weight", "bias", "gamma", "beta"); assigning to a name copies into
        the array.
    grads
        DLoss/dparameter by the same names; `backward` overwrites them.
    state
        Arrays that are saved but not trained (BatchNorm's running statistics).
    dtype
        Of params, grads and state; float32 unless `astype` was called.
    workspace
        Gives the arrays that live until the backward pass.
    scratch
        Gives those that live until the next layer has run.
    needs_input_gradient
        Whether anyone needs what `backward` returns; if not, it may return an empty array instead.
    """

    positional = 0  # how many arguments the name shows without saying what they are
    passes_through = False  # whether forward(training=False) returns its argument

    def __init_subclass__(cls) -> None:
        if not cls.__name__.startswith("_"):
            _classes[cls.__name__] = cls

    def __init__(self, seed: int | None = None) -> None:
        self.chosen_seed = seed
        self._seed_and_path = (next(_next_seed) if seed is None else seed, "")
        self._arrays: tuple[ParameterDict, ParameterDict, ParameterDict] | None = None
        self._fingerprint: int | None = None
        self.dtype = np.dtype(np.float32)
        self.owner: FlatParameters | None = None
        self.workspace = self.scratch = Workspace(keep=False)
        self.slot, self.gradient_slot = "y", "gradient"
        self._takes_turns = False
        self.needs_input_gradient = True
        self._trainable = True
        self.clock: Clock | None = None
        self.path = ""
        self._checked: tuple[Shape, Shape] | None = None
        self.memory: tuple[Any, ...] | None = None
        self._trained_like: tuple[Shape, np.dtype] = ((), self.dtype)

    # --- what a layer defines -------------------------------------------------------------------

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of y for an x of `input_shape` (batch included).

        Raises
        ------
        ValueError
            If the layer cannot take such an input; names the layer, what it wanted and what it got.
        """
        return input_shape

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """y for a batch x; remembers what `backward` needs if `training`."""
        raise NotImplementedError

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """dLoss/dx from dLoss/dy, for the last forward(training=True); fills `grads`.

        Raises
        ------
        RuntimeError
            If there was no forward(x, training=True) before.
        ValueError
            If dy is not shaped like y.
        """
        raise NotImplementedError

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments that would make such a layer, as JSON can hold them."""
        return {}

    def parameter_shapes(self) -> dict[str, Shape]:
        """Name -> shape of every trained array."""
        return {}

    def state_shapes(self) -> dict[str, Shape]:
        """Name -> shape of every array that is saved but not trained."""
        return {}

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Starting values of params and state; those not named start at zero."""
        return {}

    def children(self) -> "list[tuple[str, Layer]]":
        """Layers inside this one, with their names."""
        return []

    # --- arrays ---------------------------------------------------------------------------------

    @property
    def params(self) -> ParameterDict:
        """Trained arrays by name."""
        return self._ensure_arrays()[0]

    @property
    def grads(self) -> ParameterDict:
        """Gradients by the same names as `params`."""
        return self._ensure_arrays()[1]

    @property
    def state(self) -> ParameterDict:
        """Arrays that are saved but not trained."""
        return self._ensure_arrays()[2]

    def _ensure_arrays(self) -> tuple[ParameterDict, ParameterDict, ParameterDict]:
        """params, grads and state; made at first use, so that a model draws weights only once."""
        if self._arrays is None:
            groups = ("params", self.parameter_shapes()), ("grads", self.parameter_shapes())
            dicts = []
            for label, shapes in (*groups, ("state", self.state_shapes())):
                arrays = ParameterDict(f"{self.name}.{label}")
                for name, shape in shapes.items():
                    arrays.bind(name, np.zeros(shape, self.dtype))
                dicts.append(arrays)
            self._arrays = (dicts[0], dicts[1], dicts[2])
            self._fill()
        return self._arrays

    def _fill(self) -> None:
        params, _, state = self._ensure_arrays()
        seed, path = self._seed_and_path
        values = self.initial_values(random.generator(seed, "weights", path))
        for arrays in (params, state):
            for name in arrays:
                arrays[name] = values.get(name, np.zeros(arrays[name].shape))
        self._fingerprint = self._checksum()

    def _checksum(self) -> int:
        params, _, state = self._ensure_arrays()
        checksum = 0
        for array in (*params.values(), *state.values()):
            checksum = zlib.crc32(np.ascontiguousarray(array).data.cast("B"), checksum)
        return checksum

    def initialize(self, seed: int, path: str = "") -> None:
        """Give the parameters and the state new starting values, keyed by `seed` and `path`."""
        self._seed_and_path = (seed, path)
        if self._arrays is not None:
            self._fill()
        for name, child in self.children():
            child.initialize(seed, f"{path}.{name}" if path else name)

    def has_chosen_values(self) -> bool:
        """Whether someone decided on the values: by a seed, by writing them, or by training."""
        if self.chosen_seed is not None or self.owner is not None:
            return True
        return self._arrays is not None and self._checksum() != self._fingerprint

    def family(self) -> "Iterator[Layer]":
        """Yield this layer and all layers inside it."""
        yield self
        for _, child in self.children():
            yield from child.family()

    def leaves(self, path: str = "") -> "Iterator[tuple[str, Layer]]":
        """(path, layer) of the layers inside that have none inside themselves, or of this one."""
        children = self.children()
        if not children:
            yield path, self
        for name, child in children:
            yield from child.leaves(f"{path}.{name}" if path else name)

    @property
    def trainable(self) -> bool:
        """Whether this layer is trained; setting it is for all layers inside, too.

        A frozen layer (False) keeps its parameters to the bit, whatever the optimizer, and its
        gradients count for nothing. A frozen BatchNorm normalises with its running statistics in
        training as well, and keeps them. A layer made of layers is trainable if any of them is.
        """
        return any(leaf._trainable for _, leaf in self.leaves())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = checks.flag(self.name, "trainable", value)
        for _, leaf in self.leaves():
            leaf._trainable = value
            if leaf._arrays is not None and not value:
                for gradient in leaf.grads.values():
                    gradient[...] = 0

    @property
    def learns(self) -> bool:
        """Whether it has parameters that are trained."""
        return any(leaf.trainable and leaf.params for _, leaf in self.leaves())

    def frozen_leaves(self, path: str = "") -> list[str]:
        """The paths, as `leaves` has them, of what is frozen."""
        return [place for place, leaf in self.leaves(path) if not leaf.trainable]

    def astype(self, dtype: Any) -> "Layer":
        """Turn the arrays into float32 or float64, in place; returns the layer.

        Raises
        ------
        ValueError
            For any other dtype.
        """
        dtype = float_dtype(dtype, self.name)
        for _, child in self.children():
            child.astype(dtype)
        if self._arrays is not None and dtype != self.dtype:
            chosen = self.has_chosen_values()
            for arrays in self._arrays:
                for name, array in arrays.items():
                    arrays.bind(name, array.astype(dtype))
            if not chosen:
                self._fingerprint = self._checksum()
        if dtype != self.dtype:
            self.owner = None
            self.memory = None
        self.dtype = dtype
        return self

    # --- checks and memory during a pass --------------------------------------------------------

    def check_input(self, x: np.ndarray) -> Shape:
        """Shape of y for this x; raises if the layer cannot take it."""
        if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64):
            kind = f"{x.dtype} array" if isinstance(x, np.ndarray) else type(x).__name__
            raise TypeError(
                f"{self.name}: expected a float32 or float64 NumPy array, got {kind}; convert it "
                f"with np.asarray(x, np.float32)"
            )
        if x.dtype != self.dtype and self.parameter_shapes():
            raise TypeError(
                f"{self.name}: its parameters are {self.dtype} but the input is {x.dtype}; convert "
                f"one of them with astype(np.{x.dtype}) or x.astype(np.{self.dtype})"
            )
        if self._checked is None or self._checked[0] != x.shape:
            if x.ndim < 2 or 0 in x.shape:
                raise ValueError(
                    f"{self.name}: expected a batch of at least one sample, such as (N, features) "
                    f"or (N, C, H, W), got shape {x.shape}; one image is passed as x[None]"
                )
            self._checked = (x.shape, self.output_shape(x.shape))
        return self._checked[1]

    def remember(self, y: np.ndarray, *memory: Any) -> None:
        """Keep what the backward pass needs, and that it belongs to y (as people see it)."""
        self._trained_like = (y.shape, y.dtype)
        self.memory = memory

    def recall(self, dy: np.ndarray) -> Any:
        """What the last forward(training=True) remembered; raises if dy does not belong to it."""
        if self.memory is None:
            raise RuntimeError(f"{self.name}: backward needs a forward(x, training=True) before it")
        if not isinstance(dy, np.ndarray) or (dy.shape, dy.dtype) != self._trained_like:
            shape, dtype = self._trained_like
            is_array = isinstance(dy, np.ndarray)
            got = f"{dy.dtype} of shape {dy.shape}" if is_array else type(dy).__name__
            raise ValueError(
                f"{self.name}: backward expected a {dtype} gradient of shape {shape}, like the "
                f"output of the last forward(x, training=True), got {got}"
            )
        return self.memory

    def result(self, shape: Shape, dtype: np.dtype, training: bool) -> np.ndarray:
        """Memory for y: until the backward pass if `training`, else until the layer after next."""
        if training:
            return self.workspace.array("y", shape, dtype)
        return self.scratch.array(self.slot, shape, dtype)

    def gradient(self, shape: Shape, dtype: np.dtype, dy: np.ndarray) -> np.ndarray:
        """Memory for dx, until the layer before has used it; other memory than dy's.

        Small arrays have memory of their own, of which each core keeps its part in its cache. With
        large ones the layers of a row take turns with two buffers.
        """
        self._takes_turns |= math.prod(shape) * dtype.itemsize >= _LARGE
        if not self._takes_turns:
            return self.workspace.array("dx", shape, dtype)
        for turn in (0, 1):
            dx = self.scratch.array(f"{self.gradient_slot} {turn}", shape, dtype)
            if not np.may_share_memory(dx, dy):
                break
        return dx

    # --- how it is written down -----------------------------------------------------------------

    def summary_rows(self, input_shape: Shape | None) -> list[tuple[str, Shape | None, int]]:
        """(what it is, shape of its output, how many parameters), for `Sequential.summary`.

        Without an input shape there are no output shapes. A layer made of layers gives a row for
        itself, which counts no parameters, and rows for those inside.
        """
        output = None if input_shape is None else self.output_shape(input_shape)
        return [(repr(self), output, sum(array.size for array in self.params.values()))]

    @property
    def name(self) -> str:
        """The layer as it would be written in Python: what errors call it."""
        return repr(self)

    def __repr__(self) -> str:
        defaults = _defaults(type(self))
        parts = []
        for place, (name, value) in enumerate(self.arguments().items()):
            if place < self.positional:
                parts.append(repr(value))
            elif value != defaults.get(name, inspect.Parameter.empty):
                parts.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def spec(self) -> dict[str, Any]:
        """Type and constructor arguments, as JSON can hold them; `from_spec` takes it back."""
        return {"type": type(self).__name__, **self.arguments()}

    @classmethod
    def from_arguments(cls, arguments: dict[str, Any]) -> "Layer":
        """A new layer from what `arguments` gave."""
        return cls(**arguments)

    def copy_arrays(self, path: str = "") -> dict[str, np.ndarray]:
        """Copies of all params and state, by path."""
        return {name: array.copy() for name, array in self.named_arrays(path)}

    def named_arrays(self, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
        """(path and name, array) of all params and state, those of layers inside included."""
        for place, leaf in self.leaves(path):
            for arrays in (leaf.params, leaf.state):
                for name, array in arrays.items():
                    yield f"{place}.{name}" if place else name, array

    def __reduce__(self) -> Any:
        # Copies and pickled layers must not drag a model's memory along.
        arrays, frozen = self.copy_arrays(), self.frozen_leaves()
        return _rebuild, (self.spec(), str(self.dtype), arrays, self.chosen_seed, frozen)


def _rebuild(
    spec: dict[str, Any],
    dtype: str,
    arrays: dict[str, np.ndarray],
    seed: int | None,
    frozen: list[str],
) -> Layer:
    layer = from_spec(spec).astype(dtype)
    layer.chosen_seed = seed
    for name, array in layer.named_arrays():
        array[...] = arrays[name]
    for path, leaf in layer.leaves():
        leaf.trainable = path not in frozen
    return layer


@functools.cache
def _defaults(cls: type[Layer]) -> dict[str, Any]:
    parameters = inspect.signature(cls).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def from_spec(spec: Any) -> Layer:
    """A new layer from what `Layer.spec` gave.

    Raises
    ------
    ValueError
        If there is no such layer, or it cannot have such arguments.
    """
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise ValueError(f"a layer is described by a dict with a 'type', got {spec!r:.200}")
    arguments = {name: value for name, value in spec.items() if name != "type"}
    if spec["type"] not in _classes:
        raise ValueError(unknown("layer", spec["type"], tuple(_classes)))
    try:
        return _classes[spec["type"]].from_arguments(arguments)
    except TypeError as error:
        kind = spec["type"]
        raise ValueError(f"{kind} cannot be made from {arguments!r:.200}: {error}") from None


def float_dtype(dtype: Any, name: str) -> np.dtype:
    """`dtype` as a NumPy dtype, which must be float32 or float64."""
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = None
    if wanted not in (np.float32, np.float64):
        raise ValueError(f"{name}: the dtype must be float32 or float64, got {dtype!r}")
    return wanted  # type: ignore[return-value]
