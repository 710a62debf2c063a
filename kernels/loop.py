"""The specification: every kernel as a plain loop that reads like its formula, and just as slow.

The other backends (`im2col`, `numba`) must give what these functions give. Arrays are C-contiguous
and channels-last, all of one dtype, float32 or float64; the last arrays are overwritten with the
result; nothing is checked, which is the layers' work.

    x   (batch, height, width, in_channels)        dx  the same
    y   (batch, out_height, out_width, channels)   dy  the same
    convolution weight (out_channels, in_channels / groups, kernel_h, kernel_w),
    bias (out_channels,)
    dense weight (in_features, out_features), bias (out_features,)
    stride, window, dilation (height, width); padding (top, left)

A bias of size 0 means that the layer has none. The padding at the bottom and on the right is
whatever the output's size asks for. Every pooling window must hold a part of the image.

Sums run in the dtype of the arrays, one addition after the other, so that whole numbers stay
exact below 2**24 (float32), whatever the order in which another backend adds.
"""

from collections.abc import Iterator
from math import isnan

import numpy as np

from kernels.spans import DIVISOR, Spans, of_windows
from kernels.workspace import Workspace

Pair = tuple[int, int]
NO_BIAS = np.empty(0)


def _window(
    row: int,
    column: int,
    window: Pair,
    stride: Pair,
    padding: Pair,
    image_size: Pair,
    dilation: Pair = (1, 1),
) -> Iterator[tuple[int, int, int, int]]:
    """The places of the window of output (row, column) that lie on the image, in row-major order.

    Yields (i, j, input_row, input_column): the place within the window, and within the image

        input_row = row * stride_h + i * dilation_h - top
        input_column = column * stride_w + j * dilation_w - left

    Places on the padding are left out: a zero adds nothing to a sum and must never win a maximum.
    """
    height, width = image_size
    for i in range(window[0]):
        input_row = row * stride[0] + i * dilation[0] - padding[0]
        for j in range(window[1]):
            input_column = column * stride[1] + j * dilation[1] - padding[1]
            if 0 <= input_row < height and 0 <= input_column < width:
                yield i, j, input_row, input_column


def groups_of(channels: int, weight: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """(channels of x, channels of y) of each group: these filters see those channels alone.

    As many groups as it takes for weights (out_channels, channels / groups, ...).
    """
    filters, depth = weight.shape[:2]
    groups = channels // depth
    filters //= groups
    for g in range(groups):
        yield slice(g * depth, (g + 1) * depth), slice(g * filters, (g + 1) * filters)


def conv_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    stride: Pair,
    padding: Pair,
    y: np.ndarray,
    workspace: Workspace,
    dilation: Pair = (1, 1),
) -> None:
    """y[n, row, column, o] = bias[o] + sum over i, j and the channels c of o's group of

        weight[o, c, i, j] * x[n, row * stride_h + i * dilation_h - top,
                                  column * stride_w + j * dilation_w - left, c]

    The cross-correlation that deep learning calls convolution (Goodfellow, Bengio, Courville,
    "Deep Learning", equation 9.6). The product `@` is the sum over c, for all o at once.
    """
    batch, out_height, out_width, _ = y.shape
    y[...] = bias if bias.size else 0
    for n in range(batch):
        for row in range(out_height):
            for column in range(out_width):
                for i, j, input_row, input_column in _window(
                    row, column, weight.shape[2:], stride, padding, x.shape[1:3], dilation
                ):
                    for c, o in groups_of(x.shape[3], weight):
                        y[n, row, column, o] += (
                            weight[o, :, i, j] @ x[n, input_row, input_column, c]
                        )


def conv_backward_input(
    dy: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    dx: np.ndarray,
    workspace: Workspace,
    dilation: Pair = (1, 1),
    bias: np.ndarray = NO_BIAS,
) -> None:
    """Each output hands its gradient back to the pixels it was made of:

    dx[n, input_row, input_column, c] += sum over o of weight[o, c, i, j] * dy[n, row, column, o]

    A transposed convolution computes that forward, from its input dy to its output dx, which it
    adds a `bias` to (one number a channel of dx).
    """
    batch, out_height, out_width, _ = dy.shape
    dx[...] = bias if bias.size else 0
    for n in range(batch):
        for row in range(out_height):
            for column in range(out_width):
                for i, j, input_row, input_column in _window(
                    row, column, weight.shape[2:], stride, padding, dx.shape[1:3], dilation
                ):
                    for c, o in groups_of(dx.shape[3], weight):
                        dx[n, input_row, input_column, c] += (
                            dy[n, row, column, o] @ weight[o, :, i, j]
                        )


def conv_backward_weight(
    x: np.ndarray,
    dy: np.ndarray,
    stride: Pair,
    padding: Pair,
    dweight: np.ndarray,
    dbias: np.ndarray,
    workspace: Workspace,
    dilation: Pair = (1, 1),
) -> None:
    """Each weight collects from every output it took part in, and so does each bias:

    dweight[o, c, i, j] += dy[n, row, column, o] * x[n, input_row, input_column, c]
    dbias[o] += dy[n, row, column, o]
    """
    batch, out_height, out_width, _ = dy.shape
    dweight[...] = 0
    dbias[...] = 0
    for n in range(batch):
        for row in range(out_height):
            for column in range(out_width):
                if dbias.size:
                    dbias += dy[n, row, column]
                for i, j, input_row, input_column in _window(
                    row, column, dweight.shape[2:], stride, padding, x.shape[1:3], dilation
                ):
                    for c, o in groups_of(x.shape[3], dweight):
                        pixel = x[n, input_row, input_column, c]
                        dweight[o, :, i, j] += np.multiply.outer(dy[n, row, column, o], pixel)


def conv_backward_bias(dy: np.ndarray, dbias: np.ndarray, workspace: Workspace) -> None:
    """dbias[o] += dy[n, row, column, o], where it is wanted alone."""
    dbias[...] = 0
    for image in dy:
        for row in image:
            for pixel in row:
                dbias += pixel


def dense_forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, y: np.ndarray, workspace: Workspace
) -> None:
    """y[n, j] = bias[j] + sum over i of x[n, i] * weight[i, j];  x (batch, in), y (batch, out)."""
    batch, out_features = y.shape
    y[...] = bias if bias.size else 0
    for n in range(batch):
        for j in range(out_features):
            y[n, j] += x[n] @ weight[:, j]


def dense_backward_input(
    dy: np.ndarray, weight: np.ndarray, dx: np.ndarray, workspace: Workspace
) -> None:
    """dx[n, i] = sum over j of dy[n, j] * weight[i, j]."""
    batch, in_features = dx.shape
    for n in range(batch):
        for i in range(in_features):
            dx[n, i] = dy[n] @ weight[i]


def dense_backward_weight(
    x: np.ndarray, dy: np.ndarray, dweight: np.ndarray, dbias: np.ndarray, workspace: Workspace
) -> None:
    """dweight[i, j] = sum over n of x[n, i] * dy[n, j];  dbias[j] = sum over n of dy[n, j]."""
    batch, in_features = x.shape
    dweight[...] = 0
    dbias[...] = 0
    for n in range(batch):
        if dbias.size:
            dbias += dy[n]
        for i in range(in_features):
            dweight[i] += x[n, i] * dy[n]


def _places(rows: Spans, columns: Spans, row: int, column: int) -> Iterator[tuple[int, int, int]]:
    """The places of the window of output (row, column) that lie on the image, in row-major order.

    Yields (place, input_row, input_column) with place = i * window_w + j.
    """
    first_row, row_count, i, _ = rows.table[row]
    first_column, column_count, j, _ = columns.table[column]
    for k in range(row_count):
        for m in range(column_count):
            place = (i + k) * columns.window + j + m
            yield place, first_row + k * rows.step, first_column + m * columns.step


def max_pool_spans_forward(
    x: np.ndarray, rows: Spans, columns: Spans, y: np.ndarray, index: np.ndarray
) -> None:
    """y[n, row, column, c] = the largest value of channel c in the window.

    `index` (the shape of y, uint8, or int32 for windows of more than 256 places) says which place
    that was: i * window_w + j of the first maximum in row-major order. A NaN counts as larger than
    every number, so that trouble is passed on and not hidden.
    """
    for n, row, column, c in np.ndindex(*y.shape):
        best, best_place = -np.inf, -1
        for place, input_row, input_column in _places(rows, columns, row, column):
            value = x[n, input_row, input_column, c]
            first_nan = isnan(value) and not isnan(best)
            if best_place < 0 or value > best or first_nan:
                best, best_place = value, place
        y[n, row, column, c] = best
        index[n, row, column, c] = best_place


def max_pool_spans_backward(
    dy: np.ndarray, index: np.ndarray, rows: Spans, columns: Spans, dx: np.ndarray
) -> None:
    """The whole gradient goes to the place that won; the others get nothing, ties included.

    Windows may overlap: a pixel that won several of them gets the sum.
    """
    dx[...] = 0
    for n, row, column, c in np.ndindex(*dy.shape):
        for place, input_row, input_column in _places(rows, columns, row, column):
            if place == index[n, row, column, c]:
                dx[n, input_row, input_column, c] += dy[n, row, column, c]


def average_pool_spans_forward(x: np.ndarray, rows: Spans, columns: Spans, y: np.ndarray) -> None:
    """y[n, row, column, c] = the sum of channel c over the window, divided by a number of places.

    Which places count on the padding is up to the spans' divisors.
    """
    y[...] = 0
    for n, row, column in np.ndindex(*y.shape[:3]):
        for _, input_row, input_column in _places(rows, columns, row, column):
            y[n, row, column] += x[n, input_row, input_column]
        y[n, row, column] /= rows.table[row, DIVISOR] * columns.table[column, DIVISOR]


def average_pool_spans_backward(
    dy: np.ndarray, rows: Spans, columns: Spans, dx: np.ndarray
) -> None:
    """Every pixel of a window gets an equal share of its gradient, dy / number of places."""
    dx[...] = 0
    for n, row, column in np.ndindex(*dy.shape[:3]):
        divisor = rows.table[row, DIVISOR] * columns.table[column, DIVISOR]
        for _, input_row, input_column in _places(rows, columns, row, column):
            dx[n, input_row, input_column] += dy[n, row, column] / divisor


# --- windows that move by a stride, and all of whose padding counts or none -----------------------


def max_pool_forward(
    x: np.ndarray, window: Pair, stride: Pair, padding: Pair, y: np.ndarray, index: np.ndarray
) -> None:
    """`max_pool_spans_forward` of windows."""
    spans = _windows(x.shape, y.shape, window, stride, padding)
    max_pool_spans_forward(x, *spans, y, index)


def max_pool_backward(
    dy: np.ndarray, index: np.ndarray, window: Pair, stride: Pair, padding: Pair, dx: np.ndarray
) -> None:
    """`max_pool_spans_backward` of windows."""
    spans = _windows(dx.shape, dy.shape, window, stride, padding)
    max_pool_spans_backward(dy, index, *spans, dx)


def average_pool_forward(
    x: np.ndarray,
    window: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    y: np.ndarray,
) -> None:
    """`average_pool_spans_forward` of windows, all of whose places count or those on the image."""
    spans = _windows(x.shape, y.shape, window, stride, padding, count_include_pad)
    average_pool_spans_forward(x, *spans, y)


def average_pool_backward(
    dy: np.ndarray,
    window: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    dx: np.ndarray,
) -> None:
    """`average_pool_spans_backward` of windows, all of whose places count or those on the image."""
    spans = _windows(dx.shape, dy.shape, window, stride, padding, count_include_pad)
    average_pool_spans_backward(dy, *spans, dx)


def _windows(
    x_shape: tuple[int, ...],
    y_shape: tuple[int, ...],
    window: Pair,
    stride: Pair,
    padding: Pair,
    all_count: bool = False,
) -> tuple[Spans, Spans]:
    """Rows and columns: input_row = row * stride_h + i - top, and columns likewise."""
    rows, columns = (
        of_windows(
            x_shape[1 + axis], y_shape[1 + axis], window[axis], stride[axis], padding[axis],
            counted=y_shape[1 + axis] * stride[axis] + window[axis] if all_count else None,
        )
        for axis in (0, 1)
    )  # fmt: skip
    return rows, columns
