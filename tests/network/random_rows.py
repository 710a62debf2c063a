"""Convolutions beside BatchNorm at random, whose images are summed up by themselves.

Networks of `random_networks` are small, and so are their batches: BatchNorm sums them up in chunks.
Here are rows of convolutions of single pixels, of single channels and others, blocks of residual
networks and units of DenseNets, in batches of 16 to 40 images that are large enough
(`kernels.norm.units`). Every bit is that of the layers called one by one.
"""

from unittest import mock

import numpy as np

from fastcnn import Sequential, layers, optim
from fastcnn.layers import Layer, memory
from fastcnn.network import replay
from kernels import jit
from tests.network.random_networks import Chance, Made, Shape
from tests.network.random_walk import Arrays, Walk, gradients_of, samples, states_of

_CHANNELS = 1, 2, 3, 5, 8, 12, 15, 16, 17, 20, 33, 40, 64, 65  # some fill no vectors
_SIZES = 3, 5, 8, 9, 13, 16, 17, 19, 28  # pixels of a side


def _convolution(chance: Chance, inside: int, outside: int | None, same_size: bool) -> Layer:
    """One of single pixels, of single channels, or of 3 x 3."""
    kind, bias = chance.whole(0, 5), chance.odds(0.4)
    if kind < 2:
        return layers.Conv2D(inside, outside or chance.one(_CHANNELS), 1, bias=bias)
    if kind < 4 and outside in (None, inside):
        stride = 1 if same_size else chance.pair(1, 2)
        dilation, window = 1 + chance.odds(0.2), chance.pair(1, 4)
        return layers.Conv2D(
            inside, inside, window, stride, "same", bias, dilation=dilation, groups=inside
        )
    stride = 1 if same_size or chance.odds(0.8) else 2
    return layers.Conv2D(inside, outside or chance.one(_CHANNELS), 3, stride, "same", bias)


def _behind(chance: Chance, channels: int) -> list[Layer]:
    norm = layers.BatchNorm(channels, from_first_batch=chance.odds(0.2))
    return chance.one((
        *[[norm, layers.ReLU()]] * 6, *[[norm]] * 2, [layers.ReLU()], [],
        [layers.GroupNorm(1, channels), layers.ReLU()], [norm, layers.LeakyReLU(0.1)],
    ))  # fmt: skip


def _row(chance: Chance, channels: int, outside: int | None = None) -> tuple[list[Layer], int]:
    """Convolutions and what is behind them; and the channels that come out.

    outside : how many are wanted, of images of the same size; a normalisation is the end then
    """
    row: list[Layer] = []
    if chance.odds(0.3):
        row += [layers.BatchNorm(channels), layers.ReLU()]
    for left in range(chance.whole(0, 3), -1, -1):
        wanted = None if left else outside
        conv = _convolution(chance, channels, wanted, outside is not None)
        assert isinstance(conv, layers.Conv2D)
        channels = conv.out_channels
        ends = wanted is not None and chance.odds(0.8)
        row += [conv, *([layers.BatchNorm(channels)] if ends else _behind(chance, channels))]
    return row, channels


def _residual(chance: Chance, channels: int) -> tuple[list[Layer], int]:
    outside = channels if chance.odds(0.5) else chance.one(_CHANNELS)
    main, _ = _row(chance, channels, outside)
    shortcut: list[Layer] | None = None
    if outside != channels or chance.odds(0.3):
        norm = [layers.BatchNorm(outside)] if chance.odds(0.7) else []
        shortcut = [layers.Conv2D(channels, outside, 1), *norm]
    return [layers.Residual(main, shortcut, chance.one((layers.ReLU(), None)))], outside


def _units(chance: Chance, channels: int) -> tuple[list[Layer], int]:
    row: list[Layer] = []
    for _ in range(chance.whole(1, 2)):
        between, growth = chance.one(_CHANNELS), chance.one((1, 5, 7, 16))
        unit = [
            layers.BatchNorm(channels), layers.ReLU(), layers.Conv2D(channels, between, 1),
            layers.BatchNorm(between), layers.ReLU(), layers.Conv2D(between, growth, 3, padding=1),
        ]  # fmt: skip
        row.append(layers.Concatenate(unit))
        channels += growth
    return row, channels


def build_rows(number: int) -> Made:
    """Network number so and so, with scales of both signs and of 0."""
    chance = Chance(number, 8)
    channels = inside = chance.one(_CHANNELS)
    row: list[Layer] = []
    for _ in range(chance.whole(1, 3)):
        more, channels = chance.one((_row, _row, _residual, _units))(chance, channels)
        row += more
    last = chance.odds(0.2)
    size = chance.one(_SIZES), chance.one(_SIZES)
    shape: Shape = (*size, inside) if last else (inside, *size)
    model = Sequential(
        *row, seed=number, data_format="channels_last" if last else "channels_first"
    ).astype(chance.one((np.float32, np.float32, np.float64)))
    for name, array in model.named_arrays():
        kind = name.rpartition(".")[2]
        if kind in ("gamma", "beta", "bias"):
            array[...] = chance.rng.normal(0, 0.5, array.shape)
        if kind == "gamma" and chance.odds(0.3):
            array[chance.whole(0, array.size - 1)] = 0
    return Made(model, (shape,))


def _other_bits(what: str, found: Arrays, expected: Arrays) -> list[str]:
    """What is not the same; NaN is like all other NaN."""
    if found.keys() != expected.keys():
        return [f"{what}: {sorted(found.keys() ^ expected.keys())}"]
    return [
        f"{what}: {name} has other bits than its layers"
        for name, array in expected.items()
        if not np.array_equal(found[name], array, equal_nan=True)
    ]


def _spoiled(chance: Chance, x: np.ndarray) -> np.ndarray:
    """Now and then with what sums do not like."""
    kind = chance.whole(0, 29)
    if kind == 0:
        x = (1e4 + 1e-2 * x).astype(x.dtype)
    elif kind == 1:
        x[...] = 1.5
    elif kind < 6:
        at = chance.one((0, len(x) // 2)), 0, chance.one((0, -1)), chance.one((0, -1))
        x[at] = (1e6, np.nan, np.inf, -1e6)[kind - 2]
    return x


class _Pass:
    """One pass forward and back, and with what parameters and state."""

    def __init__(self, made: Made, chance: Chance, count: int) -> None:
        model = made.model
        (self.x,) = samples(made, chance, count, model.dtype)
        self.x = _spoiled(chance, self.x)
        self.before = model.copy_arrays()
        self.y = np.array(model.forward(self.x, training=True))
        self.state = states_of(model)
        if chance.odds(0.2):
            model.forward(samples(made, chance, chance.whole(1, 40), model.dtype)[0])
        self.dy = chance.rng.standard_normal(self.y.shape).astype(model.dtype)
        for _ in range(1 + chance.odds(0.1)):
            self.dx = np.array(model.backward(self.dy))
        self.gradients = gradients_of(model)

    def beside_layers(self, made: Made, what: str) -> list[str]:
        """What is wrong with it. Layers are made for that: lists of kernels are thrown away."""
        model, now = made.model, made.model.copy_arrays()
        for name, array in model.named_arrays():
            array[...] = self.before[name]
        walk = Walk(model, model.dtype)
        (y,) = walk.forward([self.x], training=True)
        (dx,), gradients = walk.backward([self.dy])
        for name, array in model.named_arrays():
            array[...] = now[name]
        return [
            *_other_bits(what, {"output": self.y, "input": self.dx}, {"output": y, "input": dx}),
            *_other_bits(f"{what}, gradient", self.gradients, gradients),
            *_other_bits(f"{what}, state", self.state, walk.state),
        ]


class _Training:
    """Steps of a network, and what people do in between."""

    def __init__(self, number: int) -> None:
        self.chance, self.made = Chance(number, 9), build_rows(number)
        self.model, self.optimizer = self.made.model, optim.SGD(1e-4, momentum=0.9)
        self.sizes = self.chance.whole(16, 40), self.chance.whole(1, 40)

    def step(self, count: int) -> _Pass:
        done = _Pass(self.made, self.chance, count)
        if all(np.isfinite(array).all() for array in done.gradients.values()):
            self.optimizer.step(self.model)
        for name, array in self.model.named_arrays():
            if not np.isfinite(array).all():  # of what an x with NaN leaves
                array[...] = name.endswith("var")
        return done

    def one_by_one(self, steps: int) -> list[str]:
        """What is wrong with steps between which much changes."""
        chance, wrong = self.chance, []
        leaves = [leaf for layer in self.model.layers for _, leaf in layer.leaves() if leaf.params]
        for step in range(steps):
            if chance.odds(0.1):
                jit.set_threads(chance.whole(1, 3))
            if chance.odds(0.1):
                leaf = chance.one(leaves)
                leaf.trainable = not leaf.trainable
            if chance.odds(0.1):  # nobody goes back
                (x,) = samples(self.made, chance, self.sizes[0], self.model.dtype)
                self.model.forward(x, training=True)
            count = self.sizes[0] if chance.odds(0.8) else self.sizes[1]
            wrong += self.step(count).beside_layers(self.made, f"step {step}, {count} images")
        return wrong

    def by_lists(self) -> list[str]:
        """What is wrong with steps that are like the ones before."""
        done = [self.step(self.sizes[0]) for _ in range(7)]
        return [
            text for each in done[-2:] for text in each.beside_layers(self.made, "lists of kernels")
        ]


def rows(number: int, steps: int = 8) -> list[str]:
    """What is wrong with some steps of training, and with some that lists of kernels make."""
    threads, chance = jit.get_threads(), Chance(number, 10)
    with (
        mock.patch.object(replay, "_LONG", np.inf),
        mock.patch.object(memory, "_LARGE", 0 if chance.odds(0.5) else memory._LARGE),
        np.errstate(all="ignore"),
    ):
        try:
            training = _Training(number)
            return [*training.one_by_one(steps), *training.by_lists()]
        finally:
            jit.set_threads(threads)
