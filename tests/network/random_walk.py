"""A random network beside its layers called one by one, and the words of what differs."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastcnn import backend, layers
from fastcnn.layers import Layer, memory
from tests.network.random_networks import Chance, Made, Net

Arrays = dict[str, np.ndarray]


def tuple_of(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def one_of(values: Sequence[Any]) -> Any:
    return tuple(values) if len(values) > 1 else values[0]


_NUMPYS = (  # words of a sentence that is not ours
    "broadcast", "operand", "object has no", "unpack", "out of bounds", "not subscript",
    "ufunc", "cannot reshape", "math domain", "0-dimensional", "unsupported",
)  # fmt: skip


def sentence(what: str, error: Exception) -> list[str]:
    """Whether a refusal is one that helps."""
    text = str(error)
    is_ours = isinstance(error, (ValueError, TypeError, RuntimeError))
    if is_ours and "\n" not in text and len(text) > 19 and not any(w in text for w in _NUMPYS):
        return []
    return [f"{what}: {type(error).__name__}: {text}"]


# --- layers one by one ----------------------------------------------------------------------------


class Walk:
    """A pass of a network as it is written: a copy of each layer for each call, by itself.

    Parameters
    ----------
    model : Sequential or Graph
        Stays as it is.
    dtype : dtype
        Of the pass.
    """

    def __init__(self, model: Net, dtype: Any) -> None:
        self._network, self._last = model.connections(), model.data_format == "channels_last"
        self._model, self.dtype = model, np.dtype(dtype)
        self._places = {id(layer): place for place, layer in enumerate(model.layers)}
        self._clock = copy.copy(model._clock)
        self._tape: list[tuple[Layer, list[int], int]] = []
        self._runs: list[tuple[int, Layer]] = []
        self.state: Arrays = {}

    def _turned(self, x: np.ndarray, back: bool) -> np.ndarray:
        if self._last and x.ndim == 4:
            return x.transpose(*((0, 2, 3, 1) if back else (0, 3, 1, 2)))
        return x

    def forward(self, x: Sequence[np.ndarray], training: bool) -> list[np.ndarray]:
        self._values = [self._turned(each, False).astype(self.dtype) for each in x]
        self._inputs, numbers = len(x), [*range(len(x))]
        for layer, sources in self._network.calls:
            place = self._places[id(layer)]
            again = sum(each == place for each, _ in self._runs)
            run = copy.deepcopy(layer).astype(self.dtype)
            path = f"{place}, call {again + 1}" if again else f"{place}"
            for at, leaf in run.leaves(path):
                leaf.path, leaf.clock = at, copy.copy(self._clock)
            for at, leaf in run.leaves(f"{place}"):
                for name in leaf.state:
                    if f"{at}.{name}" in self.state:
                        leaf.state[name] = self.state[f"{at}.{name}"]
            self._runs.append((place, run))
            numbers.append(self._call(run, [numbers[source] for source in sources], training))
            for at, leaf in run.leaves(f"{place}"):
                for name, array in leaf.state.items():
                    self.state[f"{at}.{name}"] = array.copy()
        self._outputs = [numbers[each] for each in self._network.outputs]
        return [self._turned(self._values[each], True).copy() for each in self._outputs]

    def _call(self, layer: Layer, given: list[int], training: bool) -> int:
        if isinstance(layer, layers.Residual):
            ways = []
            for way in (layer.main, layer.shortcut or ()):
                at = given[0]
                for each in way:
                    at = self._call(each, [at], training)
                ways.append(at)
            at = self._call(layers.Add(), ways, training)
            return at if layer.activation is None else self._call(layer.activation, [at], training)
        if isinstance(layer, layers.Concatenate):
            at = given[0]
            for each in layer.layers:
                at = self._call(each, [at], training)
            return self._call(layers.Concat(), [given[0], at], training)
        x: Any = [self._values[each] for each in given]
        self._values.append(layer.forward(x if layer.takes_several else x[0], training).copy())
        self._tape.append((layer, given, len(self._values) - 1))
        return len(self._values) - 1

    def backward(self, dys: Sequence[np.ndarray]) -> tuple[list[np.ndarray], Arrays]:
        """The gradients by the inputs, and by the parameters."""
        found: list[Any] = [None] * len(self._values)

        def add(value: int, part: np.ndarray) -> None:
            found[value] = part.copy() if found[value] is None else found[value] + part

        for value, dy in zip(self._outputs, dys, strict=True):
            add(value, self._turned(dy, False).astype(self.dtype))
        for layer, given, value in reversed(self._tape):
            if found[value] is None:
                continue
            dx = layer.backward(memory.seen(memory.memory_of(found[value])))
            for source, part in zip(given, dx if layer.takes_several else [dx], strict=True):
                add(source, part)
        gradients: Arrays = {}
        for place, run in self._runs:
            for at, leaf in run.leaves(f"{place}"):
                for name, array in leaf.grads.items() if leaf.trainable else ():
                    name = f"{at}.{name}"
                    gradients[name] = gradients[name] + array if name in gradients else array.copy()
        return [self._turned(found[i], True) for i in range(self._inputs)], gradients


def gradients_of(model: Net) -> Arrays:
    """Copies of those that are trained, by name."""
    return {
        f"{at}.{name}": array.copy()
        for place, layer in enumerate(model.layers)
        for at, leaf in layer.leaves(f"{place}")
        for name, array in (leaf.grads.items() if leaf.trainable else ())
    }


def states_of(model: Net) -> Arrays:
    return {
        f"{at}.{name}": array.copy()
        for place, layer in enumerate(model.layers)
        for at, leaf in layer.leaves(f"{place}")
        for name, array in leaf.state.items()
    }


def difference(found: Any, expected: Any, of_all: float, own: float, size: float) -> str | None:
    """In words how two arrays differ by more than `of_all` of a size, and `own` of themselves."""
    if found.shape != expected.shape:
        return f"shape {found.shape}, not {expected.shape}"
    if not np.isfinite(expected).all():
        return None
    most = float(np.abs(expected).max(initial=0))
    worst = float(np.abs(np.asarray(found, np.float64) - expected).max(initial=0))
    if not worst <= of_all * size + own * most:
        return f"off by {worst:.3g} of {most:.3g}, where others are {size:.3g}"
    return None


def differences(what: str, found: Arrays, expected: Arrays, of_all: float, own: float) -> list[str]:
    if found.keys() != expected.keys():
        return [f"{what}: {sorted(found.keys() ^ expected.keys())}"]
    size = max([1.0, *(float(np.abs(each).max(initial=0)) for each in expected.values())])
    if not np.isfinite(size):
        return []
    wrong = {name: difference(found[name], expected[name], of_all, own, size) for name in expected}
    return [f"{what}: {name} {text}" for name, text in wrong.items() if text]


# --- a step ---------------------------------------------------------------------------------------


def samples(
    made: Made, chance: Chance, count: int, dtype: Any = np.float32, is_any: bool = True
) -> list[np.ndarray]:
    """Inputs, in memory of one order or the other."""
    found = []
    shapes = made.inputs
    if made.others and is_any and chance.odds(0.3):
        shapes = (chance.one(made.others),)
    for shape in shapes:
        x = chance.rng.standard_normal((count, *shape)).astype(dtype)
        if x.ndim == 4 and chance.odds(0.4):  # the same, lying otherwise
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        found.append(x)
    return found


def step_and_walk(
    made: Made, chance: Chance, count: int, dtype: Any, name: str, exact: bool
) -> list[str]:
    """Compare a pass forward and back with the layers called one by one."""
    model, x = made.model, samples(made, chance, count, dtype)
    walk, plain = Walk(model, dtype), Walk(model, dtype)
    with backend(name):
        expected = walk.forward(x, training=True)
        answers = plain.forward(x, training=False)
    found = tuple_of(model.forward(one_of(x)))
    wrong = []
    for i, (a, b) in enumerate(zip(found, answers, strict=True)):
        if exact and a.tobytes() != b.tobytes():
            wrong.append(f"forward: output {i} has other bits than its layers")
        text = difference(a, b, 1e-5 if dtype == np.float32 else 1e-9, 0, np.abs(b).max(initial=1))
        wrong += [f"forward: output {i} {text}"] * bool(text)
    y = tuple_of(model.forward(one_of(x), training=True))
    dys = [chance.rng.standard_normal(each.shape).astype(dtype) for each in y]
    with backend(name):
        by_input, by_parameter = walk.backward(dys)
    dx = tuple_of(model.backward(one_of(dys)))
    of_all, own = (3e-5, 1e-4) if dtype == np.float32 else (1e-9, 1e-7)
    kind = f"{np.dtype(dtype)}, {count} samples"
    numbered = [{f"{i}": each for i, each in enumerate(row)} for row in (y, expected, dx, by_input)]
    wrong += differences(f"{kind}, training output", *numbered[:2], of_all, own)
    found_all = {**{f"input {i}": each for i, each in numbered[2].items()}, **gradients_of(model)}
    expected_all = {**{f"input {i}": each for i, each in numbered[3].items()}, **by_parameter}
    wrong += differences(f"{kind}, gradient of", found_all, expected_all, of_all, own)
    wrong += differences(f"{kind}, state", states_of(model), walk.state, of_all, own)
    return wrong
