"""The interface of all layers, and the checks of what goes into one.

A layer checks the shape it is given, calls a kernel and returns. Its arrays are a thought of their
own (`arrays`), and so are its memory (`memory`) and how it is written down (`described`).
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checks
from . import settings, spoken
from .arrays import WithArrays
from .described import from_spec, own_classes
from .memory import Shape, WithMemory, looked_at
from .symbols import Symbol, called

if TYPE_CHECKING:
    from .wiring import Wiring


class Layer(WithArrays, WithMemory):
    """Base of all layers.

    A new kind of layer defines `output_shape`, `forward`, `backward`, and `arguments` if its
    constructor takes any; with parameters also `parameter_shapes` and `initial_values`.
    docs/layers.md goes through one.

    Neither x nor y nor `params` may be changed in place between a `forward(x, training=True)` and
    the `backward` that belongs to it: the layer remembers them, not copies. A layer that is called
    by itself refuses `backward` if they were, by all numbers of a small array and 128 of a large
    one. What any number of threads may call at once is `forward` without training.

    Examples
    --------
    >>> class Twice(Layer):
    ...     def forward(self, x, training=False):
    ...         return 2 * x
    ...
    ...     def backward(self, dy):
    ...         return 2 * dy
    >>> Twice().forward(np.float32([[1, 2]]))
    array([[2., 4.]], dtype=float32)
    """

    least_axes = 2  # of what goes in
    takes_several = False  # whether x is a list of arrays, as where branches of a graph meet
    inside: "tuple[Layer, ...]" = ()  # of a block: all that runs, which `wiring` connects
    wiring: "Wiring | None" = None

    def __init__(self, seed: int | None = None) -> None:
        WithArrays.__init__(self, checks.seed(type(self).__name__, seed))
        WithMemory.__init__(self)
        self._checked: tuple[Shape, Shape] | None = None

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of y for an x of `input_shape` (batch included).

        Raises
        ------
        ValueError
            If the layer cannot take such an input; names the layer, what it wanted and what it got.
        """
        return input_shape

    def __call__(self, *inputs: Symbol | Sequence[Symbol]) -> Symbol:
        """What the layer will give for a symbol, in a `Graph`; called again, it is shared.

        Raises
        ------
        TypeError, ValueError
            If it cannot take them; names the layer.
        """
        return called(self, inputs)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """y for a batch x; remembers what `backward` needs if `training`."""
        raise NotImplementedError(f"{self.name}: its class defines no forward(x, training=False)")

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """dLoss/dx from dLoss/dy, for the last forward(training=True); fills `grads`.

        Raises
        ------
        RuntimeError
            If there was no forward(x, training=True) before.
        ValueError
            If dy is not shaped like y.
        """
        raise NotImplementedError(
            f"{self.name}: its class defines no backward(dy), which training needs"
        )

    def check_input(self, x: np.ndarray) -> Shape:
        """Shape of y for this x; raises if the layer cannot take it."""
        try:
            return self._checked_shape(x)
        except (TypeError, ValueError):
            if self.is_alone:
                self.forget()  # or backward would be that of the pass before
            raise

    def _checked_shape(self, x: Any) -> Shape:
        if not isinstance(x, np.ndarray) or x.dtype not in (np.float32, np.float64):
            kind = f"{x.dtype} array" if isinstance(x, np.ndarray) else type(x).__name__
            raise TypeError(
                f"{self.name}: expected a float32 or float64 NumPy array, got {kind}; convert it "
                f"with np.asarray(x, np.float32), pixels from 0 to 255 scaled as in training; a "
                f"model does that by itself"
            )
        if type(x) is not np.ndarray:
            checks.refuse_masked(self.name, x)
        if x.dtype != self.dtype and self.parameter_shapes():
            raise TypeError(
                f"{self.name}: its parameters are {self.dtype} but the input is {x.dtype}; convert "
                f"one of them with astype(np.{x.dtype}) or x.astype(np.{self.dtype})"
            )
        checked = self._checked
        if checked is None or checked[0] != x.shape:
            if x.ndim < self.least_axes or 0 in x.shape:
                raise ValueError(
                    f"{self.name}: expected a batch of at least one sample, such as (N, features) "
                    f"or {spoken.images()}, got shape {spoken.shape(x.shape)}; one image is passed "
                    f"as x[None]"
                )
            self.check_loose_arrays()
            checked = self._checked = (x.shape, self.output_shape(x.shape))
        return checked[1]

    def _checked_setting(self, name: str, value: Any) -> Any:
        vars(self)["_checked"] = None  # it may decide about the shape of y
        return settings.checked(self, name, value)

    def _look(self) -> Iterator[tuple[str, bytes]]:
        yield from super()._look()
        if not self.children():
            for name, array in self.params.items():
                yield f"params[{name!r}]", looked_at(array)

    def astype(self, dtype: Any) -> "Layer":
        before = self.dtype
        super().astype(dtype)
        if self.dtype != before:
            self.forget()
        return self

    def summary_rows(self, input_shape: Shape | None) -> list[tuple[str, Shape | None, int]]:
        """(what it is, shape of its output, how many parameters), for `Sequential.summary`.

        Without an input shape there are no output shapes. A layer made of layers gives a row for
        itself, which counts no parameters, and rows for those inside.
        """
        output = None if input_shape is None else self.output_shape(input_shape)
        return [(repr(self), output, sum(array.size for array in self.params.values()))]

    def multiply_adds(self, input_shape: Shape) -> int:
        """Multiplications with a weight, each with its addition, for an x of `input_shape`."""
        return 0

    def __reduce__(self) -> Any:
        # Copies and pickled layers must not drag a model's memory along.
        arrays, frozen, own = self.copy_arrays(), self.frozen_leaves(), own_classes([self])
        clocks = {path: vars(leaf.own_clock) for path, leaf in self.leaves() if leaf.own_clock}
        clocks = copy.deepcopy(clocks)  # random choices go on where they were
        return _rebuild, (
            self.spec(),
            str(self.dtype),
            arrays,
            self.chosen_seed,
            frozen,
            own,
            clocks,
        )


def _rebuild(
    spec: dict[str, Any],
    dtype: str,
    arrays: dict[str, np.ndarray],
    seed: int | None,
    frozen: list[str],
    _: tuple[type, ...],
    clocks: Mapping[str, dict[str, int]] = MappingProxyType({}),
) -> Layer:
    layer = from_spec(spec).astype(dtype)
    layer.chosen_seed = seed
    for name, array in layer.named_arrays():
        array[...] = arrays[name]
    for path, leaf in layer.leaves():
        leaf.trainable = path not in frozen
        if leaf.own_clock is not None:
            vars(leaf.own_clock).update(clocks.get(path, {}))
    return layer
