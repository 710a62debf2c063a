"""What a random network goes through: its layers one by one, several steps, files, other libraries.

`faults` says what is wrong with one. Of each network are compared

- in float64, to nine digits: outputs, gradients and statistics with those of its layers called one
  by one with backend "loop" (`Walk`), which no plan, no list and no shared memory touches;
- in float32: the same with the layers as they are, outside training to the bit;
- bits: a life of several steps (`Life`) in two ways of running, with and without lists of kernels,
  with two threads and one, with large gradients that take turns and small ones that do not;
- what was handed out, after all that: nobody may have written there;
- `compile_for_inference`, files of our own, safetensors, ONNX by onnxruntime and back, PyTorch.
"""

import contextlib
import copy
import dataclasses
import io
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from fastcnn import Graph, backend, exchange, layers, load_model, optim
from fastcnn.layers import Layer, memory
from fastcnn.losses import CrossEntropyLoss, MSELoss
from fastcnn.network import replay
from fastcnn.training.diverged import TrainingDiverged
from kernels import jit
from tests.network.random_networks import Chance, Made, Net, build

Arrays = dict[str, np.ndarray]


def prepare() -> None:
    """What would only be said again and again."""
    warnings.simplefilter("ignore")


def tuple_of(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def one_of(values: Sequence[Any]) -> Any:
    return tuple(values) if len(values) > 1 else values[0]


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


# --- a life ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Way:
    """How a life is run: nothing of this may be seen in a bit."""

    threads: int
    lists: bool
    large: bool

    @contextlib.contextmanager
    def chosen(self) -> Iterator[None]:
        before = jit.get_threads()
        jit.set_threads(self.threads)
        try:
            with (
                mock.patch.object(replay, "_LONG", np.inf),
                mock.patch.object(replay, "is_possible", return_value=self.lists),
                mock.patch.object(memory, "_LARGE", 0 if self.large else 1 << 21),
            ):
                yield
        finally:
            jit.set_threads(before)


class Life:
    """Steps of training one after the other, and what people do in between.

    Attributes
    ----------
    seen : list of (str, bytes)
        All that could be seen, in order.
    wrong : list of str
        What is wrong by itself.
    """

    def __init__(self, number: int, folder: Path, is_walked: bool) -> None:
        self.chance, self.folder, self.is_walked = Chance(number, 2), folder, is_walked
        self.made = build(number)
        self.model = self.made.model
        self.optimizer = self._optimizer()
        self.seen: list[tuple[str, bytes]] = []
        self.wrong: list[str] = []
        self._held: list[tuple[str, np.ndarray, bytes]] = []
        self._kept: Arrays | None = None
        self._other: Graph | None = None
        self._lent: dict[Any, np.ndarray] = {}
        self._step = 0
        self._like_the_loop, self._to_input = self.chance.odds(0.3), self.chance.odds(0.5)
        self._logits = self.chance.odds(0.7)

    def _optimizer(self) -> optim.Optimizer:
        kinds = (
            lambda: optim.SGD(0.002, momentum=0.9),
            lambda: optim.SGD(0.002),
            lambda: optim.Adam(0.001),
        )
        return self.chance.one(kinds)()

    def run(self, steps: int) -> None:
        sizes = [self.chance.whole(1, 9 if self.chance.odds(0.9) else 40) for _ in range(2)]
        light = (
            "nothing", "ask", "ask", "write", "replace", "keep", "restore", "wrong_shape", "alone",
            "no_way_back", "state", "twice", "pixels", "refuse", "late",
        )  # fmt: skip
        heavy = (  # after these no list is trusted
            "freeze", "thaw", "save", "copy", "double", "backend", "momentum", "part", "train",
            "normalization",
        )  # fmt: skip
        for self._step in range(steps):
            if self._step > 4 and self.chance.odds(0.5):  # lists are run by then
                what = self.chance.one(heavy if self.chance.odds(0.25) else light)
                self.note(what, np.zeros(0))
                getattr(self, what)()
            size = sizes[0] if self.chance.odds(0.9) else sizes[1]
            self.step(size if self.chance.odds(0.97) else self.chance.whole(1, 9))
        for what, array, bits in self._held:
            if array.tobytes() != bits:
                self.wrong.append(f"{what} was handed out and has been overwritten")

    def note(self, what: str, array: np.ndarray) -> None:
        self.seen.append((f"step {self._step}: {what}", array.tobytes()))

    def hold(self, what: str, given: Any) -> None:
        """Something that was handed out."""
        for i, each in enumerate(tuple_of(given)):
            self.note(f"{what} {i}", each)
            self._held.append((f"step {self._step}: {what} {i}", each, each.tobytes()))

    # --- the step -------------------------------------------------------------------------------

    def step(self, size: int) -> None:
        chance, model = self.chance, self.model
        x = samples(self.made, chance, size, model.dtype)
        if chance.odds(0.9 if self._like_the_loop else 0.1):
            return self.as_the_loop_does(x)
        walks = chance.odds(0.5) and self.is_walked
        walk = Walk(model, model.dtype) if walks else None
        expected = walk.forward(x, training=True) if walk else []
        y = model.forward(one_of(x), training=True)
        self.hold("y", y)
        dys = [
            chance.rng.standard_normal(each.shape).astype(model.dtype) / size
            for each in tuple_of(y)
        ]
        for i, each in enumerate((*x, *dys)):
            self._held.append((f"step {self._step}: what was given, {i},", each, each.tobytes()))
        if chance.odds(0.15):
            self.ask()
        to_input = self._to_input if chance.odds(0.9) else not self._to_input
        dx = model.backward(one_of(dys), to_input or walk is not None)
        if to_input:
            self.hold("dx", dx)
        for name, array in gradients_of(model).items():
            self.note(f"gradient of {name}", array)
        if walk:
            self.compare(walk, expected, dys, tuple_of(y), tuple_of(dx))
        self.optimizer.step(model)
        self.note_arrays()

    def note_arrays(self) -> None:
        for name, array in self.model.copy_arrays().items():
            self.note(name, array)

    def compare(self, walk: Walk, expected: Any, dys: Any, y: Any, dx: Any) -> None:
        by_input, by_parameter = walk.backward(dys)
        of_all, own = (3e-5, 1e-4) if self.model.dtype == np.float32 else (1e-9, 1e-7)
        what = f"step {self._step}, one by one"
        pairs = (y, expected), (dx, by_input)
        (a, b), (c, d) = [
            [{f"{i}": array for i, array in enumerate(row)} for row in pair] for pair in pairs
        ]
        self.wrong += differences(f"{what}: y", a, b, of_all, own)
        self.wrong += differences(
            f"{what}: gradient", {**c, **gradients_of(self.model)}, {**d, **by_parameter},
            of_all, own,
        )  # fmt: skip
        self.wrong += differences(f"{what}: state", states_of(self.model), walk.state, of_all, own)

    def as_the_loop_does(self, x: list[np.ndarray]) -> None:
        """With memory that is filled anew for each batch."""
        model, size = self.model, len(x[0])
        given = model.taken("test", one_of(x))
        key = given.shape, str(model.dtype)
        if key not in self._lent:
            lies = memory.memory_of(given) if model.data_format == "channels_first" else given
            place = np.empty(lies.shape, lies.dtype)
            self._lent[key] = memory.seen(place) if model.data_format == "channels_first" else place
        lent = self._lent[key]
        lent[...] = given
        several = len(model.ends)
        logits: Any = self._logits if self.chance.odds(0.9) else not self._logits
        if several > 1 and self.chance.odds(0.5):
            logits = tuple(self.chance.odds(0.5) for _ in range(several))
        y = [each.copy() for each in tuple_of(model.forward_training(lent, logits))]
        dys = [self.chance.rng.standard_normal(each.shape).astype(model.dtype) / size for each in y]
        model.backward_training(one_of(dys), logits)
        for i, each in enumerate(y):
            self.note(f"y of the loop, {i}", each)
        for name, array in gradients_of(model).items():
            self.note(f"gradient of {name}", array)
        self.optimizer.step(model)
        self.note_arrays()

    # --- what happens in between ----------------------------------------------------------------

    def nothing(self) -> None:
        pass

    def leaves(self, with_arrays: bool = True) -> list[Layer]:
        found = [leaf for layer in self.model.layers for _, leaf in layer.leaves()]
        return [leaf for leaf in found if leaf.params] if with_arrays else found

    def ask(self) -> None:
        """A prediction."""
        x = samples(self.made, self.chance, self.chance.whole(1, 9), self.model.dtype)
        if self.chance.odds(0.3):
            with ThreadPoolExecutor(1) as pool:
                answers = pool.submit(self.model.forward, one_of(x)).result()
        else:
            answers = self.model.forward(one_of(x))
        self.hold("answer", answers)
        self.hold("said", self.model.predict(one_of(x), batch_size=self.chance.whole(1, 4)))
        if isinstance(answers, np.ndarray) and answers.ndim == 2:
            self.hold("logits", self.model.predict_logits(one_of(x), 3))
            if self.model.task != "regression":
                self.hold("probabilities", self.model.predict_proba(one_of(x), 2))
        if not self.is_walked or self.model.dtype != np.float32:
            return
        for a, b in zip(tuple_of(answers), Walk(self.model, np.float32).forward(x, False),
                        strict=True):  # fmt: skip
            text = difference(a, b, 1e-5, 0, float(np.abs(b).max(initial=0)))
            if text:
                self.wrong.append(f"step {self._step}: answer {text}")

    def pixels(self) -> None:
        """A prediction of images, or training with them."""
        if all(len(shape) == 3 for shape in self.made.inputs) and self.model.dtype == np.float32:
            x = [
                self.chance.rng.integers(0, 256, (self.chance.whole(1, 5), *shape), np.uint8)
                for shape in self.made.inputs[:1]
            ]
            x += [
                self.chance.rng.integers(0, 256, (len(x[0]), *shape), np.uint8)
                for shape in self.made.inputs[1:]
            ]
            training = self.chance.odds(0.5)
            y = self.model.forward(one_of(x), training)
            self.hold("y of pixels", y)
            if training:
                self.hold("dx of pixels", self.model.backward(y))

    def normalization(self) -> None:
        self.model.normalization = (self.chance.one((1 / 255, 1 / 128)), self.chance.one((0, -1)))

    def write(self) -> None:
        """Into an array of the layer's own."""
        if self.leaves():
            leaf = self.chance.one(self.leaves())
            array = leaf.params[self.chance.one(list(leaf.params))]
            array *= 1.1

    def replace(self) -> None:
        if self.leaves():
            leaf = self.chance.one(self.leaves())
            name = self.chance.one(list(leaf.params))
            leaf.params[name] = np.array(leaf.params[name])[::-1]

    def state(self) -> None:
        found = [leaf for leaf in self.leaves(False) if leaf.state]
        if found:
            leaf = self.chance.one(found)
            leaf.state["running_mean"] = leaf.state["running_mean"] + 0.1

    def freeze(self) -> None:
        if self.chance.odds(0.5):
            self.model.freeze(self.chance.whole(0, len(self.model.layers) - 1))
        else:
            self.chance.one(self.leaves(False)).trainable = False

    def thaw(self) -> None:
        self.model.freeze(0)

    def save(self) -> None:
        """To a file and back: the optimizer's momentum stays with it."""
        path = self.folder / f"life{self.is_walked}.npz"
        self.model.save(path)
        self.follow(load_model(path))

    def copy(self) -> None:
        self.follow(copy.deepcopy(self.model))

    def follow(self, model: Any) -> None:
        self.model, self._other = model, None
        self.made = self.made._replace(model=model)
        fresh = self._optimizer()
        if type(fresh) is type(self.optimizer) and fresh.arguments() == self.optimizer.arguments():
            fresh.load_state_arrays(self.optimizer.state_arrays())
        self.optimizer = fresh

    def keep(self) -> None:
        self._kept = self.model.copy_arrays()

    def restore(self) -> None:
        if self._kept is not None:
            self.model.load_arrays(self._kept)

    def wrong_shape(self) -> None:
        x = samples(self.made, self.chance, 2, self.model.dtype)
        x[0] = x[0][..., None]
        try:
            self.model.forward(one_of(x), training=True)
        except (ValueError, TypeError) as error:
            self.sentence(error)

    def sentence(self, error: Exception) -> None:
        self.wrong += sentence(f"step {self._step}", error)

    def refuse(self) -> None:
        """A gradient that does not fit."""
        x = samples(self.made, self.chance, 3, self.model.dtype)
        y = tuple_of(self.model.forward(one_of(x), training=True))
        try:
            self.model.backward(one_of([each[1:] for each in y]))
        except (ValueError, TypeError) as error:
            self.sentence(error)
        else:
            self.wrong.append(f"step {self._step}: took gradients of other samples")

    def double(self) -> None:
        """A step in float64."""
        if self.model.dtype == np.float32 and not self.optimizer.state_names():
            self.model.astype(np.float64)
            self.step(3)
            self.model.astype(np.float32)

    def backend(self) -> None:
        with backend(self.chance.one(("im2col", "loop"))):
            self.step(3)

    def momentum(self) -> None:
        for leaf in self.leaves(False):
            if isinstance(leaf, layers.BatchNorm) and self.chance.odds(0.5):
                leaf.momentum = 0.75

    def alone(self) -> None:
        """Somebody calls a layer."""
        x = self.model.prepared(one_of(samples(self.made, self.chance, 2, self.model.dtype)))
        if len(self.made.inputs) == 1:
            layer = self.model.connections().calls[0][0]
            if not layer.takes_several:
                training = self.chance.odds(0.5)
                y = layer.forward(x, training)
                self.hold("y of a layer", y)
                if training and self.chance.odds(0.5):
                    self.hold("dx of a layer", layer.backward(y))

    def no_way_back(self) -> None:
        x = samples(self.made, self.chance, self.chance.whole(1, 9), self.model.dtype)
        self.hold("y without a way back", self.model.forward(one_of(x), training=True))

    def twice(self) -> None:
        """Two ways back after one way there."""
        x = samples(self.made, self.chance, 4, self.model.dtype)
        y = self.model.forward(one_of(x), training=True)
        for i in range(2):
            self.hold(f"dx, time {i}", self.model.backward(y))
            for name, array in gradients_of(self.model).items():
                self.note(f"gradient of {name}, time {i}", array)

    def late(self) -> None:
        """The way back after a step of the optimizer, which moved the weights."""
        x = samples(self.made, self.chance, 4, self.model.dtype)
        y = self.model.forward(one_of(x), training=True)
        self.model.backward(y)
        self.optimizer.step(self.model)
        moved = any(leaf.trainable for leaf in self.leaves())
        try:
            self.model.backward(y)
        except RuntimeError as error:
            self.sentence(error)
        else:
            if moved:
                self.wrong.append(f"step {self._step}: went back after a step")
        self.note_arrays()

    def part(self) -> None:
        """Another network of some of the layers makes a step, or answers."""
        model = self.model
        if len(self.made.inputs) > 1:
            return
        if self._other is None:
            start = layers.Input(self.made.inputs[0], model.data_format)
            whole = tuple_of(model(start))
            inner = self.chance.one(whole)
            while inner.layer is not None and self.chance.odds(0.4):
                inner = inner.sources[0]
            if inner.layer is None:
                return
            self._other = Graph(start, inner, seed=None)
        x = samples(self.made, self.chance, 3, self._other.dtype)
        training = self.chance.odds(0.5)
        if self._other.dtype == model.dtype:
            y = self._other.forward(x[0], training)
            self.hold("y of a part", y)
            if training:
                self.hold("dx of a part", self._other.backward(y))

    def train(self) -> None:
        """`train`, where one row of numbers comes out."""
        model, chance = self.model, self.chance
        widths = [model.output_shape((1, *each)) for each in self.made.inputs[:1]] if (
            len(self.made.inputs) == 1
        ) else []  # fmt: skip
        if not widths or not isinstance(widths[0][0], int) or len(widths[0]) != 2:
            return
        if model.dtype != np.float32:
            return
        (x,), outputs = samples(self.made, chance, 7, is_any=False), widths[0][1]
        names = chance.odds(0.5) and outputs > 1
        y = chance.rng.integers(0, outputs, 7) if names else chance.rng.random(
            (7, outputs), np.float32
        )  # fmt: skip
        loss = CrossEntropyLoss() if names else MSELoss()
        self.optimizer = self._optimizer()
        options: dict[str, Any] = {
            "validation": (x, y) if chance.odds(0.5) else None,
            "precise_bn": 2 * chance.odds(0.3), "ema": 0.9 if chance.odds(0.3) else None,
            "clip_norm": 1.0 if chance.odds(0.3) else None, "drop_last": chance.odds(0.3),
            "track_gradients": chance.odds(0.3),
        }  # fmt: skip
        options["restore_best"] = options["validation"] is not None and chance.odds(0.5)
        try:
            history = model.train(
                x, y, loss=loss, optimizer=self.optimizer, epochs=2, batch_size=3, progress=False,
                **options,
            )  # fmt: skip
        except TrainingDiverged:
            return
        self.note("losses", np.array(history["loss"]))
        self.note_arrays()


def lives(number: int, steps: int) -> list[str]:
    """The bits of a life in two ways, and what is wrong with it by itself."""
    ways = Chance(number, 3)
    first = Way(2, lists=True, large=ways.odds(0.5))
    second = Way(1, lists=False, large=ways.odds(0.5))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for way, is_walked in ((first, False), (second, True)):
            life = Life(number, Path(folder), is_walked)
            # What only one of them does must not use up the other's numbers.
            with way.chosen():
                life.run(steps)
            found.append(life)
    wrong = [*found[0].wrong, *found[1].wrong]
    one, other = (each.seen for each in found)
    for (what, a), (also, b) in zip(one, other, strict=False):
        if what != also:
            return [*wrong, f"{what} is not {also}: the test's own fault"]
        if a != b:
            return [*wrong, f"{what}: other bits with {second} than with {first}"]
    return wrong


# --- `train` beside a loop of one's own -----------------------------------------------------------


def training(number: int) -> list[str]:
    """The same bits after `train` and after a loop of one's own, without dropout."""
    chance = Chance(number, 6)
    one, other = build(number), build(number)
    model, loss = other.model, MSELoss()
    shapes = [layer for each in model.layers for _, layer in each.leaves()]
    dropped = any(isinstance(each, (layers.Dropout, layers.SpatialDropout)) for each in shapes)
    sample = samples(one, chance, 7, is_any=False)
    y = tuple_of(model.forward(one_of(sample)))
    if dropped or len(y) > 1 or y[0].ndim != 2 or not np.isfinite(y[0]).all():
        return []
    targets = chance.rng.standard_normal(y[0].shape).astype(np.float32)
    for which in (one, other):
        which.model.freeze(0)
    optimizers = [optim.SGD(0.001, momentum=0.9) for _ in range(2)]
    try:
        one.model.train(
            one_of(sample), targets, loss=MSELoss(), optimizer=optimizers[0], epochs=3,
            batch_size=3, shuffle=False, progress=False,
        )  # fmt: skip
    except TrainingDiverged:
        return []
    for _ in range(3):
        for first in range(0, 7, 3):
            part = [each[first : first + 3] for each in sample]
            loss.forward(model.forward(one_of(part), training=True), targets[first : first + 3])
            model.backward(loss.backward(), input_gradient=False)
            optimizers[1].step(model)
    found, expected = one.model.copy_arrays(), model.copy_arrays()
    return [
        f"train: {name} has other bits than a loop of one's own"
        for name, array in expected.items()
        if array.tobytes() != found[name].tobytes()
    ]


# --- what does not fit ----------------------------------------------------------------------------

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


def misuse(number: int) -> list[str]:
    """Arrays that do not fit are taken, or refused in one sentence; afterwards all is as it was."""
    made, chance = build(number), Chance(number, 7)
    model = made.model
    x = samples(made, chance, 3, is_any=False)
    expected = tuple_of(model.forward(one_of(x)))
    wrong: list[str] = []
    several = len(x) > 1
    first = x[0]
    bad: list[tuple[str, Any]] = [
        ("an axis more", first[..., None]), ("an axis less", first[0]), ("none", first[:0]),
        ("a channel less", first[:, :-1]), ("a column less", first[..., :-1]),
        ("a channel more", np.repeat(first, 2, axis=1)), ("whole numbers", first.astype(np.int64)),
        ("float16", first.astype(np.float16)), ("complex", first.astype(complex)),
        ("words", np.full(first.shape, "a")), ("a list", first.tolist()), ("None", None),
        ("a number", 3.5), ("objects", first.astype(object)), ("flat", first.reshape(3, -1)),
        ("flat all", first.reshape(-1)), ("bool", first > 0), ("uint8", first.astype(np.uint8)),
    ]  # fmt: skip
    compiled = model.compile_for_inference()
    labels = np.zeros(3, int)
    calls: list[tuple[str, Any]] = [
        ("forward", model.forward), ("training forward", lambda a: model.forward(a, training=True)),
        ("predict", model.predict), ("predict_logits", model.predict_logits),
        ("predict_proba", model.predict_proba), ("compiled.forward", compiled.forward),
        ("compiled.predict", compiled.predict), ("evaluate", lambda a: model.evaluate(a, labels)),
        ("train", lambda a: copy.deepcopy(model).train(a, labels, epochs=1, progress=False)),
    ]  # fmt: skip
    for name, what in bad:
        for who, call in calls:
            if who == "train" and chance.odds(0.8):
                continue
            given = (what, *x[1:]) if several else what
            try:
                call(given)
            except TrainingDiverged:
                pass
            except Exception as error:
                wrong += sentence(f"{who} of {name} {np.shape(what)}", error)
    y = tuple_of(model.forward(one_of(x), training=True))
    for name, dy in (
        ("an axis more", [each[..., None] for each in y]), ("less", [each[1:] for each in y]),
        ("whole", [each.astype(int) for each in y]), ("none", None),
        ("a list", [each.tolist() for each in y]),
        ("float64", [each.astype(np.float64) for each in y]),
        ("one more", [*y, y[0]]),
    ):  # fmt: skip
        try:
            model.backward(None if dy is None else one_of(dy))
        except Exception as error:
            wrong += sentence(f"backward of {name}", error)
    for a, b in zip(tuple_of(model.forward(one_of(x))), expected, strict=True):
        if a.tobytes() != b.tobytes() and not _has_moved(model):
            wrong.append("after misuse the network says something else")
    return wrong


def _has_moved(model: Net) -> bool:
    """Whether statistics move in a forward pass of training."""
    return bool(states_of(model))


# --- other forms of the network -------------------------------------------------------------------


def forms(number: int, folder: Path) -> list[str]:
    """Compiled, in files, in ONNX, in PyTorch: the answers of the network itself."""
    made, chance = build(number), Chance(number, 4)
    model = made.model
    count = chance.whole(1, 9)
    x = [np.ascontiguousarray(each) for each in samples(made, chance, count, is_any=False)]
    expected = tuple_of(model.forward(one_of(x)))
    if not all(np.isfinite(each).all() for each in expected):
        return []
    wrong: list[str] = []
    double = copy.deepcopy(model).astype(np.float64)
    exact = tuple_of(double.forward(one_of([each.astype(np.float64) for each in x])))
    noise = [float(np.abs(a - b).max()) for a, b in zip(exact, expected, strict=True)]

    def same(what: str, found: Any, tolerance: float = 2e-5) -> None:
        found = tuple_of(found)
        if len(found) != len(expected):
            wrong.append(f"{what}: {len(found)} outputs")
            return
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            size = float(np.abs(b).max(initial=0)) + 30 * noise[i] / tolerance
            text = difference(np.asarray(a), b, tolerance, 0, size)
            if text:
                wrong.append(f"{what}: output {i} {text}")

    compiled = model.compile_for_inference()
    norms = any(
        type(leaf) is layers.BatchNorm for each in model.layers for _, leaf in each.leaves()
    )
    answers = tuple_of(compiled.forward(one_of(x)))
    same("compiled", answers)
    if not norms:
        for a, b in zip(answers, expected, strict=True):
            if a.tobytes() != b.tobytes():
                wrong.append("compiled: other bits, and there is no BatchNorm")
    if len(expected) == 1 and expected[0].ndim == 2:
        for who in ("predict", "predict_logits", "predict_proba"):
            a, b = (getattr(each, who)(one_of(x), 4) for each in (compiled, model))
            if a.shape != b.shape or (a != b).mean() > (norms or a.dtype.kind == "f"):
                wrong.append(f"compiled.{who} says something else")
            text = difference(a, b, 2e-5, 0, 1 + float(np.abs(b).max()) + 30 * noise[0] / 2e-5)
            if a.dtype.kind == "f" and text:
                wrong.append(f"compiled.{who}: {text}")
    if all(len(shape) == 3 for shape in made.inputs) and chance.odds(0.5):
        wrong += pixel_forms(made, folder, chance)
    held = [each.copy() for each in answers]
    one = [each[-1:] for each in x]
    with Way(1, True, False).chosen():
        last = tuple_of(compiled.forward(one_of(one)))
    for a, b in zip(last, held, strict=True):
        if a.tobytes() != b[-1:].tobytes():
            wrong.append("compiled: other bits for one sample by one thread")
    for a, b in zip(answers, held, strict=True):
        if a.tobytes() != b.tobytes():
            wrong.append("compiled: what was handed out has been overwritten")
    for name, save, load in (
        ("npz", model.save, load_model),
        ("safetensors", lambda p: exchange.save_safetensors(model, p), exchange.load_safetensors),
    ):
        save(folder / f"model.{name}")
        found = tuple_of(load(folder / f"model.{name}").forward(one_of(x)))
        if any(a.tobytes() != b.tobytes() for a, b in zip(found, expected, strict=True)):
            wrong.append(f"{name}: other bits")
    wrong += onnx_forms(made, x, folder, same)
    wrong += torch_forms(made, x, same, chance)
    with contextlib.redirect_stdout(io.StringIO()):
        model.summary()
        model.summary(None if len(x) > 1 else x[0].shape[1:])
        repr(model)
    return wrong


def session_of(path: Path) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def pixel_forms(made: Made, folder: Path, chance: Chance) -> list[str]:
    """Images of whole numbers, compiled and as ONNX."""
    model, count = copy.deepcopy(made.model), chance.whole(1, 5)
    scale = chance.one((1 / 255, 1 / 60))
    model.normalization = (scale, chance.one((0.0, -0.5)))
    x = [chance.rng.integers(0, 256, (count, *shape), np.uint8) for shape in made.inputs]
    expected = tuple_of(model.forward(one_of(x)))
    found = {"compiled": tuple_of(model.compile_for_inference().forward(one_of(x)))}
    with contextlib.suppress(ValueError):  # told of elsewhere
        shape = None if model.sample_shape or len(x) > 1 else x[0].shape[1:]
        exchange.save_onnx(model, folder / "pixels.onnx", pixels=True, input_shape=shape)
        session = session_of(folder / "pixels.onnx")
        names = [each.name for each in session.get_inputs()]
        found["onnxruntime"] = tuple(session.run(None, dict(zip(names, x, strict=True))))
        back = exchange.load_onnx(folder / "pixels.onnx")
        found["load_onnx"] = tuple_of(back.forward(one_of(x)))
    double = copy.deepcopy(model).astype(np.float64)
    exact = tuple_of(double.forward(one_of(x)))
    wrong = []
    for who, answers in found.items():
        for a, b, c in zip(answers, expected, exact, strict=True):
            size = float(np.abs(b).max()) + 30 * float(np.abs(b - c).max()) / 1e-4
            text = difference(a, b, 1e-4, 0, size)
            wrong += [f"{who} of pixels: {text}"] * bool(text)
    return wrong


def onnx_forms(made: Made, x: list[np.ndarray], folder: Path, same: Any) -> list[str]:
    path = folder / "model.onnx"
    for fold in (False, True):
        try:
            shape = None if made.model.sample_shape or len(x) > 1 else x[0].shape[1:]
            exchange.save_onnx(made.model, path, fold=fold, input_shape=shape)
        except ValueError as error:
            return refused("save_onnx", error)
        session = session_of(path)
        names = [each.name for each in session.get_inputs()]
        found = session.run(None, dict(zip(names, x, strict=True)))
        same(f"onnxruntime, fold={fold}", tuple(found), 1e-4)
        try:
            back = exchange.load_onnx(path)
        except ValueError as error:
            return refused("load_onnx", error)
        same(f"load_onnx, fold={fold}", back.forward(one_of(x)), 1e-4)
    return []


def torch_forms(made: Made, x: list[np.ndarray], same: Any, chance: Chance) -> list[str]:
    import torch

    model = made.model
    try:
        module = exchange.to_torch(model)
    except ValueError as error:
        return refused("to_torch", error)
    last = model.data_format == "channels_last"

    def turned(array: Any, axes: tuple[int, ...]) -> Any:
        return array.transpose(axes) if last and array.ndim == 4 else array

    to, back = (0, 3, 1, 2), (0, 2, 3, 1)
    given = [torch.tensor(np.ascontiguousarray(turned(each, to))) for each in x]
    try:
        with torch.no_grad():
            found = tuple_of(module(*given))
    except ValueError as error:  # PyTorch's norms refuse a single number
        return [] if "Expected more than 1" in str(error) else [f"torch: {error}"]
    same("to_torch", tuple(turned(each.numpy(), back) for each in found), 1e-3)
    if any(isinstance(leaf, (layers.Dropout, layers.SpatialDropout))
           for each in model.layers for _, leaf in each.leaves()):  # fmt: skip
        return []
    try:
        back_again = exchange.from_torch(module, one_of([tuple(each.shape[1:]) for each in given]))
    except ValueError as error:
        return refused("from_torch", error)
    found = tuple_of(back_again.forward(one_of([each.numpy() for each in given])))
    same("from_torch", tuple(turned(each, back) for each in found), 1e-4)
    # In float64, where no kink lies between a number and its rounding.
    double = copy.deepcopy(model).astype(np.float64)
    module = exchange.to_torch(double).train()
    given = [each.double().requires_grad_() for each in given]
    try:
        y = tuple_of(module(*given))
    except ValueError as error:  # more than one value per channel when training
        return [] if "Expected more than 1" in str(error) else [f"torch: {error}"]
    dys = [chance.rng.standard_normal(turned(each, back).shape) for each in
           [each.detach().numpy() for each in y]]  # fmt: skip
    torch.autograd.backward(y, [torch.tensor(turned(each, to).copy()) for each in dys])
    ours = tuple_of(double.forward(one_of([each.astype(np.float64) for each in x]), training=True))
    dx = tuple_of(double.backward(one_of(dys)))
    theirs = [turned(each.detach().numpy(), back) for each in y]
    wrong = differences(
        "torch, training output", dict(enumerate(ours)), dict(enumerate(theirs)), 1e-9, 1e-8
    )
    by_input = [turned(each.grad.numpy(), back) for each in given]
    return wrong + differences(
        "torch, gradient of input", dict(enumerate(dx)), dict(enumerate(by_input)), 1e-9, 1e-7
    )


REFUSALS: dict[str, int] = {}


def refused(who: str, error: Exception) -> list[str]:
    """A form that cannot be: said in one sentence."""
    text = str(error)
    key = f"{who}: {text.partition(': ')[2] or text}"
    REFUSALS[key] = REFUSALS.get(key, 0) + 1
    return [f"{who}: not a sentence: {text}"] if "\n" in text or len(text) < 20 else []


# --- all of it ------------------------------------------------------------------------------------


def one_by_one(number: int) -> list[str]:
    """Passes of a network beside its layers called one by one, in float32 and in float64."""
    chance = Chance(number, 5)
    made, double = build(number), build(number)
    wrong = step_and_walk(made, chance, chance.whole(1, 9), np.float32, "numba", exact=True)
    double.model.astype(np.float64)
    for _ in range(2):
        wrong += step_and_walk(double, chance, chance.whole(1, 9), np.float64, "loop", exact=False)
    return wrong


def faults(number: int, steps: int = 18) -> list[str]:
    """What is wrong with network number so and so."""
    wrong = [*one_by_one(number), *lives(number, steps), *training(number)]
    if number % 5 == 0:
        wrong += misuse(number)
    with tempfile.TemporaryDirectory() as folder:
        wrong += forms(number, Path(folder))
    return wrong
