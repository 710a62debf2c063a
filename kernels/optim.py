"""Optimizer steps over one flat array of parameters, and the norm of the gradient.

Arrays are one-dimensional and C-contiguous, of one dtype, float32 or float64. Parameters, and the
optimizer's own arrays, are updated in place; the gradient g is only read. Of the parameters p the
first `decayed` get the weight decay (the weights), the others none (biases, BatchNorm). As L2
penalty it is part of the gradient:

    g' = g + weight_decay * p

The formulas, and the order of their steps, are those of PyTorch's optimizers, but that what is kept
from step to step is 0 where it would be subnormal. Where a gradient has become 0 for good, as
behind a rectifier that never opens, it falls by a factor in each step, and would be subnormal for
ever: times 0.9, the smallest number is rounded to itself. Steps over such arrays took six to ten
times as long, for changes below 1e-38.
"""

from typing import Any

import numpy as np
from numba import prange

from kernels import jit
from kernels.shares import CHUNKS, is_small, share
from kernels.simd import fma, lanes, load_as, load_part, normal, splat, sqrt, store_part, total
from kernels.workspace import Workspace


def _as(dtype: np.dtype, *numbers: float) -> tuple[Any, ...]:
    """Numbers in the arrays' dtype."""
    return tuple(dtype.type(number) for number in numbers)


# --- SGD ----------------------------------------------------------------------------------------


def sgd(
    p: np.ndarray,
    g: np.ndarray,
    velocity: np.ndarray,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    decayed: int,
) -> None:
    """Stochastic gradient descent: p -= lr * g'.

    With momentum (Polyak 1964):  v = momentum * v + g';  p -= lr * v, or with Nesterov's look
    ahead  p -= lr * (g' + momentum * v).  v starts at 0. Without momentum the velocity is an
    array of size 0.
    """
    numbers = _as(p.dtype, lr, momentum, weight_decay)
    if is_small(p.size):
        _sgd_share(p, g, velocity, numbers, nesterov, decayed, 0, p.size)
    else:
        _sgd_all(p, g, velocity, numbers, nesterov, decayed)


@jit.parallel
def _sgd_all(p, g, velocity, numbers, nesterov, decayed):
    for chunk in prange(CHUNKS):  # owns a stretch of p and velocity
        start, stop = share(p.size, chunk)
        _sgd_share(p, g, velocity, numbers, nesterov, decayed, start, stop)


@jit.serial
def _sgd_share(p, g, velocity, numbers, nesterov, decayed, start, stop):
    lr, momentum, weight_decay = numbers
    middle = min(max(start, decayed), stop)
    _sgd_stretch(p, g, velocity, lr, momentum, nesterov, weight_decay, start, middle)
    _sgd_stretch(p, g, velocity, lr, momentum, nesterov, lr - lr, middle, stop)


@jit.serial
def _sgd_stretch(p, g, velocity, lr, momentum, nesterov, weight_decay, start, stop):
    keep, decay, step = splat(p, momentum), splat(p, weight_decay), splat(p, -lr)
    for i in range(start, stop, lanes(p)):
        left = stop - i
        parameter = load_part(p, i, left)
        gradient = fma(decay, parameter, load_part(g, i, left))
        if velocity.size > 0:
            v = normal(fma(keep, load_part(velocity, i, left), gradient))
            store_part(velocity, i, v, left)
            gradient = fma(keep, v, gradient) if nesterov else v
        store_part(p, i, fma(step, gradient, parameter), left)


# --- Adam and RAdam -----------------------------------------------------------------------------


def adam(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decayed: int,
    decoupled: bool,
) -> None:
    """Adam (Kingma and Ba 2015) and, ``decoupled``, AdamW (Loshchilov and Hutter 2019).

        m = beta1 * m + (1 - beta1) * g';    v = beta2 * v + (1 - beta2) * g'**2
        p -= lr / (1 - beta1**step) * m / (sqrt(v / (1 - beta2**step)) + eps)

    m and v start at 0, step at 1. Decoupled, g' = g, and p is first shortened:
    p *= 1 - lr * weight_decay.
    """
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    numbers = beta1, 1 - beta1, beta2, 1 - beta2, -lr / correction1, correction2**-0.5, eps
    _adam_step(p, g, m, v, numbers, lr, weight_decay, decayed, decoupled)


def radam(
    p: np.ndarray,
    g: np.ndarray,
    m: np.ndarray,
    v: np.ndarray,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decayed: int,
    decoupled: bool,
) -> None:
    """RAdam (Liu et al. 2020, algorithm 2): Adam that trusts v no more than the steps so far allow.

        most = 2 / (1 - beta2) - 1;    rho = most - 2 * step * beta2**step / (1 - beta2**step)
        r = sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))

        rho > 5:  p -= lr * r / (1 - beta1**step) * m * sqrt(1 - beta2**step) / (sqrt(v) + eps)
        else:     p -= lr / (1 - beta1**step) * m

    rho is the length of the average v after so many steps. m, v, step and decoupled are those of
    `adam`. eps stands where PyTorch has it, beside the v that is not yet corrected.
    """
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    most = 2 / (1 - beta2) - 1
    rho = most - 2 * step * beta2**step / correction2
    # The same step as Adam's, with other factors; without v, it divides by 0 * sqrt(v) + 1.
    length, scale, floor = -lr / correction1, 0.0, 1.0
    if rho > 5:
        r = ((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)) ** 0.5
        length, scale, floor = length * r * correction2**0.5, 1.0, eps
    numbers = beta1, 1 - beta1, beta2, 1 - beta2, length, scale, floor
    _adam_step(p, g, m, v, numbers, lr, weight_decay, decayed, decoupled)


def _adam_step(p, g, m, v, numbers, lr, weight_decay, decayed, decoupled):
    numbers = _as(p.dtype, *numbers)
    penalty = 0.0 if decoupled else weight_decay
    shrink = 1 - lr * weight_decay if decoupled else 1.0
    decay = _as(p.dtype, penalty, shrink)
    if is_small(p.size, work=2):
        _adam_share(p, g, m, v, numbers, decay, decayed, 0, p.size)
    else:
        _adam_all(p, g, m, v, numbers, decay, decayed)


@jit.parallel
def _adam_all(p, g, m, v, numbers, decay, decayed):
    for chunk in prange(CHUNKS):  # owns a stretch of p, m and v
        start, stop = share(p.size, chunk)
        _adam_share(p, g, m, v, numbers, decay, decayed, start, stop)


@jit.serial
def _adam_share(p, g, m, v, numbers, decay, decayed, start, stop):
    penalty, shrink = decay
    middle = min(max(start, decayed), stop)
    _adam_stretch(p, g, m, v, numbers, penalty, shrink, start, middle)
    no_penalty, no_shrinking = p.dtype.type(0), p.dtype.type(1)
    _adam_stretch(p, g, m, v, numbers, no_penalty, no_shrinking, middle, stop)


@jit.serial
def _adam_stretch(p, g, m, v, numbers, penalty, shrink, start, stop):
    beta1, rest1, beta2, rest2, step, correction, eps = numbers
    keep1, add1, keep2, add2 = splat(p, beta1), splat(p, rest1), splat(p, beta2), splat(p, rest2)
    length, scale, floor = splat(p, step), splat(p, correction), splat(p, eps)
    l2, shorten = splat(p, penalty), splat(p, shrink)
    for i in range(start, stop, lanes(p)):
        left = stop - i
        parameter = load_part(p, i, left)
        gradient = fma(l2, parameter, load_part(g, i, left))
        first = normal(fma(keep1, load_part(m, i, left), add1 * gradient))
        second = normal(fma(keep2, load_part(v, i, left), add2 * gradient * gradient))
        store_part(m, i, first, left)
        store_part(v, i, second, left)
        change = length * first / fma(sqrt(second), scale, floor)
        store_part(p, i, fma(parameter, shorten, change), left)


# --- RMSprop and AdaGrad ------------------------------------------------------------------------


def rmsprop(
    p: np.ndarray,
    g: np.ndarray,
    square: np.ndarray,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    buffer: np.ndarray,
    weight_decay: float,
    decayed: int,
) -> None:
    """RMSprop (Hinton, Coursera 2012, lecture 6e).

        square = alpha * square + (1 - alpha) * g'**2;    change = g' / (sqrt(square) + eps)
        p -= lr * change, or with momentum  buffer = momentum * buffer + change;  p -= lr * buffer

    square and buffer start at 0. Without momentum the buffer is an array of size 0.
    """
    numbers = _as(p.dtype, lr, alpha, 1 - alpha, eps, momentum, weight_decay)
    if is_small(p.size):
        _scaled_share(p, g, square, buffer, numbers, decayed, 0, p.size)
    else:
        _scaled_all(p, g, square, buffer, numbers, decayed)


def adagrad(
    p: np.ndarray,
    g: np.ndarray,
    square: np.ndarray,
    lr: float,
    eps: float,
    weight_decay: float,
    decayed: int,
) -> None:
    """AdaGrad (Duchi, Hazan and Singer 2011).

    square = square + g'**2;    p -= lr * g' / (sqrt(square) + eps)
    """
    # The same step as RMSprop's, with other factors.
    numbers = _as(p.dtype, lr, 1, 1, eps, 0, weight_decay)
    if is_small(p.size):
        _scaled_share(p, g, square, square[:0], numbers, decayed, 0, p.size)
    else:
        _scaled_all(p, g, square, square[:0], numbers, decayed)


@jit.parallel
def _scaled_all(p, g, square, buffer, numbers, decayed):
    for chunk in prange(CHUNKS):  # owns a stretch of p, square and buffer
        start, stop = share(p.size, chunk)
        _scaled_share(p, g, square, buffer, numbers, decayed, start, stop)


@jit.serial
def _scaled_share(p, g, square, buffer, numbers, decayed, start, stop):
    weight_decay = numbers[5]
    middle = min(max(start, decayed), stop)
    _scaled_stretch(p, g, square, buffer, numbers, weight_decay, start, middle)
    _scaled_stretch(p, g, square, buffer, numbers, weight_decay - weight_decay, middle, stop)


@jit.serial
def _scaled_stretch(p, g, square, buffer, numbers, weight_decay, start, stop):
    lr, alpha, rest, eps, momentum, _ = numbers
    decay, step, floor = splat(p, weight_decay), splat(p, -lr), splat(p, eps)
    keep, add, keep_change = splat(p, alpha), splat(p, rest), splat(p, momentum)
    for i in range(start, stop, lanes(p)):
        left = stop - i
        parameter = load_part(p, i, left)
        gradient = fma(decay, parameter, load_part(g, i, left))
        mean_square = normal(fma(keep, load_part(square, i, left), add * gradient * gradient))
        store_part(square, i, mean_square, left)
        change = gradient / (sqrt(mean_square) + floor)
        if buffer.size > 0:
            change = normal(fma(keep_change, load_part(buffer, i, left), change))
            store_part(buffer, i, change, left)
        store_part(p, i, fma(step, change, parameter), left)


# --- Lookahead ----------------------------------------------------------------------------------


def lookahead(p: np.ndarray, slow: np.ndarray, alpha: float) -> None:
    """The slow step of Lookahead (Zhang et al. 2019): slow += alpha * (p - slow);  p = slow."""
    alpha = p.dtype.type(alpha)
    if is_small(p.size):
        _lookahead_share(p, slow, alpha, 0, p.size)
    else:
        _lookahead_all(p, slow, alpha)


@jit.parallel
def _lookahead_all(p, slow, alpha):
    for chunk in prange(CHUNKS):  # owns a stretch of p and slow
        start, stop = share(p.size, chunk)
        _lookahead_share(p, slow, alpha, start, stop)


@jit.serial
def _lookahead_share(p, slow, alpha, start, stop):
    way = splat(p, alpha)
    for i in range(start, stop, lanes(p)):
        left = stop - i
        origin = load_part(slow, i, left)
        v = fma(way, load_part(p, i, left) - origin, origin)
        store_part(slow, i, v, left)
        store_part(p, i, v, left)


# --- the gradient's norm ------------------------------------------------------------------------


def squared_norm(g: np.ndarray, workspace: Workspace) -> float:
    """Sum of the squares of g, added in float64 in an order that depends on the size of g only."""
    g = g.reshape(-1)
    partial = workspace.array("squared_norm", (CHUNKS,), np.float64)
    if is_small(g.size):
        _squared_norm_share(g, 0, CHUNKS, partial)
    else:
        _squared_norm_all(g, partial)
    return float(sum(partial.tolist()))


@jit.parallel
def _squared_norm_all(g, partial):
    for chunk in prange(CHUNKS):  # owns one sum
        _squared_norm_share(g, chunk, chunk + 1, partial)


@jit.serial
def _squared_norm_share(g, first, last, partial):
    like = splat(partial, 0.0)
    step = lanes(partial)
    for chunk in range(first, last):
        start, stop = share(g.size, chunk)
        even, odd = like, like  # two sums, for an addition waits for the one before it
        for i in range(start, stop, 2 * step):
            v = load_as(g, i, stop - i, like)
            w = load_as(g, i + step, stop - i - step, like)
            even, odd = fma(v, v, even), fma(w, w, odd)
        partial[chunk] = total(even + odd)


def scale_in_place(g: np.ndarray, factor: float) -> None:
    """g *= factor."""
    g = g.reshape(-1)
    if is_small(g.size):
        _scale_share(g, float(factor), 0, g.size)
    else:
        _scale_all(g, float(factor))


@jit.parallel
def _scale_all(g, factor):
    for chunk in prange(CHUNKS):  # owns a stretch of g
        start, stop = share(g.size, chunk)
        _scale_share(g, factor, start, stop)


@jit.serial
def _scale_share(g, factor, start, stop):
    times = splat(g, factor)
    for i in range(start, stop, lanes(g)):
        store_part(g, i, load_part(g, i, stop - i) * times, stop - i)
