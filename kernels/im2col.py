"""The kernels in vectorised NumPy: the fastest that NumPy alone gets, and the opponent of `numba`.

Signatures, shapes and meaning are those of `kernels.loop`. The forward convolution and its weight
gradient unroll every window into one line of a matrix, so that a single matrix product does all
the arithmetic (Chellapilla, Puri, Simard, "High Performance Convolutional Neural Networks for
Document Processing", 2006; the name comes from MATLAB). The input gradient and the pools go the
other way round: they visit each place of the window once, for all images and pixels together.

Large batches are cut into slices of images, so that scratch memory stays bounded.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from kernels.im2col_spans import (
    average_pool_spans_backward as average_pool_spans_backward,
)
from kernels.im2col_spans import (
    average_pool_spans_forward as average_pool_spans_forward,
)
from kernels.im2col_spans import (
    max_pool_spans_backward as max_pool_spans_backward,
)
from kernels.im2col_spans import (
    max_pool_spans_forward as max_pool_spans_forward,
)
from kernels.loop import NO_BIAS, groups_of
from kernels.workspace import Workspace

Pair = tuple[int, int]

# Bounds for the scratch of one slice, so that it is still in cache when it is read. Smaller slices
# start BLAS's threads too often: a 3x3 convolution of 128 images of 32x32x16 took 11.8, 9.0, 12.1
# and 13.7 ms with columns of 2, 8, 16 and 32 MB.
COLUMN_BYTES = 8 * 2**20
POOL_BYTES = 2 * 2**20


def _slices(batch: int, bytes_per_image: int, limit: int) -> Iterator[slice]:
    """The batch in order, in slices of at most `limit` bytes, but of one image at least."""
    images = max(1, limit // max(1, bytes_per_image))
    for start in range(0, batch, images):
        yield slice(start, min(start + images, batch))


def _overlap(offset: int, stride: int, in_size: int, out_size: int) -> tuple[slice, slice]:
    """Where one window place lies on the image, along one axis: (outputs, inputs), as slices.

    Output `o` reads input `o * stride + offset`; only those with 0 <= input < in_size are kept.
    """
    first = max(0, -(offset // stride))
    end = min(out_size, -((offset - in_size) // stride))
    if first >= end:
        return slice(0, 0), slice(0, 0)
    start = first * stride + offset
    return slice(first, end), slice(start, start + (end - first - 1) * stride + 1, stride)


def _places(
    image_size: Pair,
    out_size: Pair,
    window: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair = (1, 1),
) -> Iterator[tuple[int, int, tuple[slice, ...], tuple[slice, ...]]]:
    """Every window place (i, j) in row-major order with what it pairs: y[outputs] and x[inputs].

    Both index expressions give arrays of the same shape; the padding is already left out.
    """
    everything = slice(None)
    for i in range(window[0]):
        out_rows, in_rows = _overlap(
            i * dilation[0] - padding[0], stride[0], image_size[0], out_size[0]
        )
        for j in range(window[1]):
            out_columns, in_columns = _overlap(
                j * dilation[1] - padding[1], stride[1], image_size[1], out_size[1]
            )
            yield i, j, (everything, out_rows, out_columns), (everything, in_rows, in_columns)


def _padded(x: np.ndarray, size: Pair, padding: Pair, workspace: Workspace) -> np.ndarray:
    """The part of the images that windows cover, `size` pixels with zeros around; x if it fits."""
    batch, height, width, channels = x.shape
    if padding == (0, 0) and size[0] <= height and size[1] <= width:
        return x
    (top, left), (padded_height, padded_width) = padding, size
    padded = workspace.array("padded", (batch, *size, channels), x.dtype, zeroed=True)
    rows, columns = min(height, padded_height - top), min(width, padded_width - left)
    padded[:, top : top + rows, left : left + columns] = x[:, :rows, :columns]
    return padded


def _columns(
    x: np.ndarray,
    window: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    out_size: Pair,
    workspace: Workspace,
) -> np.ndarray:
    """The windows of x as a matrix (batch * out_h * out_w, window_h * window_w * channels)."""
    batch, _, _, channels = x.shape
    (window_h, window_w), (out_height, out_width) = window, out_size
    pixels, length = batch * out_height * out_width, window_h * window_w * channels
    if window == stride == (1, 1) and x.shape[1:3] == out_size and padding == (0, 0):
        return x.reshape(pixels, length)
    covered = (
        (out_height - 1) * stride[0] + (window_h - 1) * dilation[0] + 1,
        (out_width - 1) * stride[1] + (window_w - 1) * dilation[1] + 1,
    )
    padded = _padded(x, covered, padding, workspace)
    to_image, to_row, to_column, to_channel = padded.strides
    windows = as_strided(
        padded,
        (batch, out_height, out_width, window_h, window_w, channels),
        (
            to_image,
            to_row * stride[0],
            to_column * stride[1],
            to_row * dilation[0],
            to_column * dilation[1],
            to_channel,
        ),
    )
    columns = workspace.array("columns", (pixels * length,), x.dtype)
    if window_w * channels >= 16:
        columns = columns.reshape(windows.shape)
        columns[...] = windows
        return columns.reshape(pixels, length)
    # Copied window by window, the runs would be as short as 3 numbers (first layers). Stored the
    # other way round, a run is a row of the image, and BLAS reads either: 0.07 against 0.39 ms for
    # 32 images of 28x28x1 and a 3x3 window.
    columns = columns.reshape(window_h, window_w, channels, batch, out_height, out_width)
    columns[...] = windows.transpose(3, 4, 5, 0, 1, 2)
    return columns.reshape(length, pixels).T


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
    batch, out_height, out_width, out_channels = y.shape
    _, in_channels, *window = weight.shape
    if in_channels != x.shape[3]:
        for c, o in groups_of(x.shape[3], weight):
            part = np.empty_like(y[..., o], order="C")
            conv_forward(
                np.ascontiguousarray(x[..., c]), weight[o], bias[o], stride, padding, part,
                workspace, dilation,
            )  # fmt: skip
            y[..., o] = part
        return
    matrix = workspace.array("weight matrix", (*window, in_channels, out_channels), x.dtype)
    matrix[...] = weight.transpose(2, 3, 1, 0)
    matrix = matrix.reshape(-1, out_channels)
    # The bias along a whole row of pixels: longer runs than out_channels for the addition.
    bias_row = workspace.array("bias row", (out_width, out_channels), x.dtype)
    bias_row[...] = bias if bias.size else 0
    image_bytes = out_height * out_width * matrix.shape[0] * x.itemsize
    for images in _slices(batch, image_bytes, COLUMN_BYTES):
        columns = _columns(
            x[images], (window[0], window[1]), stride, padding, dilation,
            (out_height, out_width), workspace,
        )  # fmt: skip
        np.matmul(columns, matrix, out=y[images].reshape(-1, out_channels))
        if bias.size:
            rows = y[images].reshape(-1, out_width * out_channels)
            rows += bias_row.reshape(-1)


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
    """One matrix product for each window place, added to the pixels that the place lies on.

    The textbook way, one product for all places and `col2im` after it, moves kernel_h * kernel_w
    times the scratch and took 0.8 against 0.5 ms for 32 images of 14x14, 8 -> 16, 3x3.
    """
    batch, out_height, out_width, out_channels = dy.shape
    _, in_channels, kernel_h, kernel_w = weight.shape
    window = (kernel_h, kernel_w)
    if in_channels != dx.shape[3]:
        for c, o in groups_of(dx.shape[3], weight):
            part = np.empty_like(dx[..., c], order="C")
            conv_backward_input(
                np.ascontiguousarray(dy[..., o]), weight[o], stride, padding, part, workspace,
                dilation, bias[c],
            )  # fmt: skip
            dx[..., c] = part
        return
    by_place = workspace.array(
        "weight by place", (*window, out_channels, in_channels), weight.dtype
    )
    by_place[...] = weight.transpose(2, 3, 0, 1)
    dx[...] = bias if bias.size else 0
    image_bytes = out_height * out_width * in_channels * dy.itemsize
    for images in _slices(batch, image_bytes, COLUMN_BYTES):
        flat = dy[images].reshape(-1, out_channels)
        share = workspace.array("share", (*dy[images].shape[:3], in_channels), dy.dtype)
        for i, j, outputs, inputs in _places(
            dx.shape[1:3], (out_height, out_width), window, stride, padding, dilation
        ):
            np.matmul(flat, by_place[i, j], out=share.reshape(-1, in_channels))
            dx[images][inputs] += share[outputs]


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
    batch, out_height, out_width, out_channels = dy.shape
    _, in_channels, kernel_h, kernel_w = dweight.shape
    if in_channels != x.shape[3]:
        for c, o in groups_of(x.shape[3], dweight):
            conv_backward_weight(
                np.ascontiguousarray(x[..., c]), np.ascontiguousarray(dy[..., o]), stride, padding,
                dweight[o], dbias[o], workspace, dilation,
            )  # fmt: skip
        return
    length = kernel_h * kernel_w * in_channels
    total = workspace.array("dweight matrix", (length, out_channels), x.dtype, zeroed=True)
    part = workspace.array("dweight part", (length, out_channels), x.dtype)
    image_bytes = out_height * out_width * length * x.itemsize
    for images in _slices(batch, image_bytes, COLUMN_BYTES):
        columns = _columns(
            x[images], (kernel_h, kernel_w), stride, padding, dilation,
            (out_height, out_width), workspace,
        )  # fmt: skip
        np.matmul(columns.T, dy[images].reshape(-1, out_channels), out=part)
        total += part
    total = total.reshape(kernel_h, kernel_w, in_channels, out_channels)
    dweight[...] = total.transpose(3, 2, 0, 1)
    if dbias.size:
        conv_backward_bias(dy, dbias, workspace)


def conv_backward_bias(dy: np.ndarray, dbias: np.ndarray, workspace: Workspace) -> None:
    # Whole rows of pixels first: longer runs than out_channels for the addition.
    row = dy.reshape(-1, dy.shape[2] * dy.shape[3]).sum(axis=0)
    row.reshape(dy.shape[2:]).sum(axis=0, out=dbias)


def dense_forward(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, y: np.ndarray, workspace: Workspace
) -> None:
    np.matmul(x, weight, out=y)
    if bias.size:
        y += bias


def dense_backward_input(
    dy: np.ndarray, weight: np.ndarray, dx: np.ndarray, workspace: Workspace
) -> None:
    np.matmul(dy, weight.T, out=dx)


def dense_backward_weight(
    x: np.ndarray, dy: np.ndarray, dweight: np.ndarray, dbias: np.ndarray, workspace: Workspace
) -> None:
    np.matmul(x.T, dy, out=dweight)
    if dbias.size:
        dy.sum(axis=0, out=dbias)


def max_pool_forward(
    x: np.ndarray, window: Pair, stride: Pair, padding: Pair, y: np.ndarray, index: np.ndarray
) -> None:
    """The places are visited in row-major order, so the last strict improvement is the first
    maximum, and its number is the largest seen: `index` is a maximum too.
    """
    batch, out_height, out_width, channels = y.shape
    rows = np.maximum(0, padding[0] - stride[0] * np.arange(out_height))
    columns = np.maximum(0, padding[1] - stride[1] * np.arange(out_width))
    first_place = rows[:, None] * window[1] + columns
    y.fill(-np.inf)
    index[...] = first_place[:, :, None]
    places = list(_places(x.shape[1:3], (out_height, out_width), window, stride, padding))
    for images in _slices(batch, out_height * out_width * channels * x.itemsize, POOL_BYTES):
        best, where = y[images], index[images]
        for i, j, outputs, inputs in places:
            value = np.ascontiguousarray(x[images][inputs])
            improved = value > best[outputs]
            np.maximum(best[outputs], value, out=best[outputs])
            place = improved * index.dtype.type(i * window[1] + j)
            np.maximum(where[outputs], place, out=where[outputs])
        if np.isnan(best).any():
            # A NaN is an improvement that `>` does not see. Backwards, so that the first NaN stays.
            for i, j, outputs, inputs in reversed(places):
                where[outputs][np.isnan(x[images][inputs])] = i * window[1] + j


def max_pool_backward(
    dy: np.ndarray, index: np.ndarray, window: Pair, stride: Pair, padding: Pair, dx: np.ndarray
) -> None:
    batch, out_height, out_width, channels = dy.shape
    # Multiplying the bits of a number by 1 or 0, as an integer, keeps it or gives 0.0, also for
    # infinities and NaNs, in a third of the time of np.where.
    bits = np.dtype(f"u{dy.itemsize}")
    dx.fill(0)
    for images in _slices(batch, out_height * out_width * channels * dy.itemsize, POOL_BYTES):
        dy_bits, where = dy[images].view(bits), index[images]
        for i, j, outputs, inputs in _places(
            dx.shape[1:3], (out_height, out_width), window, stride, padding
        ):
            won = where[outputs] == i * window[1] + j
            dx[images][inputs] += np.multiply(dy_bits[outputs], won).view(dy.dtype)


def _divisor(
    image_size: Pair, out_size: Pair, window: Pair, stride: Pair, padding: Pair, dtype: np.dtype
) -> np.ndarray:
    """How many places of each window lie on the image, (out_h, out_w, 1)."""
    counts = []
    for axis in (0, 1):
        start = np.arange(out_size[axis]) * stride[axis] - padding[axis]
        end = np.minimum(start + window[axis], image_size[axis])
        counts.append(end - np.maximum(start, 0))
    return np.outer(counts[0], counts[1])[:, :, None].astype(dtype)


def average_pool_forward(
    x: np.ndarray,
    window: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    y: np.ndarray,
) -> None:
    batch, out_height, out_width, channels = y.shape
    image_size, out_size = x.shape[1:3], (out_height, out_width)
    divisor = (
        x.dtype.type(window[0] * window[1])
        if count_include_pad
        else _divisor(image_size, out_size, window, stride, padding, x.dtype)
    )
    y.fill(0)
    for images in _slices(batch, out_height * out_width * channels * x.itemsize, POOL_BYTES):
        for _, _, outputs, inputs in _places(image_size, out_size, window, stride, padding):
            y[images][outputs] += x[images][inputs]
        y[images] /= divisor


def average_pool_backward(
    dy: np.ndarray,
    window: Pair,
    stride: Pair,
    padding: Pair,
    count_include_pad: bool,
    dx: np.ndarray,
) -> None:
    batch, out_height, out_width, channels = dy.shape
    image_size, out_size = dx.shape[1:3], (out_height, out_width)
    divisor = (
        dy.dtype.type(window[0] * window[1])
        if count_include_pad
        else _divisor(image_size, out_size, window, stride, padding, dy.dtype)
    )
    dx.fill(0)
    for images in _slices(batch, out_height * out_width * channels * dy.itemsize, POOL_BYTES):
        share = dy[images] / divisor
        for _, _, outputs, inputs in _places(image_size, out_size, window, stride, padding):
            dx[images][inputs] += share[outputs]
