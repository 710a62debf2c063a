"""Dense layers on the register tile: y = x W + b, dx = dy W^T, dW = x^T dy, db = sum of dy's rows.

x is (N, in), weight (in, out), y and dy (N, out). Each direction cuts its result into blocks that
one iteration owns whole, so no sum crosses threads. Operands are packed where the tile would
otherwise read them badly: weights and dy into panels, and x into rows whose length is no multiple
of 2 KB, because rows a power of two apart fall into the same few sets of the L1 cache.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.jit import thread_id
from kernels.packing import (
    copy_row,
    fill_row,
    mode_of,
    pack_panel,
    pack_transposed,
    panel_width,
    sum_rows,
    vector_width,
)
from kernels.tile import TILE_ROWS, prepare, tile
from kernels.workspace import Workspace

_SAME_SETS = 2048  # bytes; 14 rows a multiple of this apart do not fit into their L1 sets


@jit.serial
def multiply_block(a, a_row, a_step, rows, inner, panel, panel0, panel_of, start, y):
    """One panel of y's columns, for some of its rows: start + a times the panel.

    y[m, o + k] = start[o + k] + sum over i < inner of a[m * a_row + i * a_step] * panel[i, k]

    rows : (first, last); panel_of : (first column o, columns of y)
    """
    first, last = rows
    column, columns = panel_of
    width = panel_width(panel, columns)
    mode = mode_of(panel, columns)
    lane_count = vector_width(panel, columns)
    vectors = (min(width, columns - column) + lane_count - 1) // lane_count
    tail = columns - column - (vectors - 1) * lane_count
    tiles = (last - first + TILE_ROWS - 1) // TILE_ROWS
    for t in range(tiles):
        m, end = first + (last - first) * t // tiles, first + (last - first) * (t + 1) // tiles
        tile(
            mode, end - m, vectors, a, m * a_row, a_row, 0, a_step, panel, panel0, width, inner,
            1, start, column, 0, y, m * columns + column, columns, tail,
        )  # fmt: skip


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
def _forward(x, x_row, weight, bias, y, shape, shares, start, panels, held):
    """One iteration owns one panel of y's columns for one share of its rows."""
    n, inner, out = shape
    fill_row(start, 0, start.size)
    copy_row(bias, 0, start, 0, bias.size)
    held[:] = -1
    width = panel_width(weight, out)
    blocks = (out + width - 1) // width * shares
    for block in prange(blocks):
        me = thread_id()
        column, share = block // shares * width, block % shares
        if held[me] != column:
            pack_panel(weight, inner, out, column, width, panels[me], 0)
            held[me] = column
        rows = (n * share // shares, n * (share + 1) // shares)
        multiply_block(x, x_row, 1, rows, inner, panels[me], 0, (column, out), start, y)


def dense_forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, y: np.ndarray, workspace: Workspace
) -> None:
    """Fill y (N, out) with x (N, in) times weight (in, out) plus bias (out,) or size 0."""
    prepare(x.dtype)
    n, inner = x.shape
    out = weight.shape[1]
    flat = weight.reshape(-1)
    width = int(panel_width(flat, out))
    shares = 1 if out > 4 * width else max(1, min(4, n // TILE_ROWS))
    source, distance = _apart(x, workspace)
    start = workspace.array("start", (-(-out // width) * width,), x.dtype)
    panels = workspace.array("panels", (jit.max_threads(), inner * width), x.dtype)
    held = workspace.array("held", (jit.max_threads(),), np.int64)
    shape = (n, inner, out)
    _forward(source, distance, flat, bias, y.reshape(-1), shape, shares, start, panels, held)


# --- gradients --------------------------------------------------------------------------------


@jit.parallel
def _input_gradient(dy, dy_row, weight, dx, shape, start, panels):
    """One iteration owns one panel of dx's columns."""
    n, inputs, out = shape
    fill_row(start, 0, start.size)
    width = panel_width(dx, inputs)
    for block in prange((inputs + width - 1) // width):
        panel, column = panels[thread_id()], block * width
        pack_transposed(weight, 0, inputs, out, column, width, panel)
        multiply_block(dy, dy_row, 1, (0, n), out, panel, 0, (column, inputs), start, dx)


def dense_backward_input(
    dy: np.ndarray, weight: np.ndarray, dx: np.ndarray, workspace: Workspace
) -> None:
    """Fill dx (N, in) with dy (N, out) times the transpose of weight (in, out)."""
    prepare(dy.dtype)
    inputs, out = weight.shape
    flat = dx.reshape(-1)
    width = int(panel_width(flat, inputs))
    source, distance = _apart(dy, workspace)
    start = workspace.array("zeros", (-(-inputs // width) * width,), dy.dtype)
    panels = workspace.array(
        "panels_transposed", (jit.max_threads(), out * width + jit.SLACK), dy.dtype
    )
    shape = (len(dy), inputs, out)
    _input_gradient(source, distance, weight.reshape(-1), flat, shape, start, panels)


@jit.parallel
def _weight_gradient(x, x_row, dy, dweight, dbias, shape, start, panels):
    """One iteration owns some rows of dweight; each sums over the batch in order."""
    n, inputs, out = shape
    width = panel_width(dy, out)
    fill_row(start, 0, start.size)
    for block in prange((out + width - 1) // width):
        pack_panel(dy, n, out, block * width, width, panels, block * width * n)
    if dbias.size:
        fill_row(dbias, 0, out)
        sum_rows(dy, 0, n, out, dbias, 0)
    block_rows = 2 * TILE_ROWS
    for block in prange((inputs + block_rows - 1) // block_rows):
        rows = (block * block_rows, min(inputs, (block + 1) * block_rows))
        for column in range(0, out, width):
            multiply_block(x, 1, x_row, rows, n, panels, column * n, (column, out), start, dweight)


def dense_backward_weight(
    x: np.ndarray, dy: np.ndarray, dweight: np.ndarray, dbias: np.ndarray, workspace: Workspace
) -> None:
    """Fill dweight (in, out) with x^T dy and dbias (out,) or size 0 with the sum of dy's rows."""
    prepare(x.dtype)
    n, inputs = x.shape
    out = dy.shape[1]
    flat = dy.reshape(-1)
    width = int(panel_width(flat, out))
    columns = -(-out // width) * width
    source, distance = _apart(x, workspace)
    start = workspace.array("zeros", (columns,), x.dtype)
    panels = workspace.array("panels", (columns * n,), x.dtype)
    shape = (n, inputs, out)
    _weight_gradient(source, distance, flat, dweight.reshape(-1), dbias, shape, start, panels)
