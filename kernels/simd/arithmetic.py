"""Arithmetic, comparisons and sums of the lanes of vectors."""

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from kernels.simd.codegen import I32, I64, call_intrinsic, lanes_below, multiply_add, suffix
from kernels.simd.vector import Mask, Vector, intrinsic, vector_ir


@intrinsic
def fma(_, a, b, c):
    """a * b + c, rounded once where the processor can."""

    def codegen(context, builder, sig, args):
        return multiply_add(builder, *args)

    return a(a, a, a), codegen


@intrinsic
def sqrt(_, a):
    """Square root of every lane."""

    def codegen(context, builder, sig, args):
        return call_intrinsic(builder, f"llvm.sqrt.{suffix(args[0].type)}", args[0].type, args)

    return a(a), codegen


@intrinsic
def absolute(_, a):
    """Every lane without its sign."""

    def codegen(context, builder, sig, args):
        return call_intrinsic(builder, f"llvm.fabs.{suffix(args[0].type)}", args[0].type, args)

    return a(a), codegen


@intrinsic
def copysign(_, a, b):
    """Every lane of ``a`` with the sign that ``b`` has there."""

    def codegen(context, builder, sig, args):
        return call_intrinsic(builder, f"llvm.copysign.{suffix(args[0].type)}", args[0].type, args)

    return a(a, a), codegen


@intrinsic
def where(_, mask, yes, no):
    """Lane by lane: ``yes`` where the mask holds, else ``no``."""

    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return yes(mask, yes, no), codegen


@intrinsic
def isnan(_, a):
    """Mask of the lanes that are not a number."""

    def codegen(context, builder, sig, args):
        return builder.fcmp_unordered("uno", args[0], args[0])

    return Mask(a.lanes)(a), codegen


@intrinsic
def overtakes(_, a, b):
    """Mask of the lanes where ``a`` is larger than ``b``, or is the first that is not a number.

    `best = where(overtakes(x, best), x, best)` finds a maximum that passes NaN on.
    """

    def codegen(context, builder, sig, args):
        not_below = builder.fcmp_unordered(">", args[0], args[1])
        return builder.and_(not_below, builder.fcmp_ordered("ord", args[1], args[1]))

    return Mask(a.lanes)(a, a), codegen


@intrinsic
def normal(_, a):
    """Every lane, but 0 in the place of a subnormal number (of less than 1.2e-38 in float32).

    Many processors multiply those a hundred times as slowly as others. They are told by their bits:
    comparing them as numbers is slow as well.
    """

    def codegen(context, builder, sig, args):
        bits = ir.VectorType(ir.IntType(a.dtype.bitwidth), a.lanes)
        exponent_bits = 0x7FF0000000000000 if a.dtype == types.float64 else 0x7F800000
        mask = ir.Constant(bits, [exponent_bits] * a.lanes)
        exponents = builder.and_(builder.bitcast(args[0], bits), mask)
        is_small = builder.icmp_signed("==", exponents, ir.Constant(bits, [0] * a.lanes))
        return builder.select(is_small, ir.Constant(args[0].type, [0.0] * a.lanes), args[0])

    return a(a), codegen


@intrinsic
def first_lanes(_, like, count):
    """Mask of the lanes whose number is below ``count``."""

    def codegen(context, builder, sig, args):
        return lanes_below(builder, args[1], like.lanes)

    return Mask(like.lanes)(like, types.intp), codegen


@intrinsic
def nearest(_, a):
    """Every lane rounded to the nearest whole number, halves to even."""

    def codegen(context, builder, sig, args):
        name = f"llvm.rint.{suffix(args[0].type)}"
        return call_intrinsic(builder, name, args[0].type, args)

    return a(a), codegen


# --- one number from the lanes ------------------------------------------------------------------


def _fold(builder: Any, vector: Any, combine: Any) -> Any:
    """Reduce a vector to one number, its halves combined again and again."""
    count = vector.type.count
    while count > 1:
        count //= 2
        low, high = (
            ir.Constant(ir.VectorType(I32, count), list(range(start, start + count)))
            for start in (0, count)
        )
        unused = ir.Constant(vector.type, ir.Undefined)
        vector = combine(
            builder.shuffle_vector(vector, unused, low),
            builder.shuffle_vector(vector, unused, high),
        )
    return builder.extract_element(vector, I32(0))


@intrinsic
def total(_, a):
    """Sum of all lanes, halves added to halves: the same order every time."""

    def codegen(context, builder, sig, args):
        return _fold(builder, args[0], builder.fadd)

    return a.dtype(a), codegen


@intrinsic
def group_totals(_, a, group):
    """In every lane the sum over its group: ``group`` neighbouring lanes, a power of two.

    Each lane adds what the lane at distance 1 holds, then at distance 2, 4, ...; a group as large
    as the vector or larger is all of it.
    """

    def codegen(context, builder, sig, args):
        vector, group = args
        count, distance = vector.type.count, 1
        unused = ir.Constant(vector.type, ir.Undefined)
        while distance < count:
            partners = [lane ^ distance for lane in range(count)]
            order = ir.Constant(ir.VectorType(I32, count), partners)
            both = builder.fadd(vector, builder.shuffle_vector(vector, unused, order))
            further = builder.icmp_signed(">", group, I64(distance))
            vector = builder.select(further, both, vector)
            distance *= 2
        return vector

    return a(a, types.intp), codegen


@intrinsic
def crossed(_, a, distance):
    """In every lane what lane ^ distance (bit by bit) holds; distance : 1, 2 or 4 < lanes."""

    def codegen(context, builder, sig, args):
        vector, distance = args
        count, unused = vector.type.count, ir.Constant(vector.type, ir.Undefined)
        result = vector
        for each in (1, 2, 4):
            if each < count:
                partners = [lane ^ each for lane in range(count)]
                order = ir.Constant(ir.VectorType(I32, count), partners)
                turned = builder.shuffle_vector(vector, unused, order)
                is_it = builder.icmp_signed(">=", distance, I64(each))
                result = builder.select(is_it, turned, result)
        return result

    return a(a, types.intp), codegen


@intrinsic
def largest(_, a):
    """Largest of all lanes; which one, if any lane is NaN, is not said."""

    def codegen(context, builder, sig, args):
        def larger(low, high):
            return builder.select(builder.fcmp_ordered(">", low, high), low, high)

        return _fold(builder, args[0], larger)

    return a.dtype(a), codegen


# --- the bits of floats -------------------------------------------------------------------------


@intrinsic
def power_of_two(_, a):
    """2**k for whole numbers k within the exponent range, by writing the exponent bits."""
    bits, mantissa, bias = (32, 23, 127) if a.dtype == types.float32 else (64, 52, 1023)

    def codegen(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(bits), a.lanes)
        biased = builder.add(
            builder.fptosi(args[0], integers), ir.Constant(integers, [bias] * a.lanes)
        )
        shifted = builder.shl(biased, ir.Constant(integers, [mantissa] * a.lanes))
        return builder.bitcast(shifted, vector_ir(a))

    return a(a), codegen


@intrinsic
def exponent(_, a):
    """k for lanes m * 2**k with 1 <= m < 2, read off the bits: for positive normal numbers."""
    bits, mantissa, bias = (32, 23, 127) if a.dtype == types.float32 else (64, 52, 1023)

    def codegen(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(bits), a.lanes)
        shift = ir.Constant(integers, [mantissa] * a.lanes)
        biased = builder.lshr(builder.bitcast(args[0], integers), shift)
        unbiased = builder.sub(biased, ir.Constant(integers, [bias] * a.lanes))
        return builder.sitofp(unbiased, vector_ir(a))

    return a(a), codegen


@intrinsic
def significand(_, a):
    """m for lanes m * 2**k with 1 <= m < 2: for positive normal numbers."""
    bits, width, bias = (32, 23, 127) if a.dtype == types.float32 else (64, 52, 1023)

    def codegen(context, builder, sig, args):
        integers = ir.VectorType(ir.IntType(bits), a.lanes)
        fraction = ir.Constant(integers, [(1 << width) - 1] * a.lanes)
        one = ir.Constant(integers, [bias << width] * a.lanes)
        kept = builder.and_(builder.bitcast(args[0], integers), fraction)
        return builder.bitcast(builder.or_(kept, one), vector_ir(a))

    return a(a), codegen


# --- operators ----------------------------------------------------------------------------------


# An operator is one line of LLVM's, written where it stands: by Numba's `overload` each would be a
# function, to be compiled and inlined.
_ARITHMETIC = {
    operator.add: lambda builder, a, b: builder.fadd(a, b),
    operator.sub: lambda builder, a, b: builder.fsub(a, b),
    operator.mul: lambda builder, a, b: builder.fmul(a, b),
    operator.truediv: lambda builder, a, b: builder.fdiv(a, b),
}
_COMPARISONS = {
    operator.gt: lambda builder, a, b: builder.fcmp_ordered(">", a, b),
    operator.ge: lambda builder, a, b: builder.fcmp_ordered(">=", a, b),
    operator.lt: lambda builder, a, b: builder.fcmp_ordered("<", a, b),
    operator.eq: lambda builder, a, b: builder.fcmp_ordered("==", a, b),
}


def _define_operator(python_operator: Any, emit: Any, compares: bool) -> None:
    @type_callable(python_operator)
    def of_vectors(_):
        def typer(a, b):
            if isinstance(a, Vector) and a == b:
                return Mask(a.lanes) if compares else a
            return None

        return typer

    @lower_builtin(python_operator, Vector, Vector)
    def _(context, builder, sig, args):
        return emit(builder, *args)


for _python_operator, _emit in _ARITHMETIC.items():
    _define_operator(_python_operator, _emit, compares=False)
for _python_operator, _emit in _COMPARISONS.items():
    _define_operator(_python_operator, _emit, compares=True)
