"""Networks at random, from the public layers, and the command that tries many of them.

    python -m tests.network.random_networks 1000
    python -m tests.network.random_networks 1 --seed 4711

Each number is a network, and a life of it: what `tests.network.random_checks` does with it. What is
wrong is printed with the number, with which it happens again. Exit code 1 if anything was.
"""

import argparse
import contextlib
import math
import sys
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastcnn import Graph, Sequential, layers
from fastcnn.layers import Input, Layer
from fastcnn.layers.symbols import Symbol

Shape = tuple[int, ...]
Net = Sequential | Graph
_MOST = 1500  # numbers of a sample, anywhere


class Made(NamedTuple):
    """A network, and the shapes of its inputs for one sample, as people see them.

    others : more shapes of its one input, if it takes several
    """

    model: Net
    inputs: tuple[Shape, ...]
    others: tuple[Shape, ...] = ()


class Chance:
    """A generator with the words that a maker of layers needs."""

    def __init__(self, *seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def odds(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def one(self, choices: Any) -> Any:
        return choices[self.whole(0, len(choices) - 1)]

    def pair(self, low: int, high: int) -> tuple[int, int]:
        return self.whole(low, high), self.whole(low, high)

    def channels(self) -> int:
        return self.whole(1, 9) if self.odds(0.8) else self.whole(10, 34)


# --- layers of images -----------------------------------------------------------------------------


def _padding(chance: Chance) -> Any:
    ends = chance.pair(0, 2), chance.pair(0, 2)
    return chance.one(("same", chance.whole(0, 2), chance.pair(0, 2), ends))


def convolution(chance: Chance, shape: Shape) -> list[Layer]:
    inside = shape[0]
    if chance.odds(0.35):  # what most networks have
        size = chance.one((1, 3, 3, 5))
        return [layers.Conv2D(inside, chance.channels(), size, padding=size // 2)]
    groups = chance.one([each for each in range(1, inside + 1) if inside % each == 0])
    if chance.odds(0.3):
        groups = inside  # depthwise
    outside = groups * max(1, chance.channels() // groups)
    dilation = chance.pair(1, 2) if chance.odds(0.2) else 1
    return [
        layers.Conv2D(
            inside, outside, chance.pair(1, 4), chance.pair(1, 3) if chance.odds(0.4) else 1,
            _padding(chance), chance.odds(0.7), dilation=dilation, groups=groups,
        )
    ]  # fmt: skip


def transposed(chance: Chance, shape: Shape) -> list[Layer]:
    stride = chance.pair(1, 2)
    return [
        layers.ConvTranspose2D(
            shape[0], chance.channels(), chance.pair(1, 3), stride, chance.pair(0, 1),
            output_padding=chance.whole(0, min(stride) - 1), bias=chance.odds(0.7),
        )
    ]  # fmt: skip


def norm(chance: Chance, shape: Shape) -> list[Layer]:
    channels, kind = shape[0], chance.whole(0, 9)
    # Nor is a single number normalised by itself: in training that is refused.
    if kind < 6 or (kind == 6 and math.prod(shape[1:]) == 1) or math.prod(shape) == 1:
        return [layers.BatchNorm(channels, chance.one((0.9, 0.5)))]
    if kind == 6:
        return [layers.InstanceNorm(channels)]
    if kind == 7:
        return [layers.LayerNorm(channels)]
    # Never one channel each: PyTorch gives rounding errors for one number less its mean.
    groups = [each for each in range(1, channels) if channels % each == 0]
    return [layers.GroupNorm(chance.one(groups or [1]), channels)]


def activation(chance: Chance, shape: Shape) -> list[Layer]:
    if chance.odds(0.5):
        return [layers.ReLU()]
    names = (
        "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Sigmoid", "Tanh",
        "LeakyReLU", "ELU", "Softplus",
    )  # fmt: skip
    kind = chance.whole(0, len(names) + 3)
    if kind < len(names):
        return [getattr(layers, names[kind])()]
    if kind == len(names):
        return [layers.GELU(chance.one(("none", "tanh")))]
    if kind == len(names) + 1:
        return [layers.PReLU(shape[0] if chance.odds(0.7) else 1)]
    axis = chance.whole(1, len(shape))
    return [chance.one((layers.Softmax, layers.LogSoftmax))(axis)]


def pool(chance: Chance, shape: Shape) -> list[Layer]:
    kind = chance.whole(0, 9)
    if kind < 4:
        return [layers.MaxPool2D(2)]
    if kind < 8:
        size = chance.pair(1, 3)
        window = {
            "pool_size": size, "stride": chance.pair(1, 3) if chance.odds(0.7) else None,
            "padding": chance.one(("same", 0, tuple(chance.whole(0, each // 2) for each in size))),
        }  # fmt: skip
        if kind < 6:
            return [layers.MaxPool2D(**window, ceil_mode=chance.odds(0.2))]
        return [layers.AveragePool2D(**window, count_include_pad=chance.odds(0.5))]
    kinds = layers.AdaptiveAveragePool2D, layers.AdaptiveMaxPool2D
    return [chance.one(kinds)(chance.pair(1, 4))]


def other_size(chance: Chance, shape: Shape) -> list[Layer]:
    kind = chance.whole(0, 3)
    if kind == 0:
        ends = chance.pair(0, 2), chance.pair(0, 2)
        mode = chance.one(("zeros", "constant", "reflect", "replicate"))
        return [layers.Pad(ends, mode, 1.5 if mode == "constant" else 0.0)]
    if kind == 1:
        return [layers.Upsample(chance.pair(1, 2), mode=chance.one(("nearest", "bilinear")))]
    if kind == 2 and shape[0] % 4 == 0:
        return [layers.PixelShuffle(2)]
    return transposed(chance, shape)


def usual(chance: Chance, shape: Shape) -> list[Layer]:
    """What a plan puts together, or nearly."""
    conv = convolution(chance, shape)
    channels = conv[0].arguments()["out_channels"]
    after = (channels, 1, 1)
    relu = activation(chance, after) if chance.odds(0.2) else [layers.ReLU()]
    batch = norm(chance, after) if chance.odds(0.2) else [layers.BatchNorm(channels)]
    halves = [layers.MaxPool2D(2)] if chance.odds(0.8) else pool(chance, after)
    ways = (
        [*conv, *batch, *relu], [*conv, *relu, *halves], [*conv, *halves, *relu], [*conv, *halves],
        [*conv, *batch, *halves, *relu], [*conv, *batch, *relu, *halves], [*batch, *relu],
    )  # fmt: skip
    way = chance.one(ways)
    if way is ways[-1]:
        return [layers.BatchNorm(shape[0]), *relu]
    return way


def same_shape(chance: Chance, shape: Shape, channels: int | None = None) -> list[Layer]:
    """Layers that change the channels at most."""
    channels = channels or shape[0]
    if len(shape) == 1:
        return [layers.Dense(shape[0], channels), *activation(chance, (channels,))]
    if len(shape) == 2:
        return [layers.Conv1D(shape[0], channels, 3, padding=1)]
    between = chance.channels()
    size = chance.one((1, 3))
    conv = layers.Conv2D(shape[0], channels, size, padding=size // 2, bias=chance.odds(0.5))
    return chance.one((
        [conv],
        [conv, layers.BatchNorm(channels)],
        [
            layers.Conv2D(shape[0], between, 3, padding="same"), layers.BatchNorm(between),
            layers.ReLU(), layers.Conv2D(between, channels, 1), *norm(chance, (channels,)),
        ],
        [
            layers.Conv2D(shape[0], shape[0], 3, padding=1, groups=shape[0]),
            layers.BatchNorm(shape[0]), layers.ReLU(), layers.Conv2D(shape[0], channels, 1),
            layers.BatchNorm(channels),
        ],
        [*norm(chance, shape), layers.ReLU(), conv],
    ))  # fmt: skip


def block(chance: Chance, shape: Shape) -> list[Layer]:
    if chance.odds(0.3):
        inner = same_shape(chance, shape, chance.channels())
        return [layers.Concatenate(inner)]
    behind = activation(chance, shape)[0] if chance.odds(0.7) else None
    if chance.odds(0.6):
        main = same_shape(chance, shape)
        if chance.odds(0.15):
            main = [*main, *block(chance, shape)][:6]
            if _after(main, shape) != shape:
                main = same_shape(chance, shape)
        return [layers.Residual(main, activation=behind)]
    channels = chance.channels()
    ways = [same_shape(chance, shape, channels) for _ in range(2)]
    return [layers.Residual(ways[0], shortcut=ways[1], activation=behind)]


def to_other_rank(chance: Chance, shape: Shape) -> list[Layer]:
    size = int(np.prod(shape))
    if len(shape) == 3 and chance.odds(0.4):
        return [chance.one((layers.GlobalAveragePool2D, layers.GlobalMaxPool2D))()]
    if len(shape) == 2 and chance.odds(0.3):
        return [chance.one((layers.GlobalAveragePool1D, layers.GlobalMaxPool1D))()]
    if len(shape) > 1 and chance.odds(0.6):
        return [layers.Flatten()]
    first = chance.one([each for each in range(1, 10) if size % each == 0])
    if chance.odds(0.4):
        return [layers.Reshape((first, -1))]
    rest = size // first
    second = chance.one([each for each in range(1, 10) if rest % each == 0])
    return [layers.Reshape((first, second, -1))]


def dropout(chance: Chance, shape: Shape) -> list[Layer]:
    kinds = (layers.Dropout, layers.SpatialDropout) if len(shape) == 3 else (layers.Dropout,)
    return [chance.one(kinds)(0.3)]


def of_images(chance: Chance, shape: Shape) -> list[Layer]:
    makers = (
        *[usual] * 6, *[convolution] * 3, *[block] * 4, norm, activation, activation, pool, pool,
        other_size, other_size, dropout, to_other_rank,
    )  # fmt: skip
    return chance.one(makers)(chance, shape)


def of_series(chance: Chance, shape: Shape) -> list[Layer]:
    kind = chance.whole(0, 8)
    if kind < 3:
        groups = chance.one((1, shape[0]))
        outside = groups * max(1, chance.channels() // groups)
        padding = chance.one(("same", chance.whole(0, 2), chance.pair(0, 2)))
        window = chance.whole(1, 3), padding, chance.odds(0.7)
        return [layers.Conv1D(shape[0], outside, chance.whole(1, 4), *window, groups=groups)]
    if kind == 3:
        kinds = layers.MaxPool1D, layers.AveragePool1D
        return [chance.one(kinds)(chance.whole(1, 3), chance.whole(1, 2))]
    makers = activation, activation, dropout, norm, to_other_rank
    return makers[kind - 4](chance, shape)


def of_rows(chance: Chance, shape: Shape) -> list[Layer]:
    kind = chance.whole(0, 9)
    if kind < 4:
        return [layers.Dense(shape[0], chance.channels(), chance.odds(0.8))]
    if kind < 6:
        return norm(chance, shape)
    makers = activation, activation, dropout, block, to_other_rank
    return makers[kind - 5](chance, shape)


def _after(row: list[Layer], shape: Shape) -> Shape:
    """The shape of a sample that comes out; raises ValueError if they do not take it."""
    given = (1, *shape)
    for layer in row:
        given = layer.output_shape(given)
        if not 0 < np.prod(given) <= _MOST:
            raise ValueError("too large")
    return given[1:]


def some(chance: Chance, shape: Shape) -> list[Layer]:
    """Layers that take a sample of a shape."""
    makers = {1: of_rows, 2: of_series, 3: of_images}
    for _ in range(50):
        try:
            row = makers.get(len(shape), to_other_rank)(chance, shape)
            _after(row, shape)
        except ValueError:
            continue
        return row
    return [layers.Flatten()]


# --- networks -------------------------------------------------------------------------------------


def a_shape(chance: Chance) -> Shape:
    kind = chance.whole(0, 7)
    if kind == 0:
        return (chance.whole(1, 20),)
    if kind == 1:
        return chance.whole(1, 5), chance.whole(3, 15)
    return chance.whole(1, 4), chance.whole(4, 13), chance.whole(4, 13)


def tail(chance: Chance, shape: Shape) -> list[Layer]:
    """An end that tells classes apart."""
    row: list[Layer] = []
    if len(shape) == 3 and chance.odds(0.4):
        row = [chance.one((layers.GlobalAveragePool2D, layers.GlobalMaxPool2D))()]
        shape = shape[:1]
    elif len(shape) > 1:
        row = [layers.Flatten()]
    if chance.odds(0.2):
        row.append(layers.Dropout(0.25))
    row.append(layers.Dense(int(np.prod(shape)), chance.whole(1, 7)))
    return [*row, layers.Softmax()] if chance.odds(0.3) else row


def in_row(chance: Chance, number: int) -> Made:
    """A `Sequential`."""
    shape = start = a_shape(chance)
    row: list[Layer] = []
    for _ in range(chance.whole(1, 8)):
        more = some(chance, shape)
        row += more
        shape = _after(more, shape)
    if chance.odds(0.6):
        row += tail(chance, shape)
    last = chance.odds(0.25)
    if last and len(start) == 3:
        start = (*start[1:], start[0])
    data_format = "channels_last" if last else "channels_first"
    if chance.odds(0.6):
        model = Sequential(*row, seed=number, data_format=data_format, input_shape=start)
        return Made(model, (start,))
    model, others = Sequential(*row, seed=number, data_format=data_format), []
    for _ in range(4):
        shape = tuple(each + chance.whole(-2, 3) for each in start)
        with contextlib.suppress(ValueError):
            if min(shape) > 0:
                model.output_shape((1, *shape))
                others.append(shape)
    return Made(model, (start,), tuple(others))


class Growing:
    """A graph that grows: what there is, and how more is made of it."""

    def __init__(self, chance: Chance, inputs: list[Symbol]) -> None:
        self.chance, self.known, self.used = chance, list(inputs), set()
        self.called: list[tuple[Layer, Shape]] = []

    def call(self, layer: Layer, *given: Symbol) -> Symbol:
        self.used |= {id(each) for each in given}
        made = layer(*given)
        self.known.append(made)
        self.called.append((layer, given[0].seen))
        return made

    def row(self, row: list[Layer], symbol: Symbol) -> Symbol:
        for layer in row:
            symbol = self.call(layer, symbol)
        return symbol

    def recent(self) -> Symbol:
        back = int(self.chance.rng.geometric(0.45))
        return self.known[-min(back, len(self.known))]

    def grow(self) -> None:
        chance, symbol = self.chance, self.recent()
        kind = chance.whole(0, 19)
        if kind < 10:
            self.row(some(chance, symbol.seen), symbol)
        elif kind < 16:
            self.meet(symbol)
        elif kind == 16 and len(symbol.seen) != 2:  # no norm takes a series
            batch: list[Layer] = [layers.BatchNorm(symbol.seen[0])]
            row = norm(chance, symbol.seen) if len(symbol.seen) == 3 else batch
            self.meet(self.row(row, symbol))
        elif kind == 17:  # the same layer again, perhaps of another size
            fitting = [layer for layer, shape in self.called if shape[:1] == symbol.seen[:1]]
            self.again(symbol, [layer for layer in fitting if not layer.takes_several])
        else:
            self.meet(self.row(same_shape(chance, symbol.seen), symbol), symbol)

    def again(self, symbol: Symbol, candidates: list[Layer]) -> None:
        if candidates:
            layer = self.chance.one(candidates)
            try:
                _after([layer], symbol.seen)
            except ValueError:
                return
            self.call(layer, symbol)

    def meet(self, one: Symbol, other: Symbol | None = None) -> None:
        """Two or more become one, of this shape."""
        chance = self.chance
        if other is None:
            alike = [each for each in self.known if each.seen == one.seen]
            other = chance.one(alike)
            if other is one:
                other = self.row(same_shape(chance, one.seen), one)
        kind = chance.whole(0, 9)
        if other.seen != one.seen:
            return
        parts = [one, other] if chance.odds(0.5) else [other, one]
        if chance.odds(0.15):
            parts.append(chance.one([each for each in self.known if each.seen == one.seen]))
        if kind < 6:
            made = self.call(layers.Add(), *parts)
            if chance.odds(0.6):
                self.call(layers.ReLU(), made)
        elif kind < 8 and len(one.seen) in (1, 2, 3):
            beside = [
                each for each in self.known
                if len(each.seen) == len(one.seen) and each.seen[1:] == one.seen[1:]
            ]  # fmt: skip
            parts = [one, chance.one(beside)] if chance.odds(0.5) else parts
            if sum(int(np.prod(each.seen)) for each in parts) <= _MOST:
                self.call(layers.Concat(), *parts)
        else:
            self.call(layers.Multiply(), *parts)

    def loose(self) -> list[Symbol]:
        return [each for each in self.known if each.layer is not None and id(each) not in self.used]


def branched(chance: Chance, number: int) -> Made:
    """A `Graph`."""
    last = "channels_last" if chance.odds(0.25) else "channels_first"
    inputs: list[Symbol] = []
    for _ in range(2 if chance.odds(0.15) else 1):
        shape = a_shape(chance)
        if inputs and chance.odds(0.6):
            shape = inputs[0].seen
        people = (*shape[1:], shape[0]) if last == "channels_last" and len(shape) == 3 else shape
        inputs.append(Input(people, last))
    growing = Growing(chance, inputs)
    for _ in range(chance.whole(2, 9)):
        growing.grow()
    for symbol in inputs:
        if id(symbol) not in growing.used:
            growing.row(some(chance, symbol.seen), symbol)
    loose, most = growing.loose(), chance.one((1, 1, 1, 2, 3))
    while len(loose) > most:  # rows of one length meet
        one, other = loose[-2:]
        size = chance.whole(1, 6)
        ends = [
            growing.row([layers.Flatten(), layers.Dense(int(np.prod(each.seen)), size)], each)
            for each in (one, other)
        ]
        growing.call(chance.one((layers.Add, layers.Concat))(), *ends)
        loose = growing.loose()
    outputs = [
        growing.row(tail(chance, each.seen), each) if chance.odds(0.5) else each for each in loose
    ]
    if chance.odds(0.2):
        inner = chance.one(growing.known)
        if inner.layer is not None and inner not in outputs:
            outputs.insert(chance.whole(0, len(outputs)), inner)
    given: Any = outputs if len(outputs) > 1 else outputs[0]
    starts: Any = inputs if len(inputs) > 1 else inputs[0]
    return Made(Graph(starts, given, seed=number), tuple(each.shape for each in inputs))


def build(number: int) -> Made:
    """Network number so and so, with statistics, biases and scales that do something."""
    chance = Chance(number, 1)
    made = (in_row if chance.odds(0.4) else branched)(chance, number)
    for name, array in made.model.named_arrays():
        kind = name.rpartition(".")[2]
        if kind in ("running_mean", "beta", "bias"):
            array[...] = chance.rng.normal(0, 0.3, array.shape)
        elif kind in ("running_var", "gamma"):
            array[...] = chance.rng.uniform(0.5, 1.5, array.shape)
    return made


# --- the command ----------------------------------------------------------------------------------


def main(check: Callable[[int], list[str]] | None = None) -> int:
    """Try so many networks; returns the exit code."""
    from tests.network import random_checks

    parser = argparse.ArgumentParser(description="Networks at random.")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0, help="number of the first one")
    options = parser.parse_args()
    wrong = 0
    random_checks.prepare()
    for number in range(options.seed, options.seed + options.count):
        try:
            found = random_checks.faults(number)
        except Exception:
            found = [traceback.format_exc()]
        wrong += bool(found)
        for each in found:
            print(f"{number}: {each}", flush=True)
    for why, times in sorted(random_checks.REFUSALS.items(), key=lambda each: -each[1]):
        print(f"{times} times {why}")
    print(f"{options.count} networks, {wrong} with a difference")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
