"""Passes whose kernels are only called again bring the bits of passes as always, whatever happens.

Each test trains a network twice, once as always, and compares all that can be seen at every step.
"""

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest

from fastcnn import Graph, Sequential, backend, layers, models, optim
from fastcnn.layers import (
    Add,
    AveragePool1D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    LeakyReLU,
    LogSoftmax,
    MaxPool1D,
    MaxPool2D,
    PixelShuffle,
    PReLU,
    ReLU,
    Reshape,
    Softmax,
    SpatialDropout,
)
from fastcnn.losses import CrossEntropyLoss
from fastcnn.network import replay
from fastcnn.network.replay import Stage
from fastcnn.training.augment import Augment
from kernels import jit
from kernels.changes import mark
from kernels.portion import Portion
from tests.layers.test_gradients import MAKERS

Net = Sequential | Graph
Arrays = list[np.ndarray]
Change = Callable[[Net, int], object]


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(replay, "_LONG", np.inf)  # whatever else the machine does
    before = jit.get_threads()
    jit.set_threads(2)
    yield
    jit.set_threads(before)


def convolutional() -> Sequential:
    return Sequential(
        Conv2D(2, 6, 3, padding=1), BatchNorm(6), LeakyReLU(0.1), MaxPool2D(2),
        Conv2D(6, 5, 3), ReLU(), Dropout(0.3), Flatten(), Dense(20, 4), seed=3,
    )  # fmt: skip


def batch(step: int, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(step)
    return rng.standard_normal((size, 2, 8, 8), np.float32), rng.integers(0, 4, size)


def one_step(model: Net, x: np.ndarray, y: np.ndarray, to_input: bool = False) -> Arrays:
    """All that can be seen after it."""
    loss = CrossEntropyLoss()
    outputs = model.forward(x, training=True)
    value = loss.forward(outputs, y)
    dx = model.backward(loss.backward(), to_input)
    gradients = [each.copy() for layer in model.layers for each in layer.grads.values()]
    optim.SGD(0.005, momentum=0.5).step(model)
    seen = [outputs, np.array(value), *gradients, *model.copy_arrays().values()]
    return seen if dx is None else [dx, *seen]


def nothing(model: Net, step: int) -> None:
    pass


def run(
    build: Callable[[], Net],
    change: Change = nothing,
    steps: int = 12,
    as_always: bool = False,
    step: Callable[[Net, int], Arrays] = lambda model, k: one_step(model, *batch(k)),
) -> tuple[Net, list[Arrays]]:
    with mock.patch.object(replay, "is_possible", return_value=not as_always):
        model, seen = build(), []
        for k in range(steps):
            change(model, k)
            seen.append(step(model, k))
    return model, seen


def stages(model: Net) -> list[Stage]:
    return [found.stage for found in model._row._replay._passes.values()]


def runs(model: Net) -> int:
    return model._row._replay._runs


def compared(build: Callable[[], Net], change: Change = nothing, **options: Any) -> Net:
    """The model that was trained, after all bits were compared with those of one as always."""
    model, seen = run(build, change, **options)
    always, expected = run(build, change, as_always=True, **options)
    assert runs(always) == 0
    for k, (mine, theirs) in enumerate(zip(seen, expected, strict=True)):
        for a, b in zip(mine, theirs, strict=True):
            assert a.tobytes() == b.tobytes(), f"step {k}"
    return model


def test_lists_are_run_soon():
    model = compared(convolutional)
    assert stages(model) == [Stage.TRUSTED]
    assert runs(model) == 1 + 12 - 3  # one on trial; memory has its size from the second pass on


@pytest.mark.parametrize("name", models.names())
def test_named_models(name):
    size = 5

    def step(model: Net, k: int) -> Arrays:
        rng = np.random.default_rng(k)
        x = rng.standard_normal((size, *(model.input_shape or ())), np.float32)
        return one_step(model, x, rng.integers(0, 10, size))

    model = compared(lambda: models.build(name), steps=5, step=step)
    assert stages(model) == [Stage.TRUSTED]


@pytest.mark.parametrize("kind", MAKERS)
def test_every_layer(kind):
    """With dx and without, and of two sizes by turns."""
    for number in range(4):

        def build(number: int = number) -> Sequential:
            rng = np.random.default_rng(number)
            layer, shape = MAKERS[kind](lambda low, high: int(rng.integers(low, high + 1)))
            model = Sequential(layer, seed=5)
            model.shape = shape  # type: ignore[attr-defined]
            return model

        def step(model: Any, k: int, number: int = number) -> Arrays:
            rng = np.random.default_rng((number, k))
            shape = (model.shape[0] + k // 2 % 2, *model.shape[1:])
            x = rng.standard_normal(shape, np.float32)
            y = model.forward(x, training=True)
            dx = model.backward(rng.standard_normal(y.shape, np.float32), True)
            gradients = [each.copy() for each in model.layers[0].grads.values()]
            optim.SGD(0.05).step(model)
            return [y, dx, *gradients, *model.copy_arrays().values()]

        model = compared(build, steps=16, step=step)
        assert Stage.LISTED not in stages(model)


@pytest.mark.parametrize("kind", sorted(MAKERS.keys() - {"Softmax", "LogSoftmax", "PReLU"}))
def test_no_layer_uses_numpy(kind):
    rng = np.random.default_rng(1)
    layer, shape = MAKERS[kind](lambda low, high: int(rng.integers(low, high + 1)))
    model = Sequential(layer, seed=5)
    for k in range(5):
        rng = np.random.default_rng(k)
        y = model.forward(rng.standard_normal(shape, np.float32), training=True)
        model.backward(rng.standard_normal(y.shape, np.float32))
        optim.SGD(0.05).step(model)
    assert stages(model) == [Stage.TRUSTED]


ARRANGED = {
    "series": lambda: [
        Reshape((2, 64)), Conv1D(2, 6, 3), ReLU(), MaxPool1D(2), SpatialDropout(0.2),
        Conv1D(6, 4, 3, stride=2), Dropout(0.3), AveragePool1D(2), Flatten(), Dense(28, 4),
    ],
    "images and rows": lambda: [
        Conv2D(2, 8, 3), PixelShuffle(2), SpatialDropout(0.4), Reshape((4, 6, 12)),
        Conv2D(4, 2, 3), Reshape((8, -1)), Reshape((80,)), Flatten(), Dense(80, 4),
    ],
    "boxes": lambda: [Reshape((2, 2, 4, 8)), Reshape((8, 2, 8)), Flatten(), Dense(128, 4)],
}  # fmt: skip


@pytest.mark.parametrize("kind", ARRANGED)
def test_nor_do_layers_that_arrange_numbers_in_a_row(kind):
    for to_input in (False, True):

        def step(model: Net, k: int, to_input: bool = to_input) -> Arrays:
            return one_step(model, *batch(k), to_input)

        model = compared(lambda: Sequential(*ARRANGED[kind](), seed=3), step=step)
        assert stages(model) == [Stage.TRUSTED]


@pytest.mark.parametrize(
    "layer", [Conv1D(3, 3, 3), Dropout(0.5), SpatialDropout(0.5), Reshape((5, 12)), MaxPool1D(3)],
    ids=repr,
)  # fmt: skip
def test_nor_does_a_network_that_takes_and_gives_series(layer):
    def step(model: Net, k: int) -> Arrays:
        rng = np.random.default_rng(k)
        y = model.forward(rng.standard_normal((4, 3, 20), np.float32), training=True)
        dx = model.backward(rng.standard_normal(y.shape, np.float32), True)
        optim.SGD(0.01).step(model)
        return [y, dx, *model.copy_arrays().values()]

    def build() -> Sequential:
        return Sequential(Conv1D(3, 3, 1), copy.deepcopy(layer), seed=1)

    assert stages(compared(build, step=step)) == [Stage.TRUSTED]


@pytest.mark.parametrize("layer", [Softmax(), LogSoftmax(), PReLU(7), PReLU()], ids=repr)
def test_nor_do_these_in_their_usual_place(layer):
    def build() -> Sequential:
        return Sequential(Flatten(), Dense(128, 7), copy.copy(layer), Dense(7, 4), seed=2)

    model = compared(build)
    assert stages(model) == [Stage.TRUSTED]


class _Copied(ReLU):
    """NumPy moves what a kernel computes next."""

    def apply(self, x: np.ndarray, y: np.ndarray) -> None:
        super().apply(x.copy(), y)


def test_numpy_in_the_middle_is_found():
    def build() -> Sequential:
        return Sequential(Conv2D(2, 6, 3), _Copied(), Flatten(), Dense(216, 4), seed=3)

    with mock.patch.object(replay, "is_own", return_value=False):  # as if it were of this package
        model = compared(build)
    assert stages(model) == [Stage.REFUSED]


# --- what changes on the way ----------------------------------------------------------------------


def at(step: int, change: Callable[[Any], object]) -> Change:
    return lambda model, k: change(model) if k == step else None


def set_(place: int, name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model.layers[place], name, value)


CHANGES: dict[str, Change] = {
    "a setting": at(6, set_(2, "alpha", 0.3)),
    "dropout": at(6, set_(6, "rate", 0.7)),
    "momentum": at(6, set_(1, "momentum", 0.4)),
    "momentum every time": lambda model, k: setattr(model.layers[1], "momentum", k / 20),
    "frozen": at(6, set_(0, "trainable", False)),
    "frozen norm": at(6, set_(1, "trainable", False)),
    "frozen and not": lambda model, k: model.freeze(3 if k in (2, 6, 7) else 0),
    "weights": at(6, lambda model: model.layers[0].params.update(bias=np.arange(6.0))),
    "weights in place": at(6, lambda model: model.layers[4].params["weight"].fill(0.01)),
    "state": at(6, lambda model: model.layers[1].state["running_mean"].fill(2)),
    "loaded": at(6, lambda model: model.load_arrays(convolutional().copy_arrays())),
    "clock": at(6, lambda model: model.set_clock(3, 50, 9)),
    "threads": lambda model, k: jit.set_threads(1 + k % 2),
    "predicted": lambda model, k: model.predict_proba(batch(k, 3 + 40 * k)[0]),
    "another head": at(6, lambda model: model.replace_head(4)),
    "to float64 and back": at(6, lambda model: model.astype(np.float64).astype(np.float32)),
    "layer of its own": at(6, lambda model: model.layers[4].forward(np.ones((1, 6, 5, 5), "f"))),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes(what):
    compared(convolutional, CHANGES[what])


@pytest.mark.parametrize("kind", MAKERS)
def test_frozen_layers_are_written_to(kind):
    """What is computed from the arrays of a layer alone has to be computed at every step."""

    def build() -> Sequential:
        rng = np.random.default_rng(1)
        layer, shape = MAKERS[kind](lambda low, high: int(rng.integers(low, high + 1)))
        layer.trainable = False
        model = Sequential(layer, seed=5)
        model.shape = shape  # type: ignore[attr-defined]
        return model

    def step(model: Any, k: int) -> Arrays:
        rng = np.random.default_rng(k)
        y = model.forward(rng.standard_normal(model.shape, np.float32), training=True)
        return [y, model.backward(rng.standard_normal(y.shape, np.float32), True)]

    def change(model: Net, k: int) -> None:
        if k > 6:
            for _, array in model.named_arrays():
                array *= 1.5

    compared(build, change, steps=9, step=step)


def test_a_frozen_norm_is_written_to():
    def change(model: Net, k: int) -> None:
        model.layers[1].trainable = False
        if k == 8:
            model.layers[1].state["running_var"].fill(3)
            model.layers[1].params["gamma"] = np.arange(6)

    compared(convolutional, lambda model, k: change(model, k) if k in (0, 8) else None)


def test_sizes_by_turns():
    model = compared(
        convolutional, step=lambda model, k: one_step(model, *batch(k, 3 + k % 3)), steps=18
    )
    assert stages(model) == [Stage.TRUSTED] * 3


def test_many_sizes():
    """Lists that are made in vain come to an end."""
    model = compared(
        convolutional, step=lambda model, k: one_step(model, *batch(k, 1 + k % 20)), steps=80
    )
    assert len(stages(model)) <= 8


def test_the_gradient_by_the_input_now_and_then():
    model = compared(convolutional, step=lambda model, k: one_step(model, *batch(k), k % 3 == 1))
    assert runs(model) > 5


def test_passes_without_a_way_back():
    def step(model: Net, k: int) -> Arrays:
        outputs = model.forward(batch(k)[0], training=True)
        return [outputs, *(one_step(model, *batch(k)) if k % 2 else ())]

    compared(convolutional, step=step)


def test_backward_twice():
    def step(model: Net, k: int) -> Arrays:
        y = model.forward(batch(k)[0], training=True)
        first = model.backward(np.ones_like(y))
        return [y, first, model.backward(y), *one_step(model, *batch(k))]

    compared(convolutional, step=step)


def between(change: Change) -> Callable[[Net, int], Arrays]:
    """A step with something between the way forward and the way back."""

    def step(model: Net, k: int) -> Arrays:
        x, y = batch(k)
        loss = CrossEntropyLoss()
        outputs = model.forward(x, training=True)
        loss.forward(outputs, y)
        before = [each.copy() for layer in model.layers for each in layer.grads.values()]
        change(model, k)
        dx = model.backward(loss.backward())
        after = [each.copy() for layer in model.layers for each in layer.grads.values()]
        optim.SGD(0.005).step(model)
        return [outputs, *before, dx, *after, *model.copy_arrays().values()]

    return step


BETWEEN: dict[str, Change] = {
    "nothing": nothing,
    "clock": lambda model, k: model.set_clock(7, 70),
    "weights": lambda model, k: model.layers[4].params.update(bias=np.arange(5.0) / 5),
    "a setting": lambda model, k: setattr(model.layers[6], "rate", 0.1 * (k % 8)),
    "frozen": lambda model, k: model.freeze(k % 2),
    "a layer alone": lambda model, k: model.layers[6].forward(np.ones((6, 5, 2, 2), "f"), True),
    "predicted": lambda model, k: model.predict_proba(batch(k, 7)[0]),
}


@pytest.mark.parametrize("what", BETWEEN)
def test_between_the_ways(what):
    compared(convolutional, step=between(BETWEEN[what]))


class Second(Portion):
    """The second half of a batch whose first half nobody computes."""

    processes = 2

    @property
    def begins(self) -> int:
        return 6


def test_a_part_of_a_batch_for_a_while():
    def step(model: Net, k: int) -> Arrays:
        with model.computing(Second()) if k in (1, 7) else contextlib.nullcontext():
            return one_step(model, *batch(k))

    compared(convolutional, step=step)


def test_weights_are_nan_for_a_while():
    """What differs in numbers does not in NaN."""

    def build() -> Sequential:
        return Sequential(Conv2D(2, 2, 3, padding=1), _Copied(), Flatten(), Dense(128, 4), seed=3)

    def change(model: Any, k: int) -> None:
        if k == 0:
            model.kept = model.copy_arrays()
        if k in (2, 3):
            model.layers[0].params["weight"].fill(np.nan)
            model.layers[0].params["bias"].fill(k)
        if k == 8:
            model.load_arrays(model.kept)

    compared(build, change)


def test_another_backend_for_a_while():
    def step(model: Net, k: int) -> Arrays:
        with backend("im2col" if k in (2, 7, 8) else "numba"):
            return one_step(model, *batch(k))

    compared(convolutional, step=step)


def test_layers_of_two_networks():
    def build() -> Sequential:
        model = convolutional()
        model.other = Sequential(*model.layers[:-1], Dense(20, 4, seed=1), seed=3)  # type: ignore[attr-defined]
        return model

    def step(model: Any, k: int) -> Arrays:
        return one_step(model.other if k % 5 == 4 else model, *batch(k))

    compared(build, step=step, steps=20)


def test_a_layer_called_twice():
    def build() -> Graph:
        x, dense = Input((2, 8, 8)), Dense(128, 128)
        y = Add()(dense(Flatten()(x)), dense(ReLU()(dense(Flatten()(x)))))
        return Graph(x, Dense(128, 4)(y), seed=2)

    model = compared(build)
    assert stages(model) == [Stage.TRUSTED]


def test_a_layer_called_twice_whose_second_gradient_is_zero_at_first():
    def build() -> Graph:
        x, dense = Input((2, 8, 8)), Dense(128, 128, seed=1)
        y = ReLU()(Dense(128, 128, seed=2)(dense(ReLU()(dense(Flatten()(x))))))
        return Graph(x, Dense(128, 4)(Add()(dense(Flatten()(x)), y)), seed=2)

    def change(model: Net, k: int) -> None:
        (gate,) = (layer for layer in model.layers if layer.chosen_seed == 2)
        gate.params["bias"] = np.full(128, 1.0 if k > 6 else -1000.0)

    model = compared(build, change)
    assert stages(model) == [Stage.TRUSTED]


def test_other_threads_train_and_predict():
    def step(model: Net, k: int) -> Arrays:
        seen: list[Arrays] = []
        asked = threading.Thread(target=lambda: model.predict(batch(k, 50)[0]))
        training = threading.Thread(target=lambda: seen.append(one_step(model, *batch(k))))
        asked.start()
        if k % 3:
            seen.append(one_step(model, *batch(k)))
        else:
            training.start()
            training.join()
        asked.join()
        return seen[0]

    compared(convolutional, step=step, steps=20)


def test_another_thread_that_begins_to_predict_throws_no_list_away():
    model, _ = run(convolutional)
    before = mark()
    thread = threading.Thread(target=lambda: model.predict(batch(0)[0]))
    thread.start()
    thread.join()
    assert mark() == before
    assert stages(model) == [Stage.TRUSTED]


def test_a_copy_has_lists_of_its_own():
    model, _ = run(convolutional)
    twin = copy.deepcopy(model)
    assert stages(twin) == []
    for k in range(6):
        for each in (model, twin):
            each.set_clock(1, k)
        seen = one_step(model, *batch(k)), one_step(twin, *batch(k))
        for a, b in zip(*seen, strict=True):
            assert a.tobytes() == b.tobytes()


OPTIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "drop_last": {"drop_last": True},
    "clipped and averaged": {"clip_norm": 0.3, "ema": 0.9, "optimizer": optim.Adam(0.01)},
    "precise statistics": {"precise_bn": 2, "track_gradients": True},
    "looking ahead": {"optimizer": optim.Lookahead(optim.SGD(0.05))},
    "sharpness": {"schedule": "cosine", "restore_best": True, "augment": Augment(shift=1)},
    "weights": {"class_weight": "balanced", "sample_weight": np.linspace(0.1, 2, 50)},
}


@pytest.mark.parametrize("what", OPTIONS)
def test_training(what):
    """`train`, with what it does between steps."""
    seen_stages = []

    def look(model: Net, history: Any) -> None:
        if history.epochs == 4 and model._row._replay._is_possible:
            seen_stages.append(stages(model))
            assert runs(model) >= (24 if what == "drop_last" else 28) - 8  # whatever is between

    def step(model: Net, _: int) -> Arrays:
        x, y = batch(0, 50)
        history = model.train(
            x, y, epochs=4, batch_size=8, validation=batch(1, 40), progress=False, callbacks=[look],
            **copy.deepcopy(OPTIONS[what]),
        )  # fmt: skip
        return [np.array(history["loss"]), *model.copy_arrays().values()]

    model = compared(convolutional, steps=2, step=step)
    assert seen_stages == [[Stage.TRUSTED] * (1 if what == "drop_last" else 2)] * 2
    assert stages(model) == []  # they would keep memory of the data


def graph(outputs: int = 1, inputs: int = 1) -> Graph:
    given = [Input((2, 8, 8)) for _ in range(inputs)]
    y = Add()(*[Conv2D(2, 5, 3)(x) for x in given]) if inputs > 1 else Conv2D(2, 5, 3)(given[0])
    y = ReLU()(BatchNorm(5)(y))
    y = Flatten()(Add()(Conv2D(5, 5, 3, padding=1)(y), y))
    ends = [Dense(180, 4)(y) for _ in range(outputs)]
    return Graph(given if inputs > 1 else given[0], ends if outputs > 1 else ends[0], seed=4)


def test_a_graph():
    for to_input in (False, True):
        model = compared(graph, step=lambda model, k, d=to_input: one_step(model, *batch(k), d))
        assert stages(model) == [Stage.TRUSTED]


@pytest.mark.parametrize(("outputs", "inputs"), [(2, 1), (1, 2), (3, 2)])
def test_graphs_of_several_ends(outputs, inputs):
    def step(model: Any, k: int) -> Arrays:
        given = [batch(k + 100 * n)[0] for n in range(inputs)]
        y = model.forward(given if inputs > 1 else given[0], training=True)
        dy = tuple(np.ones_like(each) * k for each in y) if outputs > 1 else y
        dx = model.backward(dy, True)
        gradients = [each.copy() for layer in model.layers for each in layer.grads.values()]
        optim.SGD(0.005).step(model)
        ends = [*(y if outputs > 1 else [y]), *(dx if inputs > 1 else [dx])]
        return [*ends, *gradients, *model.copy_arrays().values()]

    compared(lambda: graph(outputs, inputs), step=step)


# --- what is refused, as ever ---------------------------------------------------------------------


def test_after_a_step_there_is_no_way_back():
    model, _ = run(convolutional)
    with pytest.raises(RuntimeError, match="needs a forward"):
        model.backward(np.ones((6, 4), np.float32))
    y = model.forward(batch(0)[0], training=True)
    with pytest.raises(ValueError, match="backward expected a float32 gradient"):
        model.backward(y[:3])


@pytest.mark.parametrize("at_call", [0, 3, -1])
@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("k", [3, 4, 8])
def test_an_interrupt(at_call, way, k):
    """While lists are tried and run: the next steps are right."""
    interrupted: list[int] = []

    def interrupt(calls: list[Any]) -> None:
        kept = calls[at_call]

        def fail(*_: Any) -> None:
            calls[at_call] = kept
            interrupted.append(k)
            raise KeyboardInterrupt

        calls[at_call] = fail, ()

    def change(model: Net, step: int) -> None:
        model.set_clock(0, step)
        if step == k:
            for found in model._row._replay._passes.values():
                interrupt(getattr(found, way)._calls)

    def step(model: Net, k: int) -> Arrays:
        before = model.copy_arrays()
        try:
            return one_step(model, *batch(k))
        except KeyboardInterrupt:
            model.load_arrays(before)
            model.set_clock(0, k)
            return one_step(model, *batch(k))

    compared(convolutional, change, step=step)
    assert interrupted == [k]


def test_memory_that_is_lent_is_only_read():
    """Not even while lists are tried: it may be a part of somebody's data."""
    x = np.ascontiguousarray(batch(0)[0].transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    begin, begun = replay.Replay._begin, []

    def watched(self: Any, row: Any, now: Any) -> None:
        assert np.shares_memory(now.x, x)
        begin(self, row, now)
        begun.append(x.copy())

    def step(model: Net, k: int) -> Arrays:
        x[...] = batch(k)[0]
        y = model.forward_training(x).copy()
        model.backward_training(y)
        optim.SGD(0.005).step(model)
        assert (x == batch(k)[0]).all()
        return [y, *model.copy_arrays().values()]

    with mock.patch.object(replay.Replay, "_begin", watched):
        model = compared(convolutional, step=step)
    assert stages(model) == [Stage.TRUSTED]
    assert [(each == batch(3)[0]).all() for each in begun] == [True, True]


class Twice(Layer):
    """A layer of somebody's own, written with NumPy."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        return 2 * x

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return 2 * dy


def test_layers_of_ones_own_are_called():
    model = compared(lambda: Sequential(Twice(), *convolutional().layers, seed=3))
    assert stages(model) == []


def test_a_function_in_the_place_of_a_layers_own_is_called():
    model, _ = run(convolutional)
    with mock.patch.object(Dense, "forward", autospec=True, side_effect=Dense.forward) as forward:
        one_step(model, *batch(0))
    assert forward.call_count == 1
    before = runs(model)
    model.layers[-1].forward = Twice().forward
    y = model.forward(batch(0)[0], training=True)
    assert y.shape == (6, 20)
    assert runs(model) == before


def test_a_function_in_the_place_of_one_layers_own_is_called_at_every_step():
    """As by who wants to see what a layer gives."""
    model, _ = run(convolutional)
    calls: list[int] = []
    layer = model.layers[2]
    with mock.patch.object(layer, "forward", side_effect=layer.forward) as forward:
        for k in range(8):
            one_step(model, *batch(k))
            calls.append(forward.call_count)
    assert calls == [1, 2, 3, 4, 5, 6, 7, 8]


def test_every_layer_is_in_the_table():
    made = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)}
    assert made >= set(MAKERS)


class Doubled(Layer):
    """A layer of one's own, which remembers x itself."""

    def forward(self, x, training=False):
        if training:
            self.remember(x, x)
        return x * x

    def backward(self, dy):
        return 2 * self.recall(dy)[0] * dy


@pytest.mark.parametrize("kind", ["images", "channels last", "pixels", "rows", "own"])
def test_what_forward_was_given_may_be_overwritten(kind):
    """As a loop does that fills one array for all its batches."""
    images = {"data_format": "channels_last"} if kind == "channels last" else {}
    row = kind in ("rows", "own")
    first = (Doubled(), Dense(5, 4)) if kind == "own" else (Dense(5, 4),)
    make = (
        (lambda: Sequential(*copy.deepcopy(first), ReLU(), Dense(4, 3), seed=1))
        if row
        else (
            lambda: Sequential(Conv2D(2, 3, 3), ReLU(), Flatten(), Dense(48, 3), seed=1, **images)
        )
    )
    shape = (7, 5) if row else (7, 6, 6, 2) if images else (7, 2, 6, 6)
    one, two = make(), make()
    generator, buffer = np.random.default_rng(0), np.empty(shape, np.float32)
    if kind == "pixels":
        buffer = np.empty(shape, np.uint8)
    for _ in range(5):
        x = (generator.random(shape) * 255).astype(buffer.dtype)
        buffer[...] = x
        y = one.forward(x, training=True)
        again = two.forward(buffer, training=True)
        buffer[...] = 1
        np.testing.assert_array_equal(again, y)
        np.testing.assert_array_equal(two.backward(again), one.backward(y))
        np.testing.assert_array_equal(two.parameters.gradients, one.parameters.gradients)
