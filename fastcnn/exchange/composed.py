"""What no layer does alone, made of layers that there are: for networks of other libraries.

All take symbols and give symbols, so that they go out again as the layers that they are made of.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..layers import (
    AdaptiveAveragePool2D,
    AdaptiveMaxPool2D,
    BatchNorm,
    Concat,
    Conv1D,
    Conv2D,
    Dense,
    Flatten,
    Layer,
    MaxPool2D,
    Pad,
    Reshape,
    Upsample,
)
from ..layers.symbols import Symbol

Arrays = Mapping[str, np.ndarray]
Call = Callable[[Layer, Symbol, Arrays], Symbol]
"""Calls a layer that shall have these arrays."""
FOR_IMAGES = (Pad, Upsample, AdaptiveAveragePool2D, AdaptiveMaxPool2D)
"""Layers that take no series."""
_MOST_WEIGHTS = 2**24
ZERO = -1
"""In the place of a channel: one of zeros."""


def called(layer: Layer, x: Symbol, arrays: Arrays) -> Symbol:
    """What a layer gives that has these arrays."""
    for name, array in arrays.items():
        (layer.params if name in layer.params else layer.state)[name][...] = array
    return layer(x)


def reshaped(x: Symbol, sizes: tuple[int, ...]) -> Symbol:
    """x with samples of a shape; what had it already, where they were given another one since."""
    before = x
    while before.seen != sizes and isinstance(before.layer, (Flatten, Reshape)):
        (before,) = before.sources
    if before.seen == sizes:
        return before
    return Flatten()(x) if len(sizes) == 1 else Reshape(sizes)(x)


def of_images(layer: Layer, x: Symbol, call: Call = called, arrays: Arrays | None = None) -> Symbol:
    """What a layer for images gives for them, or for series (C, L) as images of one row."""
    if len(x.seen) != 2:
        return call(layer, x, arrays or {})
    y = call(layer, reshaped(x, (x.seen[0], 1, x.seen[1])), arrays or {})
    return reshaped(y, (y.seen[0], math.prod(y.seen[1:])))


def by_channel(seen: tuple[int, ...], array: np.ndarray) -> np.ndarray:
    """An array beside samples that is one number, or one a channel, as (1,) or (channels,).

    Raises
    ------
    ValueError
        If it is neither.
    """
    padded = (1,) * (len(seen) + 1 - array.ndim) + array.shape
    fits = len(padded) == len(seen) + 1 and padded[1] in (1, seen[0])
    if not fits or array.size != padded[1]:
        raise ValueError(
            f"with an array of shape {array.shape} beside {('N', *seen)} it has no counterpart; "
            f"what has one is a number, or one for each channel"
        )
    return array.reshape(-1)


def scaled(x: Symbol, factor: Any = 1.0, offset: Any = 0.0, call: Call = called) -> Symbol:
    """x * factor + offset, of one number or one a channel: a BatchNorm that is frozen."""
    channels = x.seen[0]
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    gamma, beta = (np.resize(np.asarray(each, np.float32), channels) for each in (factor, offset))
    if (gamma == 1).all() and not beta.any():
        return x
    layer = BatchNorm(channels, eps=1e-30)  # 1 + eps is 1
    layer.trainable = False
    arrays = {"gamma": gamma, "beta": beta, "running_mean": zeros, "running_var": ones}
    return of_images(layer, x, call, arrays)


def picked(x: Symbol, channels: Iterable[int], call: Call = called) -> Symbol:
    """These channels of x in this order, some perhaps several times, or `ZERO`.

    A 1 x 1 convolution that is frozen, of series and vectors the like.
    """
    places, count, rank = list(channels), x.seen[0], len(x.seen)
    if places == list(range(count)):
        return x
    if len(places) * count > _MOST_WEIGHTS:
        raise ValueError(f"{len(places)} of {count} channels are too many to be chosen")
    weight = np.array([np.arange(count) == place for place in places], np.float32)
    if rank == 1:
        weight, layer = weight.T, Dense(count, len(places), bias=False)
    else:
        kind = Conv1D if rank == 2 else Conv2D
        weight, layer = (
            weight.reshape(*weight.shape, *[1] * (rank - 1)),
            kind(count, len(places), 1, bias=False),
        )
    layer.trainable = False
    return call(layer, x, {"weight": weight})


def spread(given: Sequence[Symbol], call: Call = called) -> list[Symbol]:
    """Of one shape, where one has one number a channel, (C, 1, 1), or one channel: as NumPy does.

    What fits in no such way is given back as it is.
    """
    if len({len(each.seen) for each in given}) > 1:
        return list(given)
    sizes = tuple(map(max, zip(*(each.seen for each in given), strict=True)))
    return [spread_to(each, sizes, call) for each in given]


def spread_to(x: Symbol, sizes: tuple[int, ...], call: Call = called) -> Symbol:
    """x, whose axes of size 1 are repeated."""
    pairs = list(zip(x.seen, sizes, strict=True)) if len(x.seen) == len(sizes) < 4 else []
    if x.seen == sizes or not pairs or any(size not in (1, wanted) for size, wanted in pairs):
        return x
    if x.seen[1:] != sizes[1:]:
        x = of_images(Upsample(size=_both(sizes[1:])), x, call)
    return picked(x, [0] * sizes[0], call) if x.seen[0] != sizes[0] else x


def part(x: Symbol, ranges: Sequence[range], call: Call = called) -> Symbol:
    """These channels, and rows and columns of images or places of series.

    Raises
    ------
    ValueError
        If these go backwards, or x is no image, series or vector.
    """
    whole = [range(size) for size in x.seen]
    if ranges[1:] != whole[1:]:
        if len(x.seen) not in (2, 3) or any(one.step < 1 for one in ranges[1:]):
            raise ValueError(f"such a part of {('N', *x.seen)} has no counterpart")
        x = _cut(x, ranges[1:], call)
    return picked(x, ranges[0], call)


def _cut(x: Symbol, places: Sequence[range], call: Call) -> Symbol:
    """Images without what lies around, and then each of a few pixels."""
    before = _both(tuple(-each.start for each in places))
    before = before if len(places) == 2 else (0, before[1])
    behind = [each[-1] + 1 - size for each, size in zip(places, x.seen[1:], strict=True)]
    rows, columns = [*zip(before, ([0] * (2 - len(places)) + behind), strict=True)]
    if any((*rows, *columns)):
        x = of_images(Pad((rows, columns)), x, call)
    steps = _both(tuple(each.step for each in places))
    return x if steps == (1, 1) else of_images(MaxPool2D(1, steps), x, call)


def reduced(
    x: Symbol, axes: Iterable[int], largest: bool, keeps: bool, call: Call = called
) -> Symbol:
    """The mean, or the largest, over rows, columns or both of images (axes 2, 3), or of series."""
    over = set(axes)
    sizes = tuple(1 if axis in over else n for axis, n in enumerate(x.seen[1:], 2))
    pool = (AdaptiveMaxPool2D if largest else AdaptiveAveragePool2D)(_both(sizes))
    y = of_images(pool, x, call)
    left = tuple(n for axis, n in enumerate(y.seen, 1) if axis not in over)
    return y if keeps else reshaped(y, left)


def _both(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns; of series, one row."""
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def extreme(given: Sequence[Symbol], largest: bool, call: Call = called) -> Symbol:
    """The largest, or the smallest, of several at each place: rows of an image that are pooled.

    Where two are alike, the first one's gradient is all of it.

    Raises
    ------
    ValueError
        If their shapes differ.
    """
    if len({each.seen for each in given}) > 1:
        raise ValueError(f"shapes differ: {' and '.join(str(('N', *x.seen)) for x in given)}")
    if not largest:
        given = [scaled(each, -1.0, call=call) for each in given]
    sizes = given[0].seen
    rows = reshaped(Concat()(*given), (1, len(given), math.prod(sizes)))
    y = reshaped(call(MaxPool2D((len(given), 1)), rows, {}), sizes)
    return y if largest else scaled(y, -1.0, call=call)


def shuffled(x: Symbol, groups: int, call: Call = called) -> Symbol:
    """Channels, (groups, rest), as (rest, groups)."""
    places = np.arange(x.seen[0]).reshape(groups, -1)
    return picked(x, places.T.ravel().tolist(), call)


def permuted(x: Symbol, axes: Sequence[int], call: Call = called) -> Symbol | None:
    """x with its axes in another order, where that moves channels only; else None."""
    if sorted(axes) != list(range(len(x.seen) + 1)) or axes[0] != 0:
        return None
    sizes = tuple(x.seen[axis - 1] for axis in axes[1:])
    moved = [axis for axis in axes if axis and x.seen[axis - 1] > 1]
    if moved == sorted(moved):
        return reshaped(x, sizes)  # no number moves
    ways = list(axes[1:3]) == [2, 1] and list(axes[3:]) == list(range(3, len(axes)))
    if not ways or not 3 <= len(axes) - 1 <= 4:
        return None
    # Groups of channels, (groups, rest, H, W), as a channel shuffle has them.
    joined = reshaped(x, (sizes[0] * sizes[1], *sizes[2:]))
    return reshaped(shuffled(joined, x.seen[0], call), sizes)
