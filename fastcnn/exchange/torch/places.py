"""Parts of tensors, their axes in another order, and their shapes."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from ...layers import Concat, Reshape
from ...layers.symbols import Symbol
from .. import composed


class _Batch:
    """How many samples there are, which nobody knows yet."""

    def __repr__(self) -> str:
        return "the batch's size"


BATCH = _Batch()


def batch_of(x: Any) -> Any:
    """The first of a tensor's sizes; a node of this function stands for it."""
    return BATCH


def cut_out(x: Symbol, place: Any) -> Symbol:
    """x[place]: slices, numbers, `None` and `...`, behind the samples.

    Raises
    ------
    ValueError
        If samples are chosen, or channels and places not by slices and numbers.
    """
    given = list(place) if isinstance(place, tuple) else [place]
    spared = len(x.seen) + 1 - sum(each is not None and each is not ... for each in given)
    if ... in given:
        at = given.index(...)
        given[at : at + 1] = [slice(None)] * spared
    else:
        given += [slice(None)] * spared
    if spared < 0 or given[0] != slice(None):
        raise ValueError("a part of the samples has no counterpart; begin the place with a colon")
    ranges, sizes, axes = [], [], iter(x.seen)
    for each in given[1:]:
        if each is None:
            sizes.append(1)
            continue
        size = next(axes)
        ranges.append(_range(each, size))
        if not isinstance(each, int):
            sizes.append(len(ranges[-1]))
    y = composed.part(x, ranges)
    if not sizes:
        raise ValueError("it leaves no axis beside the samples; give a slice, as x[:, :1]")
    return composed.reshaped(y, tuple(sizes))


def _range(place: Any, size: int) -> range:
    if isinstance(place, slice):
        found = range(size)[place]
    elif isinstance(place, int) and not isinstance(place, bool):
        found = range(size)[place : place + 1 or None]
    else:
        raise ValueError(f"a part by {place!r} has no counterpart; slices and numbers have one")
    if not found:
        raise ValueError(f"{place} of {size} is nothing")
    return found


def _permuted(x: Symbol, dims: list[int]) -> Symbol:
    found = composed.permuted(x, dims)
    if found is None:
        raise ValueError(
            f"dims {tuple(dims)} have no counterpart: images stay (N, C, H, W). Where channels "
            f"come last for nn.Linear, nn.Conv2d of 1 x 1 does the same; for nn.LayerNorm, "
            f"nn.GroupNorm(1, channels) is over whole images"
        )
    return found


def _reshaped(x: Symbol, sizes: Sequence[int]) -> Symbol:
    if not sizes:
        raise ValueError(
            f"it would leave no axis beside the samples; leave it out, which gives {('N', *x.seen)}"
        )
    if -1 not in sizes and math.prod(sizes) == math.prod(x.seen):
        return composed.reshaped(x, tuple(sizes))
    return composed.reshaped(x, Reshape(tuple(sizes)).output_shape((1, *x.seen))[1:])


def shuffled(x: Symbol, groups: int) -> Symbol:
    """Channels, (groups, rest), as (rest, groups)."""
    if x.seen[0] % groups:
        raise ValueError(f"{x.seen[0]} channels do not make {groups} groups")
    return composed.shuffled(x, groups)


def _size(x: Symbol, dim: int) -> int:
    axis = dim % (len(x.seen) + 1)
    if axis == 0:
        raise ValueError("the samples cannot be taken apart; give dim=1, the channels")
    return x.seen[axis - 1]


def _along(x: Symbol, dim: int, first: int, last: int) -> tuple[Any, ...]:
    place = [slice(None)] * (len(x.seen) + 1)
    place[dim] = slice(first, last)
    return tuple(place)


# --- channels and places --------------------------------------------------------------------------


def _cat(tensors: Any, dim: int = 0) -> Symbol:
    if not all(isinstance(each, Symbol) for each in tensors):
        raise ValueError("with an array of its own it has no counterpart")
    if dim not in (1, -len(tensors[0].seen)):
        raise ValueError(f"dim={dim} has no counterpart, only 1, the channels")
    return tensors[0] if len(tensors) == 1 else Concat()(*tensors)


def _getitem(x: Any, place: Any) -> Any:
    return cut_out(x, place) if isinstance(x, Symbol) else x[place]


def _narrow(x: Symbol, dim: int, start: int, length: int) -> Symbol:
    return cut_out(x, _along(x, dim, start, start + length))


def _chunk(x: Symbol, chunks: int, dim: int = 0) -> tuple[Symbol, ...]:
    return _split(x, -(-_size(x, dim) // chunks), dim)


def _split(x: Symbol, split_size: Any, dim: int = 0) -> tuple[Symbol, ...]:
    count = _size(x, dim)
    if isinstance(split_size, (tuple, list)):
        ends = [0, *itertools.accumulate(split_size)]
        if ends[-1] != count:
            raise ValueError(f"parts of {list(split_size)} are not {count} in all")
    else:
        ends = [*range(0, count, split_size), count]
    pairs = itertools.pairwise(ends)
    return tuple(cut_out(x, _along(x, dim, first, last)) for first, last in pairs)


def _permute(x: Symbol, *dims: Any) -> Symbol:
    given = dims[0] if isinstance(dims[0], (tuple, list)) else dims
    return _permuted(x, [each % (len(x.seen) + 1) for each in given])


def _transpose(x: Symbol, dim0: int, dim1: int) -> Symbol:
    dims = list(range(len(x.seen) + 1))
    dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return _permuted(x, dims)


# --- shapes ---------------------------------------------------------------------------------------


def _flatten(x: Symbol, start_dim: int = 0, end_dim: int = -1) -> Symbol:
    first, last = (each % (len(x.seen) + 1) for each in (start_dim, end_dim))
    if first < 1 or last < first:
        raise ValueError(f"start_dim={start_dim}, end_dim={end_dim} have no counterpart")
    seen = x.seen
    joined = math.prod(seen[first - 1 : last])
    return composed.reshaped(x, (*seen[: first - 1], joined, *seen[last:]))


def _view(x: Symbol, *shape: Any) -> Symbol:
    batch, *sizes = shape[0] if shape and isinstance(shape[0], (tuple, list)) else shape
    if (batch is not BATCH and batch != -1) or any(not isinstance(n, int) for n in sizes):
        raise ValueError(f"the shape {shape} does not begin with the batch's size, or -1")
    return _reshaped(x, sizes)


def _squeeze(x: Symbol, dim: Any = None) -> Symbol:
    if dim is None:
        raise ValueError(
            "without dim it takes the samples' axis too, where there is one sample; give dim, or "
            "flatten(1)"
        )
    count = len(x.seen) + 1
    dims = dim if isinstance(dim, (tuple, list)) else [dim]
    gone = {each % count for each in dims}
    sizes = [n for axis, n in enumerate(x.seen, 1) if axis not in gone or n != 1]
    return _reshaped(x, sizes)


def _unsqueeze(x: Symbol, dim: int) -> Symbol:
    place = dim % (len(x.seen) + 2)
    if place == 0:
        raise ValueError(f"dim={dim} puts an axis before the samples, which has no counterpart")
    return composed.reshaped(x, (*x.seen[: place - 1], 1, *x.seen[place - 1 :]))


def _expand(x: Symbol, *shape: Any) -> Symbol:
    batch, *sizes = shape[0] if isinstance(shape[0], (tuple, list)) else shape
    is_known = all(isinstance(n, int) for n in sizes) and (batch is BATCH or batch == -1)
    if len(sizes) != len(x.seen) or not is_known:
        raise ValueError(f"the shape {shape} has no counterpart for {('N', *x.seen)}")
    wanted = tuple(old if n == -1 else n for old, n in zip(x.seen, sizes, strict=True))
    found = composed.spread_to(x, wanted)
    if found.seen != wanted:
        raise ValueError(f"it cannot make {('N', *wanted)} of {('N', *x.seen)}")
    return found


def _expand_as(x: Symbol, other: Symbol) -> Symbol:
    return _expand(x, BATCH, *other.seen)


PLACES: dict[str, Callable[..., Any]] = {
    "cat": _cat,
    "concat": _cat,
    "getitem": _getitem,
    "narrow": _narrow,
    "chunk": _chunk,
    "split": _split,
    "permute": _permute,
    "transpose": _transpose,
    "flatten": _flatten,
    "view": _view,
    "reshape": _view,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "expand": _expand,
    "expand_as": _expand_as,
}
"""Name of a function or method -> what it is on symbols."""
