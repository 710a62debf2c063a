"""Dense layers on the register tile: y = x W + b, dx = dy W^T, dW = x^T dy, db = sum of dy's rows.

x is (N, in), weight (in, out), y and dy (N, out). Each direction cuts its result into blocks that
one iteration owns whole, or adds up in one order. Operands are packed where the tile would
otherwise read them badly: weights (but for few rows of x) and dy into panels, and x into rows whose
length is no multiple of 2 KB, because rows a power of two apart fall into the same few sets of the
L1 cache. dW sums along columns of x, which lie on as many pages as there are rows: of a block of
them a copy is made where it is read by several panels. Where that moves less, dx is computed
transposed instead of the weights.

The gradients and the optimizer cut the weights by rows, so each core has some rows in its caches,
with the newest numbers. Where y has few columns for the number of weights, the forward pass cuts
them likewise: each iteration sums over a part of the depth, and the parts' sums are added. Cut by
columns, half of the weights came from the other core, which took as long as all arithmetic.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from kernels import jit
from kernels.jit import thread_id
from kernels.portion import MAX_CHUNKS
from kernels.shares import is_small
from kernels.simd import lanes, load_part, store_part
from kernels.tile import (
    TILE_ROWS,
    copy_row,
    fill_row,
    multiply_block,
    pack_panel,
    pack_transposed,
    panel_width,
    prepare,
    sum_rows,
    transpose_block,
    vector_lanes,
)
from kernels.workspace import Shapes, Workspace

_SAME_SETS = 2048  # bytes; 14 rows a multiple of this apart do not fit into their L1 sets
_FEW_ROWS = 64  # of x, for which the weights are read in place sooner than packed
_SMALL_WEIGHTS = 1 << 20  # bytes; of larger ones a panel's rows lie on too many pages to read again
PARTS = 4  # of the depth, whose sums are added in one order, for any number of threads
_DEEP = 3  # times as many rows as columns
_MANY_WEIGHTS = 1 << 17  # bytes; fewer are soon taken from another core
_MOST_ROWS = 512  # of x, whose sums for all parts stay in a core's caches
_BLOCK_ROWS = 2 * TILE_ROWS  # of dweight
_PANELS_TO_COPY = 4  # of dy, for which as many columns of x are copied before they are read
_BLOCK_COLUMNS = 7 * 16  # of dx in a turned block: whole vectors, with AVX-512 whole tiles
_FASTER = 20  # multiply-adds in the time of a simple operation on one element


@jit.parallel
def _spread(x, rows, columns, target, target_row):
    """One iteration copies one row of x to where it shares no cache sets with its neighbours."""
    for n in prange(rows):
        copy_row(x, n * columns, target, n * target_row, columns)


def _apart(x: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, int]:
    """x as a flat array, with the distance of its rows, copied if its own distance is a bad one."""
    rows, columns = x.shape
    if columns * x.itemsize % _SAME_SETS:
        return x.reshape(-1), columns
    distance = columns + 64 // x.itemsize
    target = workspace.array("spread", (rows * distance,), x.dtype)
    _spread(x.reshape(-1), rows, columns, target, distance)
    return target, distance


# --- forward ----------------------------------------------------------------------------------


@jit.serial
def _begin(bias, start):
    """What sums start from: the bias, or zeros where there is none; zeros in lanes without one."""
    copy_row(bias, 0, start, 0, bias.size)
    fill_row(start, bias.size, start.size - bias.size)


@jit.parallel
def _forward(x, x_row, weight, bias, y, shape, cut, loops, start, panels, held, sums):
    """loops : (blocks, iterations that share them)"""
    blocks, parts = loops
    if sums.size:
        fill_row(start, 0, start.size)
    else:
        _begin(bias, start)
    for thread in range(held.shape[0]):
        held[thread, 0] = -1
    for part in prange(parts):
        me = thread_id()
        _forward_share(
            x, x_row, weight, y, shape, cut, start, panels[me], held[me], sums,
            blocks * part // parts, blocks * (part + 1) // parts,
        )  # fmt: skip
    if sums.size:
        for chunk in prange(MAX_CHUNKS):  # owns some rows of y
            _add_share(
                sums, bias, y, shape[2],
                shape[0] * chunk // MAX_CHUNKS, shape[0] * (chunk + 1) // MAX_CHUNKS,
            )  # fmt: skip


@jit.serial
def _forward_share(
    x, x_row, weight, y, shape, cut, start, panel, held, sums, first_block, last_block
):
    """A block owns one panel of y's columns for one share of its rows, or one part of the depth.

    cut : (shares of the rows, whether panels are packed)
    panel, held : this thread's packed panel, and which one it is
    sums : y as each part of the depth has it, a row for each; or size 0
    """
    n, inner, out = shape
    shares, packed = cut
    width = panel_width(weight, out)
    panels = (out + width - 1) // width
    depths = max(1, sums.shape[0])
    for block in range(first_block, last_block):
        number, share = block // shares, block % shares
        depth, column = number // panels, number % panels * width
        first, last = inner * depth // depths, inner * (depth + 1) // depths
        rows = (n * share // shares, n * (share + 1) // shares)
        b, b0, b_step = weight, first * out + column, out
        if packed:
            b, b0, b_step = panel, 0, width
            if held[0] != number:
                pack_panel(weight[first * out :], last - first, out, column, width, panel, 0)
                held[0] = number
        multiply_block(
            x, first, (x_row, 1), rows, last - first, b, b0, b_step, (column, out), start,
            sums[depth] if sums.size else y,
        )  # fmt: skip


@jit.serial
def _add_share(sums, bias, y, columns, first_row, last_row):
    """y = ((part 0 + part 1) + (part 2 + part 3)) + bias"""
    for row in range(first_row, last_row):
        for column in range(0, columns, lanes(y)):
            at, left = row * columns + column, columns - column
            first = load_part(sums[0], at, left) + load_part(sums[1], at, left)
            second = load_part(sums[2], at, left) + load_part(sums[3], at, left)
            total = first + second
            if bias.size:
                total = total + load_part(bias, column, left)
            store_part(y, at, total, left)


class _Plan(NamedTuple):
    """What follows from shapes alone.

    cut : shares of the rows and whether panels are packed; or the panels' width
    loops : blocks, and the iterations that share them: one, if that is done sooner
    """

    cut: Any
    loops: tuple[int, int]
    scratch: Shapes


def _loops(blocks: int, multiply_adds: int) -> tuple[int, int]:
    return blocks, 1 if is_small(multiply_adds // _FASTER) else blocks


def depth_parts(inner: int, out: int, dtype: np.dtype) -> int:
    """In how many parts of the depth y is summed up, whatever the number of rows."""
    is_deep = inner * out * dtype.itemsize >= _MANY_WEIGHTS and inner >= _DEEP * out
    return PARTS if is_deep else 1


@functools.lru_cache(maxsize=1000)
def _forward_plan(n: int, inner: int, out: int, dtype: np.dtype) -> _Plan:
    width = int(panel_width(np.empty(0, dtype), out))
    row, parts = out * dtype.itemsize, depth_parts(inner, out, dtype)
    many = inner * row // parts > _SMALL_WEIGHTS
    packed = out % width != 0 or n > _FEW_ROWS or row % _SAME_SETS == 0 or many
    panels, threads = -(-out // width), jit.max_threads()
    shares = 1 if panels > 4 or parts > 1 else max(1, min(4, n // TILE_ROWS))
    scratch = (
        ("start", (panels * width,)),
        ("panels", (threads, -(-inner // parts) * width if packed else 0)),
        ("sums", (parts, n * out) if parts > 1 else (0, 0)),
    )
    return _Plan((shares, packed), _loops(parts * panels * shares, n * inner * out), scratch)


def dense_forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, y: np.ndarray, workspace: Workspace
) -> None:
    """Fill y (N, out) with x (N, in) times weight (in, out) plus bias (out,) or size 0."""
    dtype = x.dtype
    prepare(dtype)
    if len(x) > _MOST_ROWS and depth_parts(weight.shape[0], weight.shape[1], dtype) > 1:
        for first in range(0, len(x), _MOST_ROWS):
            rows = slice(first, first + _MOST_ROWS)
            dense_forward(x[rows], weight, bias, y[rows], workspace)
        return
    shape = (*x.shape, weight.shape[1])
    plan = _forward_plan(*shape, dtype)
    apart, distance = _apart(x, workspace)
    start, room, sums = workspace.room(plan.scratch, dtype)
    held = workspace.array("held", (len(room), 1), np.int64)
    _forward(
        apart, distance, weight.reshape(-1), bias, y.reshape(-1), shape, plan.cut, plan.loops,
        start, room, held, sums,
    )  # fmt: skip


# --- gradients --------------------------------------------------------------------------------


@jit.parallel
def _input_gradient(dy, dy_row, weight, dx, shape, cut, loops, turned, start, room):
    """cut : width of the panels of dy's transpose, where that is made"""
    blocks, parts = loops
    fill_row(start, 0, start.size)
    if turned.size:
        for row in range(0, shape[0], cut):
            pack_transposed(dy, 0, shape[0], shape[2], row, cut, turned[row * shape[2] :])
    for part in prange(parts):
        _input_gradient_share(
            dy, dy_row, weight, dx, shape, turned, start, room[thread_id()],
            blocks * part // parts, blocks * (part + 1) // parts,
        )  # fmt: skip


@jit.serial
def _input_gradient_share(
    dy, dy_row, weight, dx, shape, turned, start, room, first_block, last_block
):  # fmt: skip
    """A block owns some of dx's columns. room : this thread's own, for a panel or a turned block"""
    n, inputs, out = shape
    for block in range(first_block, last_block):
        if turned.size:
            _turned_block(turned, weight, dx, shape, start, room, block * _BLOCK_COLUMNS)
        else:
            width = panel_width(dx, inputs)
            column = block * width
            pack_transposed(weight, 0, inputs, out, column, width, room)
            multiply_block(
                dy, 0, (dy_row, 1), (0, n), out, room, 0, width, (column, inputs), start, dx
            )


@jit.serial
def _turned_block(turned, weight, dx, shape, start, block, first):
    """Columns of dx from ``first`` on, computed as rows of its transpose.

    turned : panels of dy's transpose; block : room for `_BLOCK_COLUMNS` rows of a panel
    """
    n, inputs, out = shape
    width = panel_width(turned, n)
    count = min(_BLOCK_COLUMNS, inputs - first)
    step = lanes(dx)
    for row in range(0, n, width):
        rows = min(width, n - row)
        multiply_block(
            weight, first * out, (out, 1), (0, count), out, turned, row * out, width, (0, width),
            start, block,
        )  # fmt: skip
        for column in range(0, count, step):
            for k in range(0, rows, step):
                transpose_block(
                    block, column * width + k, width, step, min(step, rows - k),
                    dx, (row + k) * inputs + first + column, inputs,
                )  # fmt: skip


@functools.lru_cache(maxsize=1000)
def _input_plan(n: int, inputs: int, out: int, dtype: np.dtype) -> _Plan:
    """Its cut : the width of the panels of dy's transpose, or 0 if the weights are transposed."""
    like = np.empty(0, dtype)
    vector, turned = int(vector_lanes(like)), 0
    turns_well = inputs % vector == 0 and out * dtype.itemsize % _SAME_SETS != 0
    if vector // 2 < n < out and turns_well:
        width = turned = int(panel_width(like, n))
        blocks, room = -(-inputs // _BLOCK_COLUMNS), _BLOCK_COLUMNS * width
    else:
        width = int(panel_width(like, inputs))
        blocks, room = -(-inputs // width), out * width
    scratch = (
        ("turned", (-(-n // turned) * turned * out if turned else 0,)),
        ("zeros", (max(blocks, 1) * width,)),
        ("room", (jit.max_threads(), room)),
    )
    return _Plan(turned, _loops(blocks, n * inputs * out), scratch)


def dense_backward_input(
    dy: np.ndarray, weight: np.ndarray, dx: np.ndarray, workspace: Workspace
) -> None:
    """Fill dx (N, in) with dy (N, out) times the transpose of weight (in, out).

    Either the weights or, where that is less work, dy and dx are transposed on the way.
    """
    dtype = dy.dtype
    prepare(dtype)
    shape = (len(dy), *weight.shape)
    plan = _input_plan(*shape, dtype)
    turned, start, room = workspace.room(plan.scratch, dtype)
    apart, distance = (dy.reshape(-1), shape[2]) if plan.cut else _apart(dy, workspace)
    _input_gradient(
        apart, distance, weight.reshape(-1), dx.reshape(-1), shape, plan.cut, plan.loops, turned,
        start, room,
    )  # fmt: skip


@jit.parallel
def _weight_gradient(x, x_row, dy, dweight, dbias, shape, width, loops, start, panels, room):
    """loops : (first block, last block, iterations that share them)"""
    first, last, parts = loops
    fill_row(start, 0, start.size)
    _pack_gradient(dy, shape[0], shape[2], width, panels, dbias)
    for part in prange(parts):
        _weight_gradient_share(
            x, x_row, dy, dweight, shape, start, panels, room[thread_id()],
            first + (last - first) * part // parts, first + (last - first) * (part + 1) // parts,
        )  # fmt: skip


@jit.serial
def _weight_gradient_share(
    x, x_row, dy, dweight, shape, start, panels, room, first_block, last_block
):  # fmt: skip
    """A block owns some rows of dweight; each number sums over the batch in order.

    room : this thread's own, for those columns of x
    """
    n, inputs, out = shape
    width = panel_width(dy, out)
    for block in range(first_block, last_block):
        first = block * _BLOCK_ROWS
        count = min(_BLOCK_ROWS, inputs - first)
        a, a0, a_step = x, first, x_row
        if room.size:
            for i in range(n):
                copy_row(x, i * x_row + first, room, i * _BLOCK_ROWS, count)
            a, a0, a_step = room, 0, _BLOCK_ROWS
        for column in range(0, out, width):
            multiply_block(
                a, a0 - first, (1, a_step), (first, first + count), n, panels, column * n, width,
                (column, out), start, dweight,
            )  # fmt: skip


@jit.serial
def _pack_gradient(dy, n, out, width, panels, dbias):
    """All panels of dy, and the sum of its rows."""
    for column in range(0, out, width):
        pack_panel(dy, n, out, column, width, panels, column * n)
    if dbias.size:
        fill_row(dbias, 0, out)
        sum_rows(dy, 0, n, out, dbias, 0)


@functools.lru_cache(maxsize=1000)
def _weight_plan(n: int, inputs: int, out: int, dtype: np.dtype) -> _Plan:
    """Its cut : the width of the panels."""
    width = int(panel_width(np.empty(0, dtype), out))
    columns = -(-out // width) * width
    room = n * _BLOCK_ROWS if columns >= _PANELS_TO_COPY * width else 0
    scratch = (
        ("zeros", (columns,)),
        ("gradient_panels", (columns * n,)),
        ("rows", (jit.max_threads(), room)),
    )
    return _Plan(width, _loops(-(-inputs // _BLOCK_ROWS), n * inputs * out), scratch)


def dense_backward_weight(
    x: np.ndarray, dy: np.ndarray, dweight: np.ndarray, dbias: np.ndarray, workspace: Workspace
) -> None:
    """Fill dweight (in, out) with x^T dy and dbias (out,) or size 0 with the sum of dy's rows.

    Of several processes each sums over the whole batch, and computes some rows of dweight: what a
    layer is given is less than its weights. The others are -0, to which anything may be added.
    """
    dtype = x.dtype
    prepare(dtype)
    portion = workspace.portion
    x, dy = portion.whole(x, dy)
    shape = (*x.shape, dy.shape[1])
    plan = _weight_plan(*shape, dtype)
    start, panels, room = workspace.room(plan.scratch, dtype)
    is_packed = room.shape[1] > 0
    apart, distance = (x.reshape(-1), shape[1]) if is_packed else _apart(x, workspace)
    blocks, parts = plan.loops
    first, last = portion.blocks(blocks)
    _weight_gradient(
        apart, distance, dy.reshape(-1), dweight.reshape(-1), dbias, shape, plan.cut,
        (first, last, min(parts, last - first)), start, panels, room,
    )  # fmt: skip
    if last - first < blocks:
        dweight[: first * _BLOCK_ROWS] = dweight[last * _BLOCK_ROWS :] = -0.0
    portion.settle(dbias)
