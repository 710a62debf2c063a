"""Graphs give what their layers give one by one, whatever memory they share.

python -m tests.network.test_graph 1000    so many random graphs
"""

import copy
import pickle
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from fastcnn import Graph, Input, Sequential, load_model, models
from fastcnn.layers import (
    Add,
    BatchNorm,
    Concat,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    GroupNorm,
    Layer,
    MaxPool2D,
    Multiply,
    ReLU,
    Residual,
    Softmax,
    memory,
)
from fastcnn.layers.symbols import Symbol
from fastcnn.network import checkpoint, replay
from fastcnn.network.checkpoint import CheckpointError
from fastcnn.optim import SGD
from fastcnn.training.precise_bn import measure_statistics
from kernels import jit
from kernels.portion import Portion
from tests.gradient_check import check_gradient

RNG = np.random.default_rng(17)
X = RNG.normal(size=(12, 2, 6, 6)).astype(np.float32)
Y = np.arange(12) % 3


class Same(Layer):
    """A layer of somebody's own that makes no array."""

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        if training:
            self.remember(x)
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self.recall(dy)
        return dy


def row() -> list[Layer]:
    return [
        Conv2D(2, 4, 3, padding="same"), BatchNorm(4), ReLU(), MaxPool2D(2), Dropout(0.25),
        Conv2D(4, 4, 3, padding="same"), ReLU(), MaxPool2D(2), Flatten(), Dense(4, 3), Softmax(),
    ]  # fmt: skip


def in_line(layers: list[Layer], start: Symbol) -> Symbol:
    for layer in layers:
        start = layer(start)
    return start


def small() -> Graph:
    """Two inputs, a shared convolution, every layer that merges, an input used twice."""
    image, row = Input((1, 4, 4)), Input((3,))
    conv, dense = Conv2D(1, 4, 3, padding=1), Dense(3, 4)
    one = GlobalAveragePool2D()(ReLU()(conv(image)))
    other = GlobalAveragePool2D()(conv(image * image))
    side = dense(row)
    joined = Concat()(one, side, other) + Concat()([other, one * side, side])
    return Graph((image, row), Dense(12, 3)(joined))


def pairs(count: int = 12, kind: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 1, 4, 4)).astype(kind), rng.normal(size=(count, 3)).astype(kind)


# --- bits -----------------------------------------------------------------------------------------


def test_a_graph_without_branches_is_the_sequential() -> None:
    start = Input((2, 6, 6))
    graph, plain = Graph(start, in_line(row(), start)), Sequential(*row(), input_shape=(2, 6, 6))
    assert graph.input_shape == plain.input_shape
    for _ in range(2):
        np.testing.assert_array_equal(graph.parameters.values, plain.parameters.values)
        np.testing.assert_array_equal(graph.forward(X), plain.forward(X))
        np.testing.assert_array_equal(graph.predict_logits(X), plain.predict_logits(X))
        histories = [model.train(X, Y, epochs=2, progress=False) for model in (graph, plain)]
        assert histories[0]["loss"] == histories[1]["loss"]
    np.testing.assert_array_equal(graph.forward(X, training=True), plain.forward(X, training=True))
    dy = RNG.normal(size=(12, 3)).astype(np.float32)
    np.testing.assert_array_equal(graph.backward(dy), plain.backward(dy))
    assert graph.in_row("test") == graph.layers


def test_layers_in_order_are_no_row_if_more_comes_in_or_out() -> None:
    x, z = Input((4,)), Input((3,))
    y = Dense(4, 3)(x)
    assert Graph(x, Dense(3, 2)(y)).is_row
    assert not Graph(x, (y, Dense(3, 2)(y))).is_row
    assert not Graph((x, z), (y, Dense(3, 2)(z))).is_row


def test_a_residual_block_is_a_small_graph() -> None:
    main = [Conv2D(2, 5, 3, padding=1), BatchNorm(5), ReLU(), Conv2D(5, 2, 3, padding=1)]
    block = Sequential(Residual(copy.deepcopy(main), activation=ReLU()), seed=None)
    x = Input((2, 6, 6))
    graph = Graph(x, ReLU()(in_line(main, x) + x), seed=None)
    np.testing.assert_array_equal(graph.forward(X, True), block.forward(X, True))
    dy = RNG.normal(size=X.shape).astype(np.float32)
    np.testing.assert_array_equal(graph.backward(dy), block.backward(dy))
    np.testing.assert_array_equal(graph.parameters.gradients, block.parameters.gradients)


def test_the_bits_do_not_depend_on_threads() -> None:
    found, before = [], jit.get_threads()
    for threads in (1, 2):
        jit.set_threads(threads)
        try:
            model = small()
            model.train(pairs(40), np.arange(40) % 3, epochs=2, progress=False)
            found.append(model.parameters.values.copy())
        finally:
            jit.set_threads(before)
    np.testing.assert_array_equal(*found)


def test_any_number_of_threads_may_ask() -> None:
    model, asked = small(), [(pairs(count), count) for count in (3, 12, 40, 5)]
    expected = [model.forward(x) for x, _ in asked]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            found = pool.map(lambda each: model.forward(each[0]), asked)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_gradients_of_parameters_and_inputs() -> None:
    model = small().astype(np.float64)
    x = pairs(3, np.float64)
    y = model.forward(x, training=True)
    upstream = RNG.normal(size=y.shape)
    one, other = model.backward(upstream)
    flat = model.parameters
    gradients = {name: flat.gradients[at].copy() for name, at in flat.slices.items()}
    arrays = {n: array for n, array in model.named_arrays() if n in gradients}
    gradients = {n: gradients[n].reshape(array.shape) for n, array in arrays.items()}
    check_gradient(
        lambda: model.forward(x, training=True),
        {**arrays, "image": x[0], "row": x[1]},
        upstream,
        {**gradients, "image": one, "row": other},
    )


# --- memory: random graphs against their layers one by one ----------------------------------------


def random_graph(rng: np.random.Generator) -> tuple[list[Symbol], list[Symbol]]:
    """Inputs and outputs of layers that each have a symbol of before, the last ones rather."""
    shape = (2, 4, 4)
    inputs = [Input(shape) for _ in range(rng.integers(1, 3))]
    known: list[Symbol] = list(inputs)
    shared = Conv2D(2, 2, 3, padding=1)
    for _ in range(rng.integers(2, 14)):
        back = rng.geometric(0.4, size=3)
        a, b, c = (known[-min(int(each), len(known))] for each in back)
        kind = rng.integers(0, 12)
        if kind < 4:
            made = Conv2D(2, 2, 3, padding=1)(a)
        elif kind < 6:
            made = [ReLU, Same][kind - 4]()(a)
        elif kind == 6:
            made = ReLU()(BatchNorm(2)(a)) if rng.random() < 0.5 else BatchNorm(2)(a)
        elif kind == 7:
            made = shared(a)
        elif kind == 8:
            made = Dropout(0.5)(a)
        elif kind == 9:
            made = Conv2D(6, 2, 1)(Concat()(a, b, c))
        elif kind == 10:
            made = Multiply()(a, b)
        elif rng.random() < 0.5:
            made = Add()(a, b, c)
        else:
            made = [a + BatchNorm(2)(b), ReLU()(GroupNorm(1, 2)(a) + b)][rng.integers(0, 2)]
        known.append(made)
    used, waiting = set(), list(known)
    while waiting:
        sources = waiting.pop().sources
        used |= {id(source) for source in sources}
        waiting += sources
    loose = [symbol for symbol in known if id(symbol) not in used and symbol.layer is not None]
    free = [symbol for symbol in inputs if id(symbol) not in used]
    ends = loose or [ReLU()(known[-1])]
    if free:
        ends[0] = Add()(ends[0], *free)
    for end in (*ends, known[len(known) // 2], known[-1]):  # also of what others need
        if rng.random() < 0.4:
            where = ends.index(end) if end in ends and rng.random() < 0.5 else len(ends)
            ends[where : where + 1] = [Softmax()(end)]
    return inputs, ends


def alone(
    model: Graph, x: list[np.ndarray], dys: Sequence[np.ndarray], outputs: Sequence[int]
) -> tuple[Any, Any, Any]:
    """Outputs, gradients of inputs and of parameters: a copy of a layer for each call."""
    wiring, values, runs = model._wiring, list(x), []
    totals = dict.fromkeys(model.parameters.slices, 0.0)
    for place, sources in wiring.calls:
        runs.append(copy.deepcopy(model.layers[place]))
        number = sum(each == place for each, _ in wiring.calls[: len(runs)])
        runs[-1].path = f"{place}" if number == 1 else f"{place}, call {number}"
        runs[-1].clock = memory.Clock(model.seed)
        given = [values[source] for source in sources]
        values.append(
            runs[-1].forward(given if runs[-1].takes_several else given[0], training=True).copy()
        )
    gradients = [np.zeros(value.shape) for value in values]
    for value, dy in zip(outputs, dys, strict=True):
        gradients[value] += dy
    for number in reversed(range(len(runs))):
        place, sources = wiring.calls[number]
        dx = runs[number].backward(gradients[len(x) + number])
        for source, each in zip(sources, dx if len(sources) > 1 else [dx], strict=True):
            gradients[source] += each
        for name, array in runs[number].grads.items():
            totals[f"{place}.{name}"] = totals[f"{place}.{name}"] + array
    return [values[value] for value in outputs], gradients[: len(x)], totals


def tuple_of(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def close(found: Any, expected: Any) -> None:
    size = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found / size, expected / size, atol=1e-11)


def check_random_graph(number: int) -> None:
    rng = np.random.default_rng(number)
    inputs, outputs = random_graph(rng)
    model = Graph(inputs, outputs, seed=number).astype(np.float64)
    x = [rng.normal(size=(3, *each.shape)) for each in inputs]
    given = tuple(x) if len(x) > 1 else x[0]
    for _ in range(2):  # the second time memory has been used
        model.set_clock(0, 0)
        found = tuple_of(model.forward(given, training=True))
        dys = [rng.normal(size=y.shape) for y in found]
        model.predict_logits(given) if len(found) == 1 and found[0].ndim == 2 else model.forward(
            given
        )
        dx = tuple_of(model.backward(tuple(dys) if len(dys) > 1 else dys[0]))
        expected, by_input, by_parameter = alone(model, x, dys, model._wiring.outputs)
        for each, other in zip((*found, *dx), (*expected, *by_input), strict=True):
            close(each, other)
        flat = model.parameters
        for name, place in flat.slices.items():
            close(flat.gradients[place], np.ravel(by_parameter[name]))
        flat.gradients[:] = np.nan
        model.set_clock(0, 0)
        model.forward(given, training=True)
        model.backward(tuple(dys) if len(dys) > 1 else dys[0], input_gradient=False)
        for name, place in flat.slices.items():
            close(flat.gradients[place], np.ravel(by_parameter[name]))
        check_logits(model, x, rng)
    values: list[np.ndarray] = list(x)
    for place, sources in model._wiring.calls:  # outside training
        layer, before = copy.deepcopy(model.layers[place]), [values[source] for source in sources]
        values.append(layer.forward(before if layer.takes_several else before[0]).copy())
    for each, value in zip(tuple_of(model.forward(given)), model._wiring.outputs, strict=True):
        close(each, values[value])


def check_logits(model: Graph, x: list[np.ndarray], rng: np.random.Generator) -> None:
    """The same where some outputs are wanted as they are before their softmax."""
    row, outputs = model._row, list(model._wiring.outputs)
    logits = tuple(map(bool, rng.integers(0, 2, len(outputs))))
    for i, wanted in enumerate(logits):
        layer, sources = model._wiring.calls[outputs[i] - len(x)]
        is_alone = model._wiring.uses()[outputs[i]] == 1
        if wanted and is_alone and isinstance(model.layers[layer], Softmax):
            (outputs[i],) = sources
    given = model.joined("test", tuple(x)) if len(x) > 1 else x[0]
    model.set_clock(0, 0)
    found = tuple_of(row.forward("test", given, logits))
    found, dys = [y.copy() for y in found], tuple(rng.normal(size=y.shape) for y in found)
    model.forward(tuple(x) if len(x) > 1 else x[0])
    dx = tuple_of(row.backward("test", dys if len(dys) > 1 else dys[0], logits, to_input=True))
    expected, by_input, by_parameter = alone(model, x, dys, outputs)
    for each, other in zip((*found, *dx), (*expected, *by_input), strict=True):
        close(each, other)
    for name, place in model.parameters.slices.items():
        close(model.parameters.gradients[place], np.ravel(by_parameter[name]))


@pytest.fixture
def all_gradients_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_LARGE", 0)


@pytest.mark.parametrize("number", range(25))
def test_random_graphs(number: int, all_gradients_are_large: None) -> None:
    check_random_graph(number)


def test_gradients_that_lie_where_their_sum_does() -> None:
    x = Input((3,))
    y = Add()(x, x, x)
    dy = np.float32([[1, 2, 3]])
    for graph, times in ((Graph(x, y + y), 6), (Graph(x, Add()(y, y, y, y)), 12)):
        graph.forward(dy, training=True)
        np.testing.assert_array_equal(graph.backward(dy), times * dy)


def opened(model: Sequential) -> Graph:
    """The same layers, those inside blocks among them."""

    def through(layers: Any, y: Symbol) -> Symbol:
        for layer in layers:
            if isinstance(layer, Residual):
                y = through(layer.main, y) + through(layer.shortcut or (), y)
                y = y if layer.activation is None else layer.activation(y)
            elif isinstance(layer, Concatenate):
                y = Concat()(y, through(layer.layers, y))
            else:
                y = layer(y)
        return y

    assert model.input_shape is not None
    start = Input(model.input_shape)
    return Graph(start, through(model.layers, start), seed=None)


def memory_of(model: Graph | Sequential) -> int:
    """Bytes that a step and a prediction keep."""
    row = model._row
    spaces = {
        id(space): space for space in (row._scratch, *(each.workspace for each in row.family))
    }
    return sum(space.nbytes for space in spaces.values())


@pytest.mark.parametrize("name", ["resnet20", "densenet"])
def test_blocks_opened_give_the_same_bits_in_no_more_memory(name: str) -> None:
    blocks, graph = models.build(name), opened(models.build(name))
    images = RNG.normal(size=(32, 3, 32, 32)).astype(np.float32)
    results = []
    for model in (blocks, graph):
        y = model.forward(images, training=True)
        results.append((y, model.backward(np.ones_like(y)), model.forward(images)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert memory_of(graph) <= memory_of(blocks)


# --- shared layers --------------------------------------------------------------------------------


def test_each_call_of_a_shared_layer_draws_and_counts_by_itself() -> None:
    x = Input((50,))
    drop = Dropout(0.5)
    one, other = Graph(x, (drop(x), drop(x))).forward(np.ones((4, 50), np.float32), training=True)
    assert (one != other).any()
    norm = BatchNorm(2)
    start, second = Input((2,)), Input((2,))
    model = Graph((start, second), norm(start) + norm(second))
    a, b = np.float32([[1, 2], [3, 4]]), np.float32([[5, 0], [5, 4]])
    measure_statistics(model, [model.prepared((a, b)), model.prepared((b, b))])
    np.testing.assert_allclose(norm.state["running_mean"], (a + 3 * b).mean(axis=0) / 4)
    assert norm.momentum == 0.9


def test_frozen_layers_keep_their_values() -> None:
    x = Input((2, 6, 6))
    shared = Conv2D(2, 2, 3, padding=1)
    model = Graph(x, Dense(2, 3)(GlobalAveragePool2D()(shared(ReLU()(shared(x))) + x)))
    model.freeze(1)
    before = model.copy_arrays()
    model.train(X, Y, epochs=1, progress=False)
    assert model.frozen == ("0",)
    for name, array in model.named_arrays():
        assert (array == before[name]).all() == name.startswith("0.")
    shared.trainable = True
    model.train(X, Y, epochs=1, progress=False)
    assert (shared.params["weight"] != before["0.weight"]).any()


def test_a_model_is_called_on_symbols_and_shares_its_layers() -> None:
    encoder = Sequential(Flatten(), Dense(72, 4))
    one, other = Input((2, 6, 6)), Input((2, 6, 6))
    model = Graph((one, other), Dense(4, 3)(encoder(one) * encoder(other)))
    assert len(model.layers) == 4 and model.layers[0] is encoder.layers[0]
    before = encoder.forward(X)
    model.train((X, X[::-1]), Y, epochs=1, progress=False)
    assert (encoder.forward(X) != before).any()
    wide = Graph(one, (encoder(one), ReLU()(encoder(one))))
    first, second = wide(other)
    assert first.shape == second.shape == (4,)


def test_a_part_of_a_graph() -> None:
    x = Input((2, 6, 6))
    inside = Conv2D(2, 4, 3, padding=1)(x)
    whole = Graph(x, Flatten()(ReLU()(inside)))
    first, second = Graph(x, inside), Graph(inside, Flatten()(ReLU()(inside)))
    assert second.input_shape == (4, 6, 6)
    np.testing.assert_array_equal(
        whole.forward(X), second.layers[1].forward(ReLU().forward(first.forward(X)))
    )


# --- files and copies -----------------------------------------------------------------------------


def test_files_and_copies(tmp_path: Path) -> None:
    model = small()
    model.class_names = ("a", "b", "c")
    x = pairs()
    model.train(x, Y, epochs=1, progress=False)
    model.save(tmp_path / "graph.npz")
    loaded = load_model(tmp_path / "graph.npz")
    for other in (loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert isinstance(other, Graph) and other.structure() == model.structure()
        np.testing.assert_array_equal(other.forward(x), model.forward(x))
        assert other.class_names == ("a", "b", "c")
        other.train(x, Y, epochs=1, progress=False)
        assert (other.parameters.values != model.parameters.values).any()
    fresh = small()
    fresh.load_fitting(tmp_path / "graph.npz")
    np.testing.assert_array_equal(fresh.predict(x), model.predict(x))
    fresh.replace_head(5)
    assert fresh.predict_proba(x).shape == (12, 5)


def test_a_run_goes_on(tmp_path: Path) -> None:
    x, options = pairs(), {"batch_size": 5, "progress": False, "validation": (pairs(4), Y[:4])}
    straight, first, second = small(), small(), small()
    expected = straight.train(x, Y, epochs=3, **options)
    path = tmp_path / "run.npz"
    first.train(x, Y, epochs=2, checkpoint_path=path, **options)
    history = second.train(x, Y, epochs=3, resume_from=path, **options)
    np.testing.assert_array_equal(second.parameters.values, straight.parameters.values)
    assert history["val_loss"] == expected["val_loss"]
    other, image = Input((3,)), Input((1, 4, 4))
    conv = Conv2D(1, 4, 3, padding=1)
    with pytest.raises(CheckpointError, match="other"):
        Graph(
            (image, other), Dense(4, 3)(GlobalAveragePool2D()(conv(image)) + Dense(3, 4)(other))
        ).train(x, Y, epochs=3, resume_from=path, **options)


@pytest.mark.parametrize(
    "graph",
    [
        None, 3, {}, {"inputs": [[2]], "calls": [[0, [1]]], "outputs": [1]},
        {"inputs": [[2]], "calls": [[7, [0]]], "outputs": [1]},
        {"inputs": [[2]], "calls": [[0, []]], "outputs": [1]},
        {"inputs": [[2]], "calls": [[0, [0]]], "outputs": [-1]},
        {"inputs": [[2]], "calls": [[0, [0]]], "outputs": [True]},
        {"inputs": [[2]], "calls": [[0, [0]]], "outputs": []},
        {"inputs": [[2]], "calls": [[0, [0]]], "outputs": [0]},
        {"inputs": [[3]], "calls": [[0, [0]]], "outputs": [1]},
        {"inputs": [[2], [2]], "calls": [[0, [0]]], "outputs": [2]},
        {"inputs": [[2]], "calls": [[0, [0, 0]]], "outputs": [1]},
    ],
)  # fmt: skip
def test_a_file_that_describes_no_graph(graph: Any, tmp_path: Path) -> None:
    x = Input((2,))
    model = Graph(x, Dense(2, 3)(x))
    header = {**checkpoint.describe(model), "graph": graph}
    checkpoint.write(tmp_path / "a.npz", {"model": header}, {"model": dict(model.named_arrays())})
    with pytest.raises(CheckpointError, match="does not describe a model"):
        load_model(tmp_path / "a.npz")


# --- several inputs and outputs -------------------------------------------------------------------


def test_pixels_of_several_inputs_are_those_of_one() -> None:
    images = RNG.integers(0, 256, (12, 6, 6, 2), dtype=np.uint8)
    left, right = (Input((6, 6, 2), data_format="channels_last") for _ in range(2))
    conv, head = Conv2D(2, 3, 3), Dense(48, 3)
    two = Graph((left, right), head(Flatten()(conv(left) + conv(right))), seed=None)
    one = Graph(left, head(Flatten()(conv(left) + conv(left))), seed=None)
    for model in (one, two):
        model.normalization = ([0.5, 0.25], [1, 2])
    np.testing.assert_array_equal(two.predict_logits((images, images)), one.predict_logits(images))
    two.train((images, images[::-1]), Y, epochs=1, progress=False)
    assert two.evaluate((images, images[::-1]), Y, batch_size=5)[0] > 0


def test_several_outputs_are_trained_in_a_loop() -> None:
    x = Input((2, 6, 6))
    inside = ReLU()(Dense(72, 8)(Flatten()(x)))
    one, other = Dense(8, 3)(inside), Dense(8, 1)(inside)
    model, part = Graph(x, (one, other)), Graph(x, one)
    before = part.parameters.values.copy()
    a, b = model.forward(X, training=True)
    model.backward((np.ones_like(a), np.ones_like(b)))
    SGD(0.1).step(model)
    assert (part.parameters.values != before).any()
    assert model.output_shape((5, 2, 6, 6)) == ((5, 3), (5, 1))


class Two(Portion):
    """A part of each batch for each of two processes."""

    processes = 2


def test_several_processes_train_what_is_called_once() -> None:
    with two_outputs().computing(Two()):
        pass
    with pytest.raises(ValueError, match="a layer of this Graph is called twice"):
        small().computing(Two()).__enter__()


# --- what is refused ------------------------------------------------------------------------------

IMAGE, NUMBERS = Input((1, 8, 8)), Input((4,))
LAST = Input((8, 8, 1), data_format="channels_last")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2D(3, 8, 3)(IMAGE), r"Conv2D\(3, 8, .*3 channels.*\(1, 1, 8, 8\)"),
        (lambda: Conv2D(3, 8, 3)(LAST), r"Conv2D\(3, 8, .*3 channels.*\(1, 8, 8, 1\)"),
        (lambda: IMAGE + NUMBERS, r"Add\(\): its inputs must have one shape, got"),
        (lambda: Concat()(IMAGE, MaxPool2D(2)(IMAGE)), r"Concat\(\): .* channels only"),
        (lambda: IMAGE + LAST, "one input is channels_first and the other channels_last"),
        (lambda: Add()(IMAGE), r"Add\(\) takes two symbols or more, got 1"),
        (lambda: ReLU()(IMAGE, IMAGE), r"ReLU\(\) takes one symbol, got 2; Add"),
        (lambda: ReLU()(np.zeros(3)), r"ReLU\(\): a call takes symbols.* use forward"),
        (lambda: Graph(IMAGE, NUMBERS), "the outputs need Input"),
        (lambda: Graph((IMAGE, NUMBERS), ReLU()(IMAGE)), r"its input Input\(\(4,\)\) leads to no"),
        (lambda: Graph(IMAGE, IMAGE), "is an input and an output"),
        (lambda: Graph((IMAGE, IMAGE), ReLU()(IMAGE)), "named twice"),
        (lambda: Graph(IMAGE, ReLU()), "outputs must be symbols"),
        (lambda: Graph([], ReLU()(IMAGE)), "inputs must be symbols"),
        (lambda: Input(()), "shape must be that of one sample"),
        (lambda: Input((0, 3)), "Input: shape"),
        (lambda: Input((3,), data_format="last"), "data_format must be"),
        (lambda: Sequential(Add()).forward(X), r"Add\(\): expected a list of arrays, as a Graph"),
        (lambda: Sequential(Add()).output_shape((1, 2)), r"Add\(\) takes two inputs or.* Graph"),
        (lambda: small().predict(X), "this Graph has 2 inputs, so x is a tuple of as many arrays"),
        (lambda: small().predict((X, X)), r"input 0 must have shape \(N, 1, 4, 4\)"),
        (lambda: small().predict((pairs()[0], pairs(5)[1])), "the same N as the others"),
        (lambda: small().forward((pairs()[0], np.zeros((12, 3), int))), "input 1 is whole numbers"),
        (lambda: two_outputs().predict_logits(pairs()[1]), "predict_logits: this Graph has 2 out"),
        (lambda: two_outputs().predict_proba(pairs()[1]), "predict_proba: this Graph has 2 outp"),
        (lambda: two_outputs().train(pairs()[1], Y), "this Graph has 2 outputs"),
        (lambda: two_outputs().replace_head(5), "replace_head: this Graph has 2 outputs"),
        (lambda: product().replace_head(5), r"must give the output.*Dense\(3, 2\) does not"),
        (lambda: one_of_two(), "backward: there are 2 outputs, got 1 gradients"),
        (lambda: small().in_row("to_torch"), "to_torch: the layers of this Graph stand in no row"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x - x, lambda x: x / x, lambda x: -x, lambda x: x**2, lambda x: x + 1,
        lambda x: 1 + x, lambda x: x * 0.5, lambda x: 0.5 * x, lambda x: 1 - x, lambda x: 1 / x,
    ],
)  # fmt: skip
def test_arithmetic_without_a_layer_says_what_there_is(write: Any) -> None:
    with pytest.raises(TypeError, match="a difference, a quotient or arithmetic with numbers"):
        write(Input((3,)))


def two_outputs() -> Graph:
    x = Input((3,))
    return Graph(x, (Dense(3, 2)(x), Dense(3, 2)(x)))


def product() -> Graph:
    x = Input((3,))
    return Graph(x, Dense(3, 2)(x) * Dense(3, 2)(x))


def one_of_two() -> None:
    model = two_outputs()
    outputs = model.forward(np.ones((2, 3), np.float32), training=True)
    model.backward(outputs[0])


def test_a_head_where_branches_meet() -> None:
    x = Input((4,))
    body = Dense(4, 4)
    model = Graph(x, Dense(4, 3)(body(x) + x))
    kept = body.params["weight"].copy()
    model.replace_head(5)
    assert model.predict_logits(np.ones((2, 4), np.float32)).shape == (2, 5)
    np.testing.assert_array_equal(model.layers[0].params["weight"], kept)


def test_settings_of_a_shared_layer_hold_for_every_call() -> None:
    x = Input((4,))
    dropout, norm = Dropout(0.5), BatchNorm(4)
    model = Graph(x, dropout(norm(x)) + dropout(norm(norm(x))))
    dropout.rate, norm.eps = 0.0, 0.25
    model.forward(np.ones((2, 4), np.float32), training=True)
    assert [each.rate for each in model.copies(dropout)] == [0.0, 0.0]
    assert [each.eps for each in model.copies(norm)] == [0.25] * 3


def test_momentum_of_a_shared_layer_holds_for_every_call_of_a_list_too() -> None:
    x, found = Input((2, 3, 3)), []
    with mock.patch.object(replay, "_LONG", np.inf):  # whatever else the machine does
        for lists in (True, False):
            norm = BatchNorm(2)
            model = Graph(x, Flatten()(norm(Conv2D(2, 2, 1)(norm(x)))))
            with mock.patch.object(replay, "is_possible", return_value=lists):
                model._row.forget_lists()
            for step in range(8):
                norm.momentum = step / 10
                y = model.forward(X[:, :, :3, :3], training=True)
                model.backward(y)
                SGD(0.01).step(model)
            found.append((model._row._replay._runs, norm.state["running_mean"].copy()))
            assert [each.momentum for each in model.copies(norm)] == [0.7, 0.7]
    assert found[0][0] > 0 and found[1][0] == 0
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("is_graph", [True, False])
def test_a_prediction_of_pixels_leaves_a_pass_alone(is_graph: bool) -> None:
    x = Input((1, 5, 5))
    layers = [Conv2D(1, 2, 3), Flatten(), Dense(18, 2)]
    model: Any = Sequential(*layers, seed=1)
    if is_graph:
        y = layers[1](layers[0](x))
        model = Graph(x, layers[2](y) + Dense(18, 2)(y), seed=1)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 5, 5), dtype=np.uint8)
    found = []
    for looks in (False, True):
        model.forward(pixels[:4], training=True)
        if looks:
            model.predict(pixels[4:])
        model.backward(np.ones((4, 2), np.float32))
        found.append(model.parameters.gradients.copy())
    np.testing.assert_array_equal(*found)


def test_the_summary_names_what_a_layer_is_given() -> None:
    text = small().summary()
    rows = [line.split("  ")[0] for line in text.splitlines()]
    assert "0: Conv2D(1, 4, kernel_size=3, padding=1) of input 0" in rows
    assert "0: Conv2D(1, 4, kernel_size=3, padding=1) again" in rows
    assert any(row.startswith("6: Concat() of ") for row in rows)
    assert text.count(" 40\n") == 1  # of the shared convolution
    assert "in one" in small().summary(time=True, batch_size=2)


if __name__ == "__main__":
    memory._LARGE = 0
    for each in range(int(sys.argv[1])):
        check_random_graph(each)
    print(f"{sys.argv[1]} random graphs give what their layers give")
