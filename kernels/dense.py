"""Dense layers on the register tile: y = x W + b, dx = dy W^T, dW = x^T dy, db = sum of dy's rows.

x is (N, in), weight (in, out), y and dy (N, out). Each direction cuts its result into blocks that
one iteration owns whole, so no sum crosses threads. Operands are packed where the tile would
otherwise read them badly: weights (but for few rows of x) and dy into panels, and x into rows whose
length is no multiple of 2 KB, because rows a power of two apart fall into the same few sets of the
L1 cache. Where that moves less, dx is computed transposed instead of the weights.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.jit import thread_id
from kernels.shares import is_small
from kernels.simd import lanes
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
from kernels.workspace import Workspace

_SAME_SETS = 2048  # bytes; 14 rows a multiple of this apart do not fit into their L1 sets
_FEW_ROWS = 64  # of x, for which the weights are read in place sooner than packed
_BLOCK_ROWS = 2 * TILE_ROWS  # of dweight
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


@jit.parallel
def _forward(x, x_row, weight, y, shape, cut, start, panels, held, first_block, last_block):
    for block in prange(first_block, last_block):
        me = thread_id()
        _forward_share(
            x, x_row, weight, y, shape, cut, start, panels[me], held[me], block, block + 1
        )


@jit.serial
def _forward_share(x, x_row, weight, y, shape, cut, start, panel, held, first_block, last_block):
    """A block owns one panel of y's columns for one share of its rows.

    cut : (shares of the rows, whether panels are packed)
    panel, held : this thread's packed panel, and the column at which it begins
    """
    n, inner, out = shape
    shares, packed = cut
    width = panel_width(weight, out)
    for block in range(first_block, last_block):
        column, share = block // shares * width, block % shares
        rows = (n * share // shares, n * (share + 1) // shares)
        b, b0, b_step = weight, column, out
        if packed:
            b, b0, b_step = panel, 0, width
            if held[0] != column:
                pack_panel(weight, inner, out, column, width, panel, 0)
                held[0] = column
        multiply_block(x, 0, (x_row, 1), rows, inner, b, b0, b_step, (column, out), start, y)


def dense_forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, y: np.ndarray, workspace: Workspace
) -> None:
    """Fill y (N, out) with x (N, in) times weight (in, out) plus bias (out,) or size 0."""
    prepare(x.dtype)
    n, inner = x.shape
    out = weight.shape[1]
    flat = weight.reshape(-1)
    width = int(panel_width(flat, out))
    packed = out % width != 0 or n > _FEW_ROWS or out * x.itemsize % _SAME_SETS == 0
    panels = -(-out // width)
    shares = 1 if panels > 4 else max(1, min(4, n // TILE_ROWS))
    apart, distance = _apart(x, workspace)
    start = workspace.array("start", (panels * width,), x.dtype)
    start[: bias.size] = bias
    start[bias.size :] = 0
    room = workspace.array("panels", (jit.max_threads(), inner * width if packed else 0), x.dtype)
    held = workspace.array("held", (jit.max_threads(), 1), np.int64)
    held.fill(-1)
    operands = apart, distance, flat, y.reshape(-1), (n, inner, out), (shares, packed), start
    if _is_small(weight, n):
        _forward_share(*operands, room[0], held[0], 0, panels * shares)
    else:
        _forward(*operands, room, held, 0, panels * shares)


def _is_small(weight: np.ndarray, n: int) -> bool:
    """Whether one thread multiplies n rows and the weights sooner than two."""
    return is_small(weight.size * n // _FASTER)


# --- gradients --------------------------------------------------------------------------------


@jit.parallel
def _input_gradient(dy, dy_row, weight, dx, shape, turned, start, room, first_block, last_block):
    for block in prange(first_block, last_block):
        _input_gradient_share(
            dy, dy_row, weight, dx, shape, turned, start, room[thread_id()], block, block + 1
        )


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


def dense_backward_input(
    dy: np.ndarray, weight: np.ndarray, dx: np.ndarray, workspace: Workspace
) -> None:
    """Fill dx (N, in) with dy (N, out) times the transpose of weight (in, out).

    Either the weights or, where that is less work, dy and dx are transposed on the way.
    """
    prepare(dy.dtype)
    n, (inputs, out) = len(dy), weight.shape
    flat = dx.reshape(-1)
    vector = int(vector_lanes(flat))
    turns_well = inputs % vector == 0 and out * dy.itemsize % _SAME_SETS != 0
    if vector // 2 < n < out and turns_well:
        width = int(panel_width(flat, n))
        panels = -(-n // width)
        turned = workspace.array("turned", (panels * width * out,), dy.dtype)
        _turn(dy.reshape(-1), n, out, width, turned)
        blocks, room_size = -(-inputs // _BLOCK_COLUMNS), _BLOCK_COLUMNS * width
        apart, distance = dy.reshape(-1), out
    else:
        width, turned = int(panel_width(flat, inputs)), flat[:0]
        blocks, room_size = -(-inputs // width), out * width
        apart, distance = _apart(dy, workspace)
    start = workspace.array("zeros", (max(blocks, 1) * width,), dy.dtype, zeroed=True)
    room = workspace.array("room", (jit.max_threads(), room_size), dy.dtype)
    operands = apart, distance, weight.reshape(-1), flat, (n, inputs, out), turned, start
    if _is_small(weight, n):
        _input_gradient_share(*operands, room[0], 0, blocks)
    else:
        _input_gradient(*operands, room, 0, blocks)


@jit.serial
def _turn(dy, n, out, width, turned):
    """Panels of the transpose of dy (n, out); 0 past the last row."""
    for row in range(0, n, width):
        if n - row < width:
            fill_row(turned, row * out, width * out)
        pack_transposed(dy, 0, n, out, row, width, turned[row * out :])


@jit.parallel
def _weight_gradient(x, x_row, dy, dweight, shape, start, panels, first_block, last_block):
    for block in prange(first_block, last_block):
        _weight_gradient_share(x, x_row, dy, dweight, shape, start, panels, block, block + 1)


@jit.serial
def _weight_gradient_share(x, x_row, dy, dweight, shape, start, panels, first_block, last_block):
    """A block owns some rows of dweight; each number sums over the batch in order."""
    n, inputs, out = shape
    width = panel_width(dy, out)
    for block in range(first_block, last_block):
        rows = (block * _BLOCK_ROWS, min(inputs, (block + 1) * _BLOCK_ROWS))
        for column in range(0, out, width):
            multiply_block(
                x, 0, (1, x_row), rows, n, panels, column * n, width, (column, out), start,
                dweight,
            )  # fmt: skip


@jit.serial
def _pack_gradient(dy, n, out, width, panels, dbias):
    """All panels of dy, and the sum of its rows."""
    for column in range(0, out, width):
        pack_panel(dy, n, out, column, width, panels, column * n)
    if dbias.size:
        fill_row(dbias, 0, out)
        sum_rows(dy, 0, n, out, dbias, 0)


def dense_backward_weight(
    x: np.ndarray, dy: np.ndarray, dweight: np.ndarray, dbias: np.ndarray, workspace: Workspace
) -> None:
    """Fill dweight (in, out) with x^T dy and dbias (out,) or size 0 with the sum of dy's rows.

    Of several processes each sums over the whole batch, and computes some rows of dweight: what a
    layer is given is less than its weights. The others are -0, to which anything may be added.
    """
    prepare(x.dtype)
    portion = workspace.portion
    x, dy = portion.whole(x, dy)
    n, inputs = x.shape
    out = dy.shape[1]
    flat = dy.reshape(-1)
    width = int(panel_width(flat, out))
    columns = -(-out // width) * width
    apart, distance = _apart(x, workspace)
    start = workspace.array("zeros", (columns,), x.dtype, zeroed=True)
    panels = workspace.array("gradient_panels", (columns * n,), x.dtype)
    _pack_gradient(flat, n, out, width, panels, dbias)
    run = _weight_gradient_share if _is_small(dweight, n) else _weight_gradient
    blocks = -(-inputs // _BLOCK_ROWS)
    first, last = portion.blocks(blocks)
    run(apart, distance, flat, dweight.reshape(-1), (n, inputs, out), start, panels, first, last)
    dweight[: first * _BLOCK_ROWS] = dweight[last * _BLOCK_ROWS :] = -0.0
    portion.settle(dbias)
