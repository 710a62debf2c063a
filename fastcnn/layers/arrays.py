"""The arrays of a layer: parameters, gradients and state by name, and what of them is trained."""

import itertools
import zlib
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from kernels.changes import changed

from .. import checks, random
from .described import Described, is_own

Shape = tuple[int, ...]

# A layer made without a seed gets the next of these, so that two equal layers differ.
_next_seed = itertools.count()


# Of arrays, which somebody may look for as attributes.
_USUAL_NAMES = ("weight", "gamma", "beta", "running_mean", "running_var")


class ParameterDict(dict[str, np.ndarray]):
    """Arrays by name whose memory stays where it is: assigning copies INTO the array.

    So `layer.params["weight"] = new` takes effect although the memory belongs to a model.

    Raises
    ------
    ValueError
        If a name does not exist, or the new value has another shape, is not real numbers or too
        large for the array's dtype; or on an attempt to remove an array.

    Examples
    --------
    >>> from fastcnn.layers import Dense
    >>> layer = Dense(2, 3)
    >>> layer.params["bias"] = [1, 2, 3]
    >>> layer.params["bias"]
    array([1., 2., 3.], dtype=float32)
    """

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def bind(self, name: str, array: np.ndarray) -> None:
        """Make `array` itself the one called `name`, without copying."""
        if self.get(name, array) is not array:
            changed()
        super().__setitem__(name, array)

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self:
            known = ", ".join(self) or "none"
            raise ValueError(
                f"{self.label}: there is no array {name!r}; known are: {known}; a layer of one's "
                f"own names its arrays in parameter_shapes() (docs/layers.md)"
            )
        checks.refuse_masked(f"{self.label}[{name!r}]", value)
        array, value = self[name], np.asarray(value)
        if value.dtype.kind not in "fiub" or value.shape != array.shape:
            raise ValueError(
                f"{self.label}[{name!r}]: expected real numbers of shape {array.shape}, got "
                f"{value.dtype} of shape {value.shape}"
            )
        checks.refuse_too_large(f"{self.label}[{name!r}]", value, array.dtype)
        array[...] = value

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Assign several arrays, as `__setitem__` does."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def __ior__(self, other: Any) -> "ParameterDict":  # type: ignore[override]
        self.update(other)
        return self

    def _refuse(self, *_: Any) -> Any:
        raise ValueError(f"{self.label}: arrays can be written, but not added or removed")

    __delitem__ = pop = popitem = clear = setdefault = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return dict, (dict(self),)  # a copy is a plain dict


# params, grads, state
Groups = tuple[ParameterDict, ParameterDict, ParameterDict]


class WithArrays(Described):
    """The part of a layer that holds arrays by name.

    Attributes
    ----------
    params : ParameterDict
        Trained arrays by name ("weight", "bias", "gamma", "beta"); assigning to a name copies into
        the array.
    grads : ParameterDict
        DLoss/dparameter by the same names; `backward` overwrites them.
    state : ParameterDict
        Arrays that are saved but not trained (BatchNorm's running statistics).
    dtype : np.dtype
        Of all of them; float32 unless `astype` was called.
    owner : object, optional
        What says whose memory they are: compared, never used.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.chosen_seed = seed
        self._seed_and_path = (next(_next_seed) if seed is None else seed, "")
        self._arrays: Groups | None = None
        self._fingerprint: int | None = None
        vars(self)["dtype"] = np.dtype(np.float32)  # what people set is refused
        self.owner: object | None = None
        self._trainable = True

    def __getattr__(self, name: str) -> Any:
        """Say of what is not there why, where that is for want of the constructor above."""
        if not name.startswith("__") and "chosen_seed" not in vars(self):
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}: its __init__ must call "
                f"super().__init__(), which makes what every layer has"
            )
        hint = "; arrays are in layer.params and layer.state" if name in _USUAL_NAMES else ""
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def parameter_shapes(self) -> dict[str, Shape]:
        """Name -> shape of every trained array."""
        return {}

    def state_shapes(self) -> dict[str, Shape]:
        """Name -> shape of every array that is saved but not trained."""
        return {}

    def initial_values(self, generator: np.random.Generator) -> dict[str, np.ndarray]:
        """Starting values of params and state; those not named start at zero."""
        return {}

    @property
    def params(self) -> ParameterDict:
        """Trained arrays by name."""
        return (self._arrays or self._ensure_arrays())[0]

    @property
    def grads(self) -> ParameterDict:
        """Gradients by the same names as `params`."""
        return (self._arrays or self._ensure_arrays())[1]

    @property
    def state(self) -> ParameterDict:
        """Arrays that are saved but not trained."""
        return self._ensure_arrays()[2]

    def _ensure_arrays(self) -> Groups:
        """params, grads and state; made at first use, so that a model draws weights only once."""
        if self._arrays is None:
            groups = ("params", self.parameter_shapes()), ("grads", self.parameter_shapes())
            dicts = []
            for label, shapes in (*groups, ("state", self.state_shapes())):
                arrays = ParameterDict(f"{self.name}.{label}")
                for name, shape in shapes.items():
                    arrays.bind(name, np.zeros(shape, self.dtype))
                dicts.append(arrays)
            made = (dicts[0], dicts[1], dicts[2])
            self._fill(made)
            self._arrays = made  # whole at once: another thread may be looking
        return self._arrays

    def _fill(self, groups: Groups) -> None:
        params, _, state = groups
        seed, path = self._seed_and_path
        values = self.initial_values(random.generator(seed, "weights", path))
        for arrays in (params, state):
            for name in arrays:
                arrays[name] = values.get(name, np.zeros(arrays[name].shape))
        self._fingerprint = _checksum(groups)

    def initialize(self, seed: int, path: str = "") -> None:
        """Give the parameters and the state new starting values, keyed by `seed` and `path`."""
        self._seed_and_path = (seed, path)
        if self._arrays is not None:
            self._fill(self._arrays)
        for name, child in self.children():
            child.initialize(seed, f"{path}.{name}" if path else name)

    def has_chosen_values(self) -> bool:
        """Whether someone decided on the values: by a seed, by writing them, or by training."""
        if self.chosen_seed is not None or self.owner is not None:
            return True
        return self._arrays is not None and _checksum(self._arrays) != self._fingerprint

    def astype(self, dtype: Any) -> Self:
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
                self._fingerprint = _checksum(self._arrays)
        if dtype != self.dtype:
            self.owner = None
        vars(self)["dtype"] = dtype
        changed()
        return self

    def share_arrays(self, other: "WithArrays") -> None:
        """Have the parameters and the state of another such layer, and gradients of its own."""
        params, _, state = other._ensure_arrays()
        own = self._arrays
        if own is not None and all(
            mine.get(name) is array
            for mine, theirs in ((own[0], params), (own[2], state))
            for name, array in theirs.items()
        ):
            return
        groups = ParameterDict(params.label), ParameterDict("grads"), ParameterDict(state.label)
        for name, array in params.items():
            groups[0].bind(name, array)
            groups[1].bind(name, np.zeros(array.shape, array.dtype))
        for name, array in state.items():
            groups[2].bind(name, array)
        self._arrays, vars(self)["dtype"] = groups, other.dtype
        changed()

    def named_arrays(self, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
        """(path and name, array) of all params and state, those of layers inside included."""
        for place, leaf in self.leaves(path):
            for arrays in (leaf.params, leaf.state):
                for name, array in arrays.items():
                    yield f"{place}.{name}" if place else name, array

    def copy_arrays(self, path: str = "") -> dict[str, np.ndarray]:
        """Copies of all params and state, by path."""
        return {name: array.copy() for name, array in self.named_arrays(path)}

    # --- what of them is trained ----------------------------------------------------------------

    @property
    def trainable(self) -> bool:
        """Whether this layer is trained; setting it is for all layers inside, too.

        A frozen layer (False) keeps its parameters to the bit, whatever the optimizer, and its
        gradients count for nothing. A frozen BatchNorm normalises with its running statistics in
        training as well, and keeps them. A layer made of layers is trainable if any of them is.
        """
        children = self.children()
        return any(child.trainable for _, child in children) if children else self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = checks.flag(self.name, "trainable", value)
        for _, leaf in self.leaves():
            leaf._trainable = value
            if leaf._arrays is not None and not value:
                for gradient in leaf.grads.values():
                    gradient[...] = 0
        changed()

    @property
    def learns(self) -> bool:
        """Whether it has parameters that are trained."""
        return any(leaf.trainable and leaf.params for _, leaf in self.leaves())

    def frozen_leaves(self, path: str = "") -> list[str]:
        """The paths, as `leaves` has them, of what is frozen."""
        return [place for place, leaf in self.leaves(path) if not leaf.trainable]

    def check_loose_arrays(self) -> None:
        """Raise if a layer of one's own keeps weights where nothing trains or saves them."""
        if not is_own(self):
            return
        for name, value in vars(self).items():
            if not name.startswith("_") and name != "owner" and _holds_floats(value):
                raise TypeError(
                    f"{self.name}: self.{name} is neither trained nor saved; name it in "
                    f"parameter_shapes() and use self.params[{name!r}], or in state_shapes() if it "
                    f"is saved but not trained; a constant is called self._{name} (docs/layers.md)"
                )


def _holds_floats(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_floats, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_floats, value))
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _checksum(groups: Groups) -> int:
    """Of the params and the state."""
    params, _, state = groups
    checksum = 0
    for array in (*params.values(), *state.values()):
        checksum = zlib.crc32(np.ascontiguousarray(array).data.cast("B"), checksum)
    return checksum


def float_dtype(dtype: Any, name: str) -> np.dtype:
    """`dtype` as a NumPy dtype, which must be float32 or float64."""
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        wanted = None
    if wanted not in (np.float32, np.float64):
        raise ValueError(f"{name}: the dtype must be float32 or float64, got {dtype!r}")
    return wanted  # type: ignore[return-value]
