"""Activations as curves: a function of one number with its derivative, both in one place.

    y = f(x)                  `curve(Elu(1.0, 1.0), x, y)`
    dx = dy * f'(x)           `curve_backward(Elu(1.0, 1.0), dy, x, dx)`

A curve is a NamedTuple of the numbers that it has. Its type says which function is compiled into
the loop, so that a network compiles the curves that it has and no others. Those whose derivative is
cheaper from y than from x stand in `activation`.

Arrays are C-contiguous, float32 or float64, all of one dtype and shape; the last is overwritten and
may be one of the others. Nothing is checked, which is the layers' work.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numba.extending import overload

from kernels import jit
from kernels.shares import CHUNKS, is_small, share
from kernels.simd import lanes, load_part, splat, store_part, where
from kernels.simd.mathematics import exp, expm1, log1p, normal_cdf, sigmoid

_DENSITY = 0.3989422804014327  # of N(0, 1) at 0: 1 / sqrt(2 pi)
_GELU_TANH = 1.5957691216057308  # 2 sqrt(2 / pi)
_GELU_CUBE = 0.044715

Curve = tuple[float, ...]

# Type of a curve -> (curve, v) -> (f(v), f'(v)), for vectors inside Numba functions.
_functions: dict[type, Callable[..., Any]] = {}


def curve(curve: Curve, x: np.ndarray, y: np.ndarray) -> None:
    """y = f(x)."""
    _run(curve, False, x, x, y)


def curve_backward(curve: Curve, dy: np.ndarray, x: np.ndarray, dx: np.ndarray) -> None:
    """dx = dy * f'(x)."""
    _run(curve, True, dy, x, dx)


def _run(curve: Curve, back: bool, dy: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    dy, x, y = dy.reshape(-1), x.reshape(-1), y.reshape(-1)
    if is_small(y.size, work=4):
        _curve_share(curve, back, dy, x, y, 0, y.size)
    else:
        _curve_all(curve, back, dy, x, y)


@jit.parallel
def _curve_all(curve, back, dy, x, y):
    for chunk in prange(CHUNKS):  # owns a stretch of y
        start, stop = share(y.size, chunk)
        _curve_share(curve, back, dy, x, y, start, stop)


@jit.serial
def _curve_share(curve, back, dy, x, y, start, stop):
    for i in range(start, stop, lanes(y)):
        value, slope = value_and_slope(curve, load_part(x, i, stop - i))
        if back:
            value = load_part(dy, i, stop - i) * slope
        store_part(y, i, value, stop - i)


def value_and_slope(curve: Any, v: Any) -> Any:
    """(f(v), f'(v)) lane by lane, for use inside Numba functions."""
    raise NotImplementedError("curves work on SIMD vectors inside Numba functions only")


@overload(value_and_slope)
def _value_and_slope(curve, v):
    return _functions[curve.instance_class]


def _of(kind: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function that of a kind of curve."""

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        _functions[kind] = function
        return function

    return enter


# --- the curves ---------------------------------------------------------------------------------


@jit.serial
def clipped(v, low, high):
    """v between low and high, and its slope; NaN stays NaN."""
    value = where(v < low, low, where(v > high, high, v))
    zero, one = splat(v, 0.0), splat(v, 1.0)
    return value, where(v > low, where(v < high, one, zero), zero)


class Clip(NamedTuple):
    """v, but no less than low and no more than high."""

    low: float
    high: float


@_of(Clip)
def _clip(curve, v):
    return clipped(v, splat(v, curve.low), splat(v, curve.high))


class Elu(NamedTuple):
    """scale * (v where v > 0, else alpha * (e**v - 1))."""

    alpha: float
    scale: float


@_of(Elu)
def _elu(curve, v):
    alpha, scale = splat(v, curve.alpha), splat(v, curve.scale)
    positive = v > splat(v, 0.0)
    # Adding alpha to the value would cancel far below 0.
    slope = where(positive, scale, alpha * exp(v) * scale)
    return where(positive, v, alpha * expm1(v)) * scale, slope


class Gelu(NamedTuple):
    """v * P(N(0, 1) < v)."""


@_of(Gelu)
def _gelu(curve, v):
    share_below = normal_cdf(v)
    density = exp(v * v * splat(v, -0.5)) * splat(v, _DENSITY)
    return v * share_below, share_below + v * density


class GeluTanh(NamedTuple):
    """v / 2 * (1 + tanh(u)) = v * sigmoid(2 u) with u = sqrt(2 / pi) * (v + 0.044715 v**3)."""


@_of(GeluTanh)
def _gelu_tanh(curve, v):
    near, _ = clipped(v, splat(v, -100.0), splat(v, 100.0))  # beyond, s * rest is 0, inner infinite
    one, square = splat(v, 1.0), near * near * splat(v, _GELU_CUBE)
    u = near * (one + square) * splat(v, _GELU_TANH)
    s, rest = sigmoid(u), sigmoid(splat(v, 0.0) - u)  # 1 - s would cancel
    inner = (one + square * splat(v, 3.0)) * splat(v, _GELU_TANH)
    return v * s, s + near * s * rest * inner


class Silu(NamedTuple):
    """v * sigmoid(v)."""


@_of(Silu)
def _silu(curve, v):
    s = sigmoid(v)
    return v * s, s + v * s * (splat(v, 1.0) - s)


class Softplus(NamedTuple):
    """log(1 + e**(beta v)) / beta, where e**-|beta v| is never too large."""

    beta: float


@_of(Softplus)
def _softplus(curve, v):
    zero, beta = splat(v, 0.0), splat(v, curve.beta)
    u = v * beta  # infinite for huge numbers, which are their own result
    size = where(u < zero, zero - u, u)
    above = where(v > zero, v, zero)
    return above + log1p(exp(zero - size)) / beta, sigmoid(u)


class HardSigmoid(NamedTuple):
    """(v + 3) / 6 between 0 and 1."""


@_of(HardSigmoid)
def _hard_sigmoid(curve, v):
    three, zero, six = splat(v, 3.0), splat(v, 0.0), splat(v, 6.0)
    value, _ = clipped(v + three, zero, six)
    _, inside = clipped(v, zero - three, three)  # v + 3 may be rounded to 6
    return value / six, inside / six


class HardSwish(NamedTuple):
    """v * (v + 3) / 6 between v = -3, where it becomes 0, and 3, where it becomes v."""


@_of(HardSwish)
def _hard_swish(curve, v):
    three, six, one = splat(v, 3.0), splat(v, 6.0), splat(v, 1.0)
    value, _ = clipped(v + three, splat(v, 0.0), six)
    slope = where(v >= three, one, v / three + splat(v, 0.5))
    slope = where(splat(v, -3.0) >= v, splat(v, 0.0), slope)  # that of NaN stays NaN
    return v * (value / six), slope


class Mish(NamedTuple):
    """v * tanh(log(1 + e**v)), which is v * n / (n + 2) with n = e**v * (e**v + 2).

    Above 20 the quotient is 1, and its square would overflow.
    """


@_of(Mish)
def _mish(curve, v):
    one, two, limit = splat(v, 1.0), splat(v, 2.0), splat(v, 20.0)
    e = exp(where(v > limit, limit, v))
    n = e * (e + two)
    t = n / (n + two)
    # What is left of the derivative there is no slope, but would be one times a huge v.
    inside = where(v > limit, splat(v, 0.0), v)
    return v * t, t + inside * (e / (n + two)) * ((e + one) / (n + two)) * splat(v, 4.0)
