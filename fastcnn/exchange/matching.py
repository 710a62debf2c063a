"""Arrays of another library brought to a model's, by name or by order."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..checks import refuse_too_large
from ..layers import Dense, Layer
from ..network.network import Network

Shape = tuple[int, ...]

# Our name of an array -> PyTorch's.
_THEIRS = {"gamma": "weight", "beta": "bias", "alpha": "weight"}
# What PyTorch counts and we do not, and what we remember and PyTorch does not.
_COUNTER, _BEGUN = "num_batches_tracked", "begun"


class Slot(NamedTuple):
    """An array of a model, and what PyTorch would call it.

    Attributes
    ----------
    name, theirs : str
        "1.gamma" and "1.weight".
    array : array
        The model's own.
    turned : bool
        Whether PyTorch has it the other way round, (outputs, inputs).
    """

    name: str
    theirs: str
    array: np.ndarray
    turned: bool

    @property
    def their_shape(self) -> Shape:
        """The shape that PyTorch would have it in."""
        return self.array.shape[::-1] if self.turned else self.array.shape


def slots_of(layer: Layer, path: str = "") -> Iterator[Slot]:
    """The arrays of a layer and those inside it, in PyTorch's order."""
    for place, leaf in layer.leaves(path):
        for name, array in (*leaf.params.items(), *leaf.state.items()):
            if name != _BEGUN:
                start = f"{place}." if place else ""
                turned = isinstance(leaf, Dense) and name == "weight"
                yield Slot(start + name, start + _THEIRS.get(name, name), array, turned)


def slots(model: Network) -> list[Slot]:
    """The arrays of a model."""
    return [slot for i, layer in enumerate(model.layers) for slot in slots_of(layer, str(i))]


@dataclasses.dataclass(frozen=True)
class Matched:
    """Which array came from which; `str` shows it as a table.

    Attributes
    ----------
    how : str
        "by name" or "by order".
    pairs : tuple of (str, str)
        (the model's name, the other's name).
    unused : tuple of str
        The other's arrays that the model has no place for.

    Examples
    --------
    >>> print(Matched("by name", (("0.weight", "fc.weight"),), unused=("fc.scale",)))
    1 arrays by name:
      0.weight  from fc.weight
      not used: fc.scale
    """

    how: str
    pairs: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        width = max([len(name) for name, _ in self.pairs], default=0)
        lines = [f"{len(self.pairs)} arrays {self.how}:"]
        lines += [f"  {name:<{width}}  from {other}" for name, other in self.pairs]
        lines += [f"  not used: {name}" for name in self.unused]
        return "\n".join(lines)


def match(
    model: Network, shapes: Mapping[str, Shape], ours: bool = False
) -> tuple[Matched, list[tuple[Slot, str]]]:
    """Which of the other's arrays belongs to which of a model's.

    By name where all of the model's are there; else by order, if there are as many.

    Parameters
    ----------
    ours : bool
        Whether names and shapes are ours, not PyTorch's.

    Raises
    ------
    ValueError
        If they do not fit; one sentence with the first that does not.
    """
    wanted = slots(model)
    if ours:
        wanted = [slot._replace(theirs=slot.name, turned=False) for slot in wanted]
    given = [name for name in shapes if name.rpartition(".")[2] != _COUNTER]
    if all(slot.theirs in shapes for slot in wanted):
        how, found = "by name", [slot.theirs for slot in wanted]
    elif len(given) == len(wanted):
        how, found = "by order", given
    else:
        lacking = next(slot.theirs for slot in wanted if slot.theirs not in shapes)
        raise ValueError(
            f"the model has {len(wanted)} arrays, here are {len(given)}, and their names do not "
            f"agree: {lacking!r} is not among {_few(given)}"
        )
    pairs = list(zip(wanted, found, strict=True))
    for slot, name in pairs:
        if tuple(shapes[name]) != slot.their_shape:
            raise ValueError(
                f"the array {name!r} of shape {tuple(shapes[name])} does not fit {slot.name!r} of "
                f"the model, which needs {slot.their_shape}"
            )
    unused = tuple(name for name in given if name not in set(found))
    named = tuple((slot.name, name) for slot, name in pairs)
    return Matched(how, named, unused), pairs


def fill(slot: Slot, values: Any) -> None:
    """Write an array of the other library into one of a model.

    Raises
    ------
    ValueError
        If it does not hold real numbers, or some that are too large.
    """
    values = np.asarray(values)
    if values.dtype.kind != "f":
        raise ValueError(f"the array for {slot.name!r} must hold floats, got {values.dtype}")
    refuse_too_large(f"the array for {slot.name!r}", values, slot.array.dtype)
    slot.array[...] = values.T if slot.turned else values


def fill_all(
    model: Network, pairs: list[tuple[Slot, str]], get: Callable[[str], np.ndarray]
) -> None:
    """Write all arrays; running statistics have then begun."""
    for slot, name in pairs:
        fill(slot, get(name))
    for name, array in model.named_arrays():
        if name.rpartition(".")[2] == _BEGUN:
            array[...] = 1


def load_state(model: Network, state: Mapping[str, Any]) -> Matched:
    """Write the arrays of a PyTorch state dict into a model, by name or by order.

    Dense weights are turned from (outputs, inputs), and PyTorch's count of batches is left out.
    What `copy_arrays` of such a model gave is for `load_arrays`.

    Parameters
    ----------
    state : mapping
        Name -> tensor or array, such as `module.state_dict()`.

    Returns
    -------
    Matched
        A table of what came from where.

    Raises
    ------
    ValueError
        If they do not fit; the model is then as it was.

    Examples
    --------
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense, ReLU
    >>> model = Sequential(Dense(2, 1), ReLU())
    >>> state = {"fc.weight": np.ones((1, 2)), "fc.bias": np.zeros(1)}
    >>> print(load_state(model, state))
    2 arrays by order:
      0.weight  from fc.weight
      0.bias    from fc.bias
    """
    arrays = {name: as_array(value) for name, value in state.items()}
    matched, pairs = match(model, {name: array.shape for name, array in arrays.items()})
    for slot, name in pairs:
        if arrays[name].dtype.kind != "f":
            raise ValueError(f"the array {name!r} must hold floats, got {arrays[name].dtype}")
        refuse_too_large(f"the array {name!r}", arrays[name], slot.array.dtype)
    fill_all(model, pairs, arrays.__getitem__)
    return matched


def as_array(value: Any) -> np.ndarray:
    """A tensor of PyTorch, on whatever device, or anything that NumPy takes."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # NumPy has no such numbers.
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return np.asarray(value)


def _few(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") if names else "none"
