"""Operators that take parts of images, or put their axes in another order."""

from collections.abc import Callable

import numpy as np

from ...layers import Add, Multiply, ReLU
from ...layers.symbols import Symbol
from .. import composed
from .at import At
from .constants import BATCH, sliced

Operator = Callable[[At], Symbol]


def _part(at: At, ranges: list[range]) -> Symbol:
    if not all(ranges):
        raise at.refuse(f"it takes nothing of {('N', *at.x.seen)}")
    return composed.part(at.x, ranges, at.call)


def _whole(at: At) -> list[range]:
    return [range(size) for size in at.x.seen]


def _checked_axis(at: At, axis: int) -> int:
    found = at.axis(axis)
    if not 1 <= found <= len(at.x.seen):
        raise at.refuse(f"it is along axis {axis} of {('N', *at.x.seen)}; samples stay whole")
    return found - 1


def _slice(at: At) -> Symbol:
    starts, ends = at.numbers(1, "starts") or [], at.numbers(2, "ends") or []
    axes = at.numbers(3, "axes") or list(range(len(starts)))
    steps = at.numbers(4, "steps") or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise at.refuse(f"it is from {starts} to {ends} of the axes {axes} by {steps}")
    ranges = _whole(at)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if at.axis(axis) == 0 and (start, step) == (0, 1) and end >= min(at.values.batch, BATCH):
            continue
        place = _checked_axis(at, axis)
        ranges[place] = ranges[place][sliced(len(ranges[place]), start, end, step)]
    return _part(at, ranges)


def _split(at: At) -> Symbol:
    place = _checked_axis(at, at.attribute("axis", 0))
    ranges, outputs = _whole(at), at.node.outputs
    count, parts = len(ranges[place]), len(outputs)
    sizes = at.numbers(1, "split")
    if not sizes:
        # Before version 18 all parts are alike; since then the last one may be smaller.
        equal = -(-count // parts) if at.opset >= 18 else count // parts
        sizes = [equal] * parts
        sizes[-1] -= max(sum(sizes) - count, 0)
    if len(sizes) != parts or sum(sizes) != count or min(sizes) < 1:
        raise at.refuse(f"it makes parts of {sizes} of {count}")
    number = outputs.index(at.more[0])
    first = sum(sizes[:number])
    ranges[place] = range(first, first + sizes[number])
    return _part(at, ranges)


def _gather(at: At) -> Symbol:
    place, index = _checked_axis(at, at.attribute("axis", 0)), at.array(1, "indices")
    ranges = _whole(at)
    size = len(ranges[place])
    if index.size != 1 or index.ndim > 1 or not -size <= int(index.ravel()[0]) < size:
        raise at.refuse("it takes more than one place; a Slice takes several, a Conv of 1 x 1 any")
    first = int(index.ravel()[0]) % size
    ranges[place] = range(first, first + 1)
    found = _part(at, ranges)
    left = [n for axis, n in enumerate(found.seen) if axis != place or index.ndim]
    if not left:
        raise at.refuse("it leaves no axis beside the samples; indices of shape (1,) would")
    return composed.reshaped(found, tuple(left))


def _transpose(at: At) -> Symbol:
    axes = at.attribute("perm", list(range(len(at.x.seen), -1, -1)))
    found = composed.permuted(at.x, axes, at.call)
    if found is None:
        raise at.refuse(
            f"it puts the axes of {('N', *at.x.seen)} as {axes}; a network whose images are "
            f"(N, C, H, W) from its input to its output could stand there instead"
        )
    return found


def _expand(at: At) -> Symbol:
    sizes, seen = at.numbers(1, "shape") or [], at.x.seen
    sizes = [1] * (len(seen) + 1 - len(sizes)) + sizes
    pairs = list(zip(seen, sizes[1:], strict=False))
    wanted = tuple(size if old == 1 else old for old, size in pairs)
    fits = all(size in (1, new) for (_, size), new in zip(pairs, wanted, strict=True))
    if len(sizes) != len(seen) + 1 or sizes[0] not in (1, BATCH, at.values.batch) or not fits:
        raise at.refuse(
            f"it makes {sizes} of {('N', *seen)}, where samples stay as many and sizes of 1 grow"
        )
    at.refuse_large(wanted)
    found = composed.spread_to(at.x, wanted, at.call)
    if found.seen != wanted:
        raise at.refuse(f"it makes {wanted} of {seen}")
    return found


def _sub(at: At) -> Symbol:
    negative = composed.scaled(at.symbol(1), -1.0, call=at.call)
    return at.become(Add(), *composed.spread((at.x, negative), at.call))


def _abs(at: At) -> Symbol:
    negative = composed.scaled(at.x, -1.0, call=at.call)
    return at.become(Add(), at.become(ReLU()), at.become(ReLU(), negative))


def _pow(at: At) -> Symbol:
    if not np.array_equal(at.by_channel(at.x.seen, at.array(1, "exponent")), [2]):
        raise at.refuse("its exponent is not 2; a Mul of a value with itself is its square")
    return at.become(Multiply(), at.x, at.x)


def _extreme(largest: bool) -> Operator:
    """Max and Min: of several values, or of one and 0."""

    def make(at: At) -> Symbol:
        known = [name in at.values.arrays for name in at.node.inputs]
        if not any(known):
            given = [at.symbol(i) for i in range(len(known))]
            return composed.extreme(composed.spread(given, at.call), largest, at.call)
        x = at.symbol(known.index(False))
        zeros = at.by_channel(x.seen, at.array(known.index(True), "array"))
        if len(known) != 2 or zeros.any():
            raise at.refuse("it is not with 0, as a Relu; a MaxPool is over places")
        if largest:
            return at.become(ReLU(), x)
        y = at.become(ReLU(), composed.scaled(x, -1.0, call=at.call))
        return composed.scaled(y, -1.0, call=at.call)

    return make


PLACES: dict[str, Operator] = {
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Transpose": _transpose,
    "Expand": _expand,
    "Sub": _sub,
    "Neg": lambda at: composed.scaled(at.x, -1.0, call=at.call),
    "Abs": _abs,
    "Pow": _pow,
    "Max": _extreme(largest=True),
    "Min": _extreme(largest=False),
}
"""Operator -> what it becomes."""
