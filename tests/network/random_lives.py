"""Lives of a random network: steps of training, what people do in between, and `train`."""

import contextlib
import copy
import dataclasses
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from fastcnn import Graph, backend, layers, load_model, optim
from fastcnn.layers import Layer, memory
from fastcnn.losses import CrossEntropyLoss, MSELoss
from fastcnn.network import replay
from fastcnn.training.diverged import TrainingDiverged
from kernels import jit
from tests.network.random_networks import Chance, build
from tests.network.random_walk import (
    Arrays,
    Walk,
    difference,
    differences,
    gradients_of,
    one_of,
    samples,
    sentence,
    states_of,
    tuple_of,
)

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
