"""The parameters of a model in one flat array, its gradients in another.

Layers keep their arrays by name, in the shapes that people expect (`layer.params["weight"]`), but
the memory of those arrays belongs to one `FlatParameters`. An optimizer then updates a whole model
with one pass over one array, and clipping or comparing gradients is one operation as well.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.changes import changed, mark
from kernels.workspace import Workspace

from ..layers import Layer
from ..layers.memory import Recollection

# Every array starts on a 64-byte border: a cache line, and the widest vector register.
_BORDER_BYTES = 64


@dataclass
class Stretch:
    """Parameters that lie one behind the other, and their gradients.

    Attributes
    ----------
    place : slice
        Where they lie among all parameters.
    values : array
        Float32 or float64 (size,), the parameters.
    gradients : array
        The same for dLoss/dparameter, as the last backward pass left them.
    decayed : int
        `values[:decayed]` are the weights.
    arrays : slice
        Which of the parameter arrays they are, in the order of `FlatParameters.slices`.
    steps : int
        How many an optimizer has made with them, the one that it makes included; it counts.
    """

    place: slice
    values: np.ndarray
    gradients: np.ndarray
    decayed: int
    arrays: slice
    steps: int = 0

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return self.values.dtype


class FlatParameters:
    """One array for the parameters of some layers, one for their gradients.

    The arrays called "weight" come first: they are what weight decay applies to. Between two
    arrays lies what brings the next one to a 64-byte border; it holds zeros, which every
    optimizer leaves at zero.

    A layer may be part of two models. Its memory then belongs to the one that asked last, and
    `bind` asks for it back; the values never differ.

    Attributes
    ----------
    values
        Float32 or float64 (size,), the parameters.
    gradients
        The same for dLoss/dparameter, as the last backward pass left them.
    decayed
        `values[:decayed]` are the weights.
    slices
        Array name ("0.weight", "3.main.1.gamma") -> its place in `values`.

    Raises
    ------
    ValueError
        If the layers do not all have the same dtype, or one of them comes twice.
    """

    def __init__(self, layers: "Iterable[tuple[str, Layer]]") -> None:
        layers = list(layers)
        leaves = [leaf for path, layer in layers for leaf in layer.leaves(path)]
        self._family = [inner for _, layer in layers for inner in layer.family()]
        self._layers = [leaf for _, leaf in leaves if leaf.params]
        if len({id(leaf) for _, leaf in leaves}) < len(leaves):
            raise ValueError(
                "the same layer object stands in two places; make a layer of its own for each"
            )
        places = [(path, leaf, name) for path, leaf in leaves for name in leaf.params]
        places.sort(key=lambda place: place[2] != "weight")  # stable: weights first
        dtypes = {leaf.dtype for _, leaf, _ in places} or {leaf.dtype for _, leaf in leaves}
        if len(dtypes) > 1:
            raise ValueError(
                "some layers have float32 and some float64 parameters; call astype on all of them"
            )
        self.dtype = dtypes.pop()
        border = _BORDER_BYTES // self.dtype.itemsize
        self.slices: dict[str, slice] = {}
        self._places: list[tuple[Layer, str, slice]] = []
        self.decayed = size = 0
        for path, leaf, name in places:
            start = -(-size // border) * border
            size = start + leaf.params[name].size
            self.slices[f"{path}.{name}" if path else name] = slice(start, size)
            self._places.append((leaf, name, slice(start, size)))
            if name == "weight":
                self.decayed = size
        aligned = Workspace(keep=False)
        self._claim = object()  # what the layers know of it: no reference back
        self.values = aligned.array("values", (size,), self.dtype, zeroed=True)
        self.gradients = aligned.array("gradients", (size,), self.dtype, zeroed=True)
        self._whole = self._stretch(0, len(places))
        self._trained: tuple[Any, list[Stretch]] = (None, [])
        self._bound_at: Any = None
        self._recollection = Recollection()
        self.bind()

    @property
    def count(self) -> int:
        """Number of parameters."""
        return sum(place.stop - place.start for place in self.slices.values())

    @property
    def trained_count(self) -> int:
        """Number of parameters that are not frozen."""
        return sum(place.stop - place.start for layer, _, place in self._places if layer.trainable)

    def trained_slices(self) -> dict[str, slice]:
        """Those of `slices` whose layer is not frozen."""
        names = zip(self.slices, self._places, strict=True)
        return {name: place for name, (layer, _, place) in names if layer.trainable}

    def trained(self) -> list[Stretch]:
        """What optimizers may change: everything, or what lies between frozen layers."""
        now = mark()
        if self._trained[0] != now:  # whether a layer is frozen is a thing of which `mark` tells
            self._trained = now, self._trained_now()
        return self._trained[1]

    def _trained_now(self) -> list[Stretch]:
        if all(layer.trainable for layer in self._layers):
            return [self._whole]
        is_trained = np.array([layer.trainable for layer, _, _ in self._places])
        every = self.alike(is_trained, slice(0, len(is_trained)))
        return [stretch for stretch in every if is_trained[stretch.arrays.start]]

    def alike(self, numbers: np.ndarray, arrays: slice) -> list[Stretch]:
        """Some of the arrays in stretches of the same number; numbers : one for each of all."""
        here = numbers[arrays]
        turns = np.flatnonzero(here[1:] != here[:-1]) + 1
        ends = [arrays.start, *(arrays.start + turns).tolist(), arrays.stop]
        return [self._stretch(first, stop) for first, stop in itertools.pairwise(ends)]

    def _stretch(self, first: int, stop: int) -> Stretch:
        """The arrays from the first on, and what lies between them."""
        place = slice(0, 0)
        if first < stop:
            place = slice(self._places[first][2].start, self._places[stop - 1][2].stop)
        decayed = min(max(self.decayed - place.start, 0), place.stop - place.start)
        values, gradients = self.values[place], self.gradients[place]
        return Stretch(place, values, gradients, decayed, slice(first, stop))

    def forget_passes(self) -> None:
        """Let no backward pass begin that belongs to values of before a step."""
        if not self._recollection.is_whole:
            self._recollection = self._family[0].recollection
            if not self._recollection.is_of(self._family):
                for layer in self._family:
                    layer.forget()
                return
        self._recollection.holds = False

    @property
    def is_bound(self) -> bool:
        """Whether every layer's arrays are views of `values` and `gradients`."""
        now = mark()
        if self._bound_at == now:
            return True
        if not all(layer.owner is self._claim for layer in self._layers):
            return False
        self._bound_at = now
        return True

    def bind(self) -> None:
        """Copy the layers' values here and make the layers' arrays views of this memory."""
        for layer, name, place in self._places:
            if layer.dtype != self.dtype:
                raise ValueError(
                    f"{layer.name} was turned into {layer.dtype} while its model is {self.dtype}; "
                    f"call the model's astype instead"
                )
            for flat, arrays in ((self.values, layer.params), (self.gradients, layer.grads)):
                view = flat[place].reshape(arrays[name].shape)
                if view is not arrays[name]:
                    view[...] = arrays[name]
                arrays.bind(name, view)
        for layer in self._layers:
            layer.owner = self._claim
        changed()
