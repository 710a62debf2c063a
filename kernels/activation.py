"""Activations, dropout and the sum of a residual block: element by element, and softmax by rows.

Arrays are C-contiguous, float32 or float64, all of one dtype; unless said otherwise they have any
shape, the same for all. The last array is overwritten with the result and may be one of the others
(`relu(x, x)`). Nothing is checked, which is the layers' work.
"""

import numpy as np
from numba import prange

from kernels import jit
from kernels.portion import MAX_CHUNKS
from kernels.random_bits import key_halves, random_bits
from kernels.shares import AHEAD, CHUNKS, is_small, share
from kernels.simd import (
    ask_for,
    first_lanes,
    fma,
    lanes,
    largest,
    load_part,
    mathematics,
    splat,
    store_part,
    total,
    where,
)

# Operations of one or two arrays that share a compiled loop: another loop for threads would cost
# every first start half a second per operation.
_RELU, _RELU_BACKWARD, _RELU_BACKWARD_SUM, _LEAKY_RELU, _LEAKY_RELU_BACKWARD, _ADD = range(6)
_SIGMOID, _SIGMOID_BACKWARD, _TANH, _TANH_BACKWARD, _MULTIPLY = range(6, 11)


# --- rectifiers and sums ------------------------------------------------------------------------


def relu(x: np.ndarray, y: np.ndarray) -> None:
    """y = max(x, 0); NaN stays NaN."""
    _rectify(_RELU, x, x, 0.0, y)


def relu_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx = 0 where y <= 0, else dy; y is the result of `relu`."""
    _rectify(_RELU_BACKWARD, dy, y, 0.0, dx)


def relu_backward_sum(a: np.ndarray, b: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """`relu_backward` of dy = a + b."""
    _rectify(_RELU_BACKWARD_SUM, a, b, 0.0, dx, y)


def leaky_relu(x: np.ndarray, alpha: float, y: np.ndarray) -> None:
    """y = x where x > 0, else alpha * x."""
    _rectify(_LEAKY_RELU, x, x, float(alpha), y)


def leaky_relu_backward(dy: np.ndarray, x: np.ndarray, alpha: float, dx: np.ndarray) -> None:
    """dx = dy where x > 0, else alpha * dy."""
    _rectify(_LEAKY_RELU_BACKWARD, dy, x, float(alpha), dx)


def add(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """y = a + b."""
    _rectify(_ADD, a, b, 0.0, y)


def _rectify(
    kind: int,
    a: np.ndarray,
    b: np.ndarray,
    alpha: float,
    y: np.ndarray,
    c: np.ndarray | None = None,
) -> None:
    a, b, y = a.reshape(-1), b.reshape(-1), y.reshape(-1)
    c = a if c is None else c.reshape(-1)
    if is_small(y.size):
        _rectify_share(kind, a, b, c, alpha, y, 0, y.size)
    else:
        _rectify_all(kind, a, b, c, alpha, y)


@jit.parallel
def _rectify_all(kind, a, b, c, alpha, y):
    for chunk in prange(CHUNKS):  # owns a stretch of y
        start, stop = share(y.size, chunk)
        _rectify_share(kind, a, b, c, alpha, y, start, stop)


@jit.serial
def _rectify_share(kind, a, b, c, alpha, y, start, stop):
    zero, slope = splat(y, 0.0), splat(y, alpha)
    for i in range(start, stop, lanes(y)):
        ask_for(y, i + AHEAD)
        u = load_part(a, i, stop - i)
        if kind == _RELU:
            u = mathematics.rectified(u)
        elif kind == _LEAKY_RELU:
            u = where(u < zero, u * slope, u)
        else:
            v = load_part(b, i, stop - i)
            if kind == _RELU_BACKWARD:
                u = mathematics.through_relu(u, v)
            elif kind == _RELU_BACKWARD_SUM:
                u = mathematics.through_relu(u + v, load_part(c, i, stop - i))
            elif kind == _LEAKY_RELU_BACKWARD:
                u = where(v > zero, u, u * slope)
            else:
                u = u + v
        store_part(y, i, u, stop - i)


# --- sigmoid, tanh, products --------------------------------------------------------------------


def sigmoid(x: np.ndarray, y: np.ndarray) -> None:
    """y = 1 / (1 + exp(-x))."""
    _squash(_SIGMOID, x, x, y)


def sigmoid_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx = dy * y * (1 - y); y is the result of `sigmoid`."""
    _squash(_SIGMOID_BACKWARD, dy, y, dx)


def tanh(x: np.ndarray, y: np.ndarray) -> None:
    """y = tanh(x)."""
    _squash(_TANH, x, x, y)


def tanh_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx = dy * (1 - y**2); y is the result of `tanh`."""
    _squash(_TANH_BACKWARD, dy, y, dx)


def multiply(a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    """y = a * b."""
    _squash(_MULTIPLY, a, b, y)


def _squash(kind: int, a: np.ndarray, b: np.ndarray, y: np.ndarray) -> None:
    a, b, y = a.reshape(-1), b.reshape(-1), y.reshape(-1)
    if is_small(y.size, work=4):
        _squash_share(kind, a, b, y, 0, y.size)
    else:
        _squash_all(kind, a, b, y)


@jit.parallel
def _squash_all(kind, a, b, y):
    for chunk in prange(CHUNKS):  # owns a stretch of y
        start, stop = share(y.size, chunk)
        _squash_share(kind, a, b, y, start, stop)


@jit.serial
def _squash_share(kind, a, b, y, start, stop):
    one = splat(y, 1.0)
    for i in range(start, stop, lanes(y)):
        u = load_part(a, i, stop - i)
        if kind == _SIGMOID:
            u = mathematics.sigmoid(u)
        elif kind == _TANH:
            u = mathematics.tanh(u)
        else:
            v = load_part(b, i, stop - i)
            if kind == _MULTIPLY:
                u = u * v
            else:
                u = u * (one - v * v) if kind == _TANH_BACKWARD else u * v * (one - v)
        store_part(y, i, u, stop - i)


# --- dropout ------------------------------------------------------------------------------------


def dropout_key(key: int, first: int = 0) -> tuple[np.uint32, np.uint32]:
    """What decides which elements `dropout` keeps, from a number and a place.

    key : 0 <= key < 2**63
    first : place of the first element of x, where x is a part of something
    """
    low, high = key_halves(key)
    return np.uint32((int(low) + first) & 0xFFFFFFFF), high  # the place is added to low


def dropout(
    x: np.ndarray, rate: float, key: int | np.ndarray, y: np.ndarray, first: int = 0
) -> None:
    """y[i] = x[i] / (1 - rate) if element i is kept, else 0 ("inverted" dropout).

    Element i is kept if a hash of (key, i) says so, which it does with probability 1 - rate. So
    no mask is stored: the backward pass is ``dropout(dy, rate, key, dx)`` with the same key. The
    hash runs over 32 bits of i: after 2**32 elements the pattern begins again.

    rate : probability of dropping, 0 <= rate < 1
    key, first : as for `dropout_key`; or what that gives as key, uint32 (2,)
    """
    x, y = x.reshape(-1), y.reshape(-1)
    key = key if isinstance(key, np.ndarray) else np.array(dropout_key(key, first))
    threshold = np.uint32(min(round(rate * 2**32), 2**32 - 1))
    scale = y.dtype.type(1 / (1 - rate))
    if is_small(y.size, work=2):
        _dropout_share(x, key, threshold, scale, y, 0, y.size)
    else:
        _dropout_all(x, key, threshold, scale, y)


@jit.parallel
def _dropout_all(x, key, threshold, scale, y):
    for chunk in prange(CHUNKS):  # owns a stretch of y
        start, stop = share(y.size, chunk)
        _dropout_share(x, key, threshold, scale, y, start, stop)


@jit.serial
def _dropout_share(x, key, threshold, scale, y, start, stop):
    zero, low, high = scale - scale, key[0], key[1]
    # Loops over whole numbers become vectors without our help, if only it is plain that no index
    # is negative, as it is for slices: 0.3 ns an element instead of 1.4.
    x, y = x[start:stop], y[start:stop]
    for i in range(y.size):
        h = random_bits(start + i, low, high)
        y[i] = x[i] * scale if h >= threshold else zero


def channel_dropout(
    x: np.ndarray, rate: float, key: np.ndarray, y: np.ndarray, whole: bool = True
) -> None:
    """`dropout` of whole channels;  x, y (N, places, C).

    whole : whether a channel is dropped as one, element n * C + c of what the key decides about;
        else each number by itself, in the order of an (N, C, places)
    """
    images, places, channels = x.shape
    threshold = np.uint32(min(round(rate * 2**32), 2**32 - 1))
    scale = y.dtype.type(1 / (1 - rate))
    run = _channel_dropout_share if is_small(y.size, work=3) else _channel_dropout_all
    x, y = x.reshape(-1), y.reshape(-1)
    run(x, key, threshold, scale, places, channels, whole, y, 0, images)


@jit.parallel
def _channel_dropout_all(x, key, threshold, scale, places, channels, whole, y, first, last):
    for n in prange(first, last):  # owns a sample of y
        _channel_dropout_share(x, key, threshold, scale, places, channels, whole, y, n, n + 1)


@jit.serial
def _channel_dropout_share(x, key, threshold, scale, places, channels, whole, y, first, last):
    zero, low, high = scale - scale, key[0], key[1]
    step = 1 if whole else places  # from one channel's first choice to the next one's
    for n in range(first, last):
        for place in range(places):
            choice, start = n * channels * step, (n * places + place) * channels
            if not whole:
                choice += place
            for c in range(channels):
                h = random_bits(choice + c * step, low, high)
                y[start + c] = x[start + c] * scale if h >= threshold else zero


# --- softmax ------------------------------------------------------------------------------------


def softmax(x: np.ndarray, y: np.ndarray) -> None:
    """y[n, k] = exp(x[n, k] - max_n) / sum over j of exp(x[n, j] - max_n);  x, y (N, K).

    The largest value max_n of each row is subtracted, so that nothing overflows.
    """
    _softmax(x, False, y)


def log_softmax(x: np.ndarray, y: np.ndarray) -> None:
    """y[n, k] = x[n, k] - max_n - log(sum over j of exp(x[n, j] - max_n));  x, y (N, K)."""
    _softmax(x, True, y)


def _softmax(x: np.ndarray, log: bool, y: np.ndarray) -> None:
    rows, classes = x.shape
    x, y = x.reshape(-1), y.reshape(-1)
    if is_small(y.size, work=32):
        _softmax_share(x, log, y, classes, 0, rows)
    else:
        _softmax_all(x, log, y, classes, rows)


def softmax_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx[n, k] = y[n, k] * (dy[n, k] - sum over j of dy[n, j] * y[n, j]);  arrays (N, K).

    y is the result of `softmax`.
    """
    _softmax_back(dy, y, False, dx)


def log_softmax_backward(dy: np.ndarray, y: np.ndarray, dx: np.ndarray) -> None:
    """dx[n, k] = dy[n, k] - exp(y[n, k]) * sum over j of dy[n, j];  arrays (N, K).

    y is the result of `log_softmax`.
    """
    _softmax_back(dy, y, True, dx)


def _softmax_back(dy: np.ndarray, y: np.ndarray, log: bool, dx: np.ndarray) -> None:
    rows, classes = y.shape
    dy, y, dx = dy.reshape(-1), y.reshape(-1), dx.reshape(-1)
    _softmax_backward_share(dy, y, log, dx, classes, 0, rows)


@jit.parallel
def _softmax_all(x, log, y, classes, rows):
    chunks = MAX_CHUNKS
    for chunk in prange(chunks):  # owns a few rows of y
        _softmax_share(x, log, y, classes, rows * chunk // chunks, rows * (chunk + 1) // chunks)


@jit.serial
def row_maximum(x, start, stop):
    """Largest of x[start:stop]."""
    best = splat(x, x[start])
    for i in range(start, stop, lanes(x)):
        v = load_part(x, i, stop - i)
        best = where(first_lanes(v, stop - i), where(v > best, v, best), best)
    return largest(best)


@jit.serial
def exponentials(x, start, stop, highest, y):
    """y[start:stop] = exp(x - highest); returns their sum."""
    shift, zero = splat(x, highest), splat(x, 0.0)
    sums = zero
    for i in range(start, stop, lanes(x)):
        e = mathematics.exp(load_part(x, i, stop - i) - shift)
        e = where(first_lanes(e, stop - i), e, zero)
        sums = sums + e
        store_part(y, i, e, stop - i)
    return total(sums)


@jit.serial
def _softmax_share(x, log, y, classes, first, last):
    for row in range(first, last):
        start, stop = row * classes, (row + 1) * classes
        highest = row_maximum(x, start, stop)
        sums = exponentials(x, start, stop, highest, y)
        inverse, shift, level = splat(x, 1 / sums), splat(x, highest), splat(x, np.log(sums))
        for i in range(start, stop, lanes(x)):
            if log:
                v = load_part(x, i, stop - i) - shift - level
            else:
                v = load_part(y, i, stop - i) * inverse
            store_part(y, i, v, stop - i)


@jit.serial
def _softmax_backward_share(dy, y, log, dx, classes, first, last):
    one = splat(y, 1.0)
    for row in range(first, last):
        start, stop = row * classes, (row + 1) * classes
        sums = splat(y, 0.0)
        for i in range(start, stop, lanes(y)):
            v = one if log else load_part(y, i, stop - i)
            sums = fma(load_part(dy, i, stop - i), v, sums)
        mean = splat(y, total(sums))
        for i in range(start, stop, lanes(y)):
            d, v = load_part(dy, i, stop - i), load_part(y, i, stop - i)
            v = d - mathematics.exp(v) * mean if log else v * (d - mean)
            store_part(dx, i, v, stop - i)
