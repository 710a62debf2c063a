"""exp, log, tanh, the logistic function, N(0, 1)'s and ReLU of SIMD vectors.

float32 lanes are computed with polynomials, all lanes at once, to within 2 units in the last place;
float64 lanes, which only gradient checks use, are handed one by one to the C library.

    from kernels.simd import mathematics
    y = mathematics.sigmoid(load(x, i))      # inside a @jit.serial function

Tests: tests/kernels/test_activation.py.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from kernels import jit
from kernels.simd.arithmetic import (
    absolute,
    copysign,
    exponent,
    fma,
    isnan,
    nearest,
    power_of_two,
    significand,
    where,
)
from kernels.simd.codegen import I32, scalar_ir
from kernels.simd.vector import Vector, splat, vector_ir

# exp(r) = 1 + r + r**2 * (EXP[0] + EXP[1] r + ...) for |r| <= log(2) / 2, tanh(x) = x + x**3 *
# (TANH[0] + TANH[1] x**2 + ...) for |x| <= 0.625: least squares on Chebyshev points, weighted anew
# until the relative error is the same everywhere (below 0.07 units in the last place).
_EXP = (0.49999994, 0.16666521, 0.04166839, 0.0083687166, 0.0013814599)
_TANH = (-0.3333328, 0.13331442, -0.053739697, 0.020639023, -0.0057049105)
# log(1 + f) = f - f**2 / 2 + f**3 * (LOG[0] + LOG[1] f + ...) for 1 / sqrt(2) <= 1 + f <= sqrt(2),
# likewise.
_LOG = (
    0.3333391, -0.25001338, 0.19963063, -0.16577585, 0.14914769, -0.14267486, 0.08700430
)  # fmt: skip
# P(N(0, 1) < -v) = exp(-v**2 / 2) * (TAIL[0] + TAIL[1] t + ...) with t = 1 / (1 + 0.3 v), v >= 0,
# likewise.
_TAIL = (
    6.8529516e-6, 0.119493060, 0.121882059, 0.0948329568, 0.142185122, -0.0759996995, 0.228217408,
    -0.168952018, 0.0383342803,
)  # fmt: skip
_TAIL_T = 0.3
_LOG2_E = 1.44269504
# log(2) in two parts; the first has 9 bits, so that its product with a whole number is exact.
_LOG_2_HIGH, _LOG_2_LOW = 0.693359375, -2.12194440e-4
# exp of these is 0 and infinity in float32, tanh of the third 1.
_LOWEST, _HIGHEST, _ONE = -104.0, 89.0, 9.02


def exp(v: Any) -> Any:
    """e**v lane by lane, for use inside Numba functions: 0 at -inf, inf at inf, NaN at NaN."""
    raise NotImplementedError("exp works on SIMD vectors inside Numba functions only")


def log(v: Any) -> Any:
    """Natural logarithm lane by lane of positive normal numbers, for use in Numba functions."""
    raise NotImplementedError("log works on SIMD vectors inside Numba functions only")


def tanh(v: Any) -> Any:
    """Hyperbolic tangent lane by lane, for use inside Numba functions."""
    raise NotImplementedError("tanh works on SIMD vectors inside Numba functions only")


def sigmoid(v: Any) -> Any:
    """1 / (1 + e**-v) lane by lane, for use inside Numba functions."""
    raise NotImplementedError("sigmoid works on SIMD vectors inside Numba functions only")


def expm1(v: Any) -> Any:
    """e**v - 1 lane by lane, precise near 0 too, for use inside Numba functions."""
    raise NotImplementedError("expm1 works on SIMD vectors inside Numba functions only")


def log1p(v: Any) -> Any:
    """log(1 + v) lane by lane of numbers from 0 to 1, for use inside Numba functions."""
    raise NotImplementedError("log1p works on SIMD vectors inside Numba functions only")


def normal_cdf(v: Any) -> Any:
    """P(N(0, 1) < v) lane by lane, for use inside Numba functions."""
    raise NotImplementedError("normal_cdf works on SIMD vectors inside Numba functions only")


def _c_library(name: str) -> Any:
    """Intrinsic that calls a function of the C library, double -> double, for every lane."""

    @intrinsic
    def lane_by_lane(_, v):
        def codegen(context, builder, sig, args):
            kind = ir.FunctionType(scalar_ir(v.dtype), [scalar_ir(v.dtype)])
            function = cgutils.get_or_insert_function(builder.module, kind, name)
            result = ir.Constant(vector_ir(v), ir.Undefined)
            for lane in range(v.lanes):
                value = builder.call(function, [builder.extract_element(args[0], I32(lane))])
                result = builder.insert_element(result, value, I32(lane))
            return result

        return v(v), codegen

    return lane_by_lane


_c_exp, _c_log, _c_tanh = _c_library("exp"), _c_library("log"), _c_library("tanh")
_c_expm1, _c_log1p, _c_erfc = _c_library("expm1"), _c_library("log1p"), _c_library("erfc")


@jit.serial
def _parts_of_exp(v):
    """p = e**r and k with e**v = p * 2**k: k = round(v / log 2), r = v - k log 2.

    Cody and Waite, "Software Manual for the Elementary Functions" (1980).
    """
    k = nearest(v * splat(v, _LOG2_E))
    r = fma(k, splat(v, -_LOG_2_HIGH), v)
    r = fma(k, splat(v, -_LOG_2_LOW), r)
    p = fma(splat(v, _EXP[4]), r, splat(v, _EXP[3]))
    p = fma(p, r, splat(v, _EXP[2]))
    p = fma(p, r, splat(v, _EXP[1]))
    p = fma(p, r, splat(v, _EXP[0]))
    return fma(p, r * r, r) + splat(v, 1.0), k


@overload(exp)
def _exp(v):
    """p * 2**k, see `_parts_of_exp`."""
    if not isinstance(v, Vector):
        return None
    if v.dtype == types.float64:
        return lambda v: _c_exp(v)

    def polynomial(v):
        # Also keeps NaN out of the conversion to integers, where it would be undefined.
        low, high = splat(v, _LOWEST), splat(v, _HIGHEST)
        p, k = _parts_of_exp(where(v > low, where(v < high, v, high), low))
        # In two steps: 2**128 and 2**-150 are no float32, the product may well be.
        first = nearest(k * splat(v, 0.5))
        p = p * power_of_two(first) * power_of_two(k - first)
        return where(isnan(v), v, p)

    return polynomial


@overload(log)
def _log(v):
    """k log 2 + log(m) with v = m * 2**k and m between 1 / sqrt(2) and sqrt(2)."""
    if not isinstance(v, Vector):
        return None
    if v.dtype == types.float64:
        return lambda v: _c_log(v)
    p0, p1, p2, p3, p4, p5, p6 = _LOG

    def polynomial(v):
        one = splat(v, 1.0)
        k, m = exponent(v), significand(v)
        large = m > splat(v, 1.41421356)
        k, f = where(large, k + one, k), where(large, m * splat(v, 0.5), m) - one
        p = fma(splat(v, p6), f, splat(v, p5))
        p = fma(p, f, splat(v, p4))
        p = fma(p, f, splat(v, p3))
        p = fma(p, f, splat(v, p2))
        p = fma(p, f, splat(v, p1))
        p = fma(p, f, splat(v, p0))
        square = f * f
        p = fma(p * f, square, fma(square, splat(v, -0.5), k * splat(v, _LOG_2_LOW)))
        return fma(k, splat(v, _LOG_2_HIGH), p + f)

    return polynomial


@overload(tanh)
def _tanh(v):
    """1 - 2 / (e**(2 |v|) + 1) with the sign of v; near 0, where that cancels, a polynomial."""
    if not isinstance(v, Vector):
        return None
    if v.dtype == types.float64:
        return lambda v: _c_tanh(v)
    t0, t1, t2, t3, t4 = _TANH

    def from_exp(v):
        one, most = splat(v, 1.0), splat(v, _ONE)
        size = absolute(v)
        within = where(size < most, size, most)
        p, k = _parts_of_exp(within + within)
        far = one - splat(v, 2.0) / fma(power_of_two(k), p, one)
        square = v * v
        q = fma(splat(v, t4), square, splat(v, t3))
        q = fma(q, square, splat(v, t2))
        q = fma(q, square, splat(v, t1))
        q = fma(q, square, splat(v, t0))
        near = fma(q, v * square, v)
        return where(size > splat(v, 0.625), copysign(far, v), near)

    return from_exp


@overload(sigmoid)
def _sigmoid(v):
    if not isinstance(v, Vector):
        return None

    def from_exp(v):
        one = splat(v, 1.0)
        return one / (one + exp(splat(v, 0.0) - v))

    return from_exp


@overload(expm1)
def _expm1(v):
    """exp's polynomial without its 1 where |v| is small, else e**v - 1."""
    if not isinstance(v, Vector):
        return None
    if v.dtype == types.float64:
        return lambda v: _c_expm1(v)
    p0, p1, p2, p3, p4 = _EXP

    def from_exp(v):
        limit = splat(v, 0.34)
        p = fma(splat(v, p4), v, splat(v, p3))
        p = fma(p, v, splat(v, p2))
        p = fma(p, v, splat(v, p1))
        p = fma(p, v, splat(v, p0))
        near = fma(p, v * v, v)
        return where(absolute(v) < limit, near, exp(v) - splat(v, 1.0))

    return from_exp


@overload(log1p)
def _log1p(v):
    """log(u) for u = 1 + v, and what the rounding of u took (Kahan)."""
    if not isinstance(v, Vector):
        return None
    if v.dtype == types.float64:
        return lambda v: _c_log1p(v)

    def from_log(v):
        one = splat(v, 1.0)
        u = one + v
        return log(u) + (v - (u - one)) / u

    return from_log


@overload(normal_cdf)
def _normal_cdf(v):
    """The tail, which is precise however small it is, or 1 minus the other tail."""
    if not isinstance(v, Vector):
        return None
    if v.dtype == types.float64:
        return lambda v: _c_erfc(v * splat(v, -0.7071067811865476)) * splat(v, 0.5)
    p0, p1, p2, p3, p4, p5, p6, p7, p8 = _TAIL

    def from_tail(v):
        zero, one = splat(v, 0.0), splat(v, 1.0)
        t = one / fma(absolute(v), splat(v, _TAIL_T), one)
        p = fma(splat(v, p8), t, splat(v, p7))
        p = fma(p, t, splat(v, p6))
        p = fma(p, t, splat(v, p5))
        p = fma(p, t, splat(v, p4))
        p = fma(p, t, splat(v, p3))
        p = fma(p, t, splat(v, p2))
        p = fma(p, t, splat(v, p1))
        p = fma(p, t, splat(v, p0))
        tail = p * exp(v * v * splat(v, -0.5))
        return where(v < zero, tail, one - tail)

    return from_tail


@jit.serial
def rectified(v):
    """max(v, 0); NaN stays NaN."""
    zero = splat(v, 0.0)
    return where(v < zero, zero, v)


@jit.serial
def through_relu(d, y):
    """The gradient before ReLU, from d behind it: 0 where its result y <= 0, else d."""
    zero = splat(d, 0.0)
    return where(zero >= y, zero, d)
