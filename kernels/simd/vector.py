"""SIMD vectors as ordinary values inside Numba functions.

`load` gives the next few floats of an array as one `Vector`; operators act on all lanes at once;
`store` writes them back. How many lanes a vector has follows from the array's dtype and from the
processor Numba compiles for (`jit.target`), so a kernel reads the same on AVX-512 and on NEON:

    @jit.serial
    def relu_share(x, y, start, stop):
        zero = splat(x, 0.0)
        for i in range(start, stop, lanes(x)):
            v = load_part(x, i, stop - i)
            store_part(y, i, where(v > zero, v, zero), stop - i)

The arrays are one-dimensional and C-contiguous. The last argument of `load_part` and `store_part`
is the number of elements left: lanes at or past it are neither read (they are 0) nor written, so
tails need no loop of their own. `load` and `store` move full vectors.

Loop-unfriendly short loops are why this exists: pooling over 8 channels takes 2.6 us an image as
a plain Numba loop and 0.75 us with vectors.
"""

import operator
from collections.abc import Callable
from typing import Any, Protocol

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.errors import TypingError
from numba.extending import intrinsic as _numba_intrinsic
from numba.extending import overload, register_model

from kernels import jit


class Intrinsic(Protocol):
    """How a kernel calls an intrinsic: without the typing context, which Numba adds."""

    def __call__(self, *operands: Any) -> Any:
        """The value of the intrinsic."""
        ...


def intrinsic(define: Callable[..., Any]) -> Intrinsic:
    """Numba's `intrinsic`, with a type that lets a checker follow the calls."""
    return _numba_intrinsic(define)


I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
F32, F64 = ir.FloatType(), ir.DoubleType()


class Vector(types.Type):
    """Numba type of a register full of floats."""

    def __init__(self, dtype: types.Float, lanes: int) -> None:
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"{dtype}x{lanes}")


class Mask(types.Type):
    """Numba type of one truth value per lane."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"mask x{lanes}")


def scalar_ir(dtype: types.Type) -> ir.Type:
    """LLVM type of a Numba float type."""
    return F64 if dtype == types.float64 else F32


def vector_ir(vector: Vector) -> ir.VectorType:
    """LLVM's type of a vector."""
    return ir.VectorType(scalar_ir(vector.dtype), vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Vector) -> None:
        super().__init__(manager, fe_type, vector_ir(fe_type))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Mask) -> None:
        super().__init__(manager, fe_type, ir.VectorType(I1, fe_type.lanes))


def lanes_of(dtype: types.Type) -> int:
    """Lanes of a full register of ``dtype``."""
    return jit.target().register_bytes // (8 if dtype == types.float64 else 4)


def vector_of(kind: Any) -> Vector:
    """Vector type that belongs to an array of floats, or to a vector itself."""
    if isinstance(kind, Vector):
        return kind
    if isinstance(kind, types.Array) and isinstance(kind.dtype, types.Float):
        return Vector(kind.dtype, lanes_of(kind.dtype))
    raise TypingError(f"SIMD vectors come from arrays of floats, not from {kind}")


# --- building blocks of the generated code ----------------------------------------------------


def element_pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Address of element ``offset`` of a one-dimensional array."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def broadcast(builder: Any, scalar: Any, lanes: int) -> Any:
    """All lanes equal to ``scalar``."""
    kind = ir.VectorType(scalar.type, lanes)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def repeat_pair(builder: Any, pointer: Any, kind: Any, size: int) -> Any:
    """The two numbers at ``pointer``, again and again."""
    pair = ir.VectorType(kind.element, 2)
    numbers = builder.load(builder.bitcast(pointer, pair.as_pointer()), align=size)
    places = ir.Constant(ir.VectorType(I32, kind.count), [lane % 2 for lane in range(kind.count)])
    return builder.shuffle_vector(numbers, ir.Constant(pair, ir.Undefined), places)


def add_pairs(builder: Any, value: Any) -> Any:
    """Sums of lanes 0 and 1, 2 and 3, and so on: a vector of half the lanes."""
    half = value.type.count // 2
    unused = ir.Constant(value.type, ir.Undefined)
    even, odd = (
        builder.shuffle_vector(
            value, unused, ir.Constant(ir.VectorType(I32, half), list(range(first, 2 * half, 2)))
        )
        for first in (0, 1)
    )
    return builder.fadd(even, odd)


def lanes_below(builder: Any, count: Any, lanes: int) -> Any:
    """Mask of the lanes whose number is below ``count``."""
    numbers = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
    capped = builder.select(
        builder.icmp_signed("<", count, I64(lanes)), builder.trunc(count, I32), I32(lanes)
    )
    return builder.icmp_signed("<", numbers, broadcast(builder, capped, lanes))


def call_intrinsic(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Call an LLVM intrinsic by its full name."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def suffix(kind: Any) -> str:
    """How LLVM spells a vector type in the names of its intrinsics: v16f32."""
    element = {F32: "f32", F64: "f64", I8: "i8", I32: "i32"}[kind.element]
    return f"v{kind.count}{element}"


def read_part(builder: Any, pointer: Any, kind: Any, count: Any, size: int) -> Any:
    """Load the first ``count`` lanes of a vector, 0 in the others."""
    address = builder.bitcast(pointer, kind.as_pointer())
    full = builder.icmp_signed(">=", count, I64(kind.count))
    with builder.if_else(full) as (whole, part):
        with whole:
            complete, complete_block = builder.load(address, align=size), builder.block
        with part:
            mask = lanes_below(builder, count, kind.count)
            arguments = [address, I32(size), mask, ir.Constant(kind, None)]
            partial = call_intrinsic(
                builder, f"llvm.masked.load.{suffix(kind)}.p0", kind, arguments
            )
            partial_block = builder.block
    result = builder.phi(kind)
    result.add_incoming(complete, complete_block)
    result.add_incoming(partial, partial_block)
    return result


def write_part(builder: Any, pointer: Any, value: Any, count: Any, size: int) -> None:
    """Store the first ``count`` lanes of a vector."""
    address = builder.bitcast(pointer, value.type.as_pointer())
    full = builder.icmp_signed(">=", count, I64(value.type.count))
    with builder.if_else(full) as (whole, part):
        with whole:
            builder.store(value, address, align=size)
        with part:
            mask = lanes_below(builder, count, value.type.count)
            arguments = [value, address, I32(size), mask]
            name = f"llvm.masked.store.{suffix(value.type)}.p0"
            call_intrinsic(builder, name, ir.VoidType(), arguments)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c on vectors: one instruction where there is one.

    Without the instruction ``llvm.fma`` would call a library function for every lane, so the
    product is rounded before the sum there.
    """
    if not jit.target().has_fma:
        return builder.fadd(builder.fmul(a, b), c)
    return call_intrinsic(builder, f"llvm.fma.{suffix(a.type)}", a.type, [a, b, c])


# --- loading and storing ----------------------------------------------------------------------


@intrinsic
def lanes(_, array):
    """Number of lanes of the vectors that ``array`` is loaded into: a compile-time constant."""
    count = vector_of(array).lanes

    def codegen(context, builder, sig, args):
        return I64(count)

    return types.intp(array), codegen


@intrinsic
def load(_, array, offset):
    """Vector of ``array[offset:offset + lanes(array)]``."""
    vector = vector_of(array)

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        address = builder.bitcast(pointer, vector_ir(vector).as_pointer())
        return builder.load(address, align=vector.dtype.bitwidth // 8)

    return vector(array, types.intp), codegen


@intrinsic
def load_part(_, array, offset, count):
    """Vector of ``array[offset:offset + count]``, followed by zeros."""
    vector = vector_of(array)

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        size = vector.dtype.bitwidth // 8
        return read_part(builder, pointer, vector_ir(vector), args[2], size)

    return vector(array, types.intp, types.intp), codegen


@intrinsic
def store(_, array, offset, vector):
    """Write all lanes of ``vector`` to ``array[offset:]``."""

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        address = builder.bitcast(pointer, args[2].type.as_pointer())
        builder.store(args[2], address, align=vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), codegen


@intrinsic
def store_part(_, array, offset, vector, count):
    """Write the first ``count`` lanes of ``vector`` to ``array[offset:]``."""

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        write_part(builder, pointer, args[2], args[3], vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), codegen


@intrinsic
def load_index(_, array, offset, count, like):
    """Whole numbers ``array[offset:offset + count]`` as float lanes of the type of ``like``."""
    size = array.dtype.bitwidth // 8

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        kind = ir.VectorType(ir.IntType(array.dtype.bitwidth), like.lanes)
        whole = read_part(builder, pointer, kind, args[2], size)
        convert = builder.sitofp if array.dtype.signed else builder.uitofp
        return convert(whole, vector_ir(like))

    return like(array, types.intp, types.intp, like), codegen


@intrinsic
def load_as(_, array, offset, count, like):
    """Floats ``array[offset:offset + count]`` converted to the type of ``like``, then zeros."""
    size = array.dtype.bitwidth // 8

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        kind = ir.VectorType(scalar_ir(array.dtype), like.lanes)
        vector = read_part(builder, pointer, kind, args[2], size)
        if array.dtype.bitwidth == like.dtype.bitwidth:
            return vector
        wider = array.dtype.bitwidth < like.dtype.bitwidth
        return (builder.fpext if wider else builder.fptrunc)(vector, vector_ir(like))

    return like(array, types.intp, types.intp, like), codegen


@intrinsic
def store_index(_, array, offset, vector, count):
    """Write whole numbers held in float lanes to an integer array."""
    size = array.dtype.bitwidth // 8

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        whole = builder.fptosi(args[2], ir.VectorType(I32, vector.lanes))
        if array.dtype.bitwidth < 32:
            kind = ir.VectorType(ir.IntType(array.dtype.bitwidth), vector.lanes)
            whole = builder.trunc(whole, kind)
        write_part(builder, pointer, whole, args[3], size)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector, types.intp), codegen


@intrinsic
def splat(_, like, scalar):
    """All lanes equal to ``scalar``; ``like`` is an array or a vector of the wanted type."""
    vector = vector_of(like)

    def codegen(context, builder, sig, args):
        return broadcast(builder, args[1], vector.lanes)

    return vector(like, vector.dtype), codegen


# --- arithmetic -------------------------------------------------------------------------------


@intrinsic
def fma(_, a, b, c):
    """a * b + c, rounded once where the processor can."""

    def codegen(context, builder, sig, args):
        return multiply_add(builder, *args)

    return a(a, a, a), codegen


@intrinsic
def where(_, mask, yes, no):
    """Lane by lane: ``yes`` where the mask holds, else ``no``."""

    def codegen(context, builder, sig, args):
        return builder.select(*args)

    return yes(mask, yes, no), codegen


@intrinsic
def sqrt(_, a):
    """Square root of every lane."""

    def codegen(context, builder, sig, args):
        return call_intrinsic(builder, f"llvm.sqrt.{suffix(args[0].type)}", args[0].type, args)

    return a(a), codegen


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
def first_lanes(_, like, count):
    """Mask of the lanes whose number is below ``count``."""

    def codegen(context, builder, sig, args):
        return lanes_below(builder, args[1], like.lanes)

    return Mask(like.lanes)(like, types.intp), codegen


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
def largest(_, a):
    """Largest of all lanes; which one, if any lane is NaN, is not said."""

    def codegen(context, builder, sig, args):
        def larger(low, high):
            return builder.select(builder.fcmp_ordered(">", low, high), low, high)

        return _fold(builder, args[0], larger)

    return a.dtype(a), codegen


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


@intrinsic
def nearest(_, a):
    """Every lane rounded to the nearest whole number, halves to even."""

    def codegen(context, builder, sig, args):
        name = f"llvm.rint.{suffix(args[0].type)}"
        return call_intrinsic(builder, name, args[0].type, args)

    return a(a), codegen


def _binary(emit: Any, compares: bool = False) -> Any:
    """Intrinsic of two vectors, made from the builder call that computes it."""

    @intrinsic
    def operation(_, a, b):
        def codegen(context, builder, sig, args):
            return emit(builder, *args)

        return (Mask(a.lanes) if compares else a)(a, b), codegen

    return operation


_OPERATIONS = {
    operator.add: _binary(lambda builder, a, b: builder.fadd(a, b)),
    operator.sub: _binary(lambda builder, a, b: builder.fsub(a, b)),
    operator.mul: _binary(lambda builder, a, b: builder.fmul(a, b)),
    operator.truediv: _binary(lambda builder, a, b: builder.fdiv(a, b)),
    operator.gt: _binary(lambda builder, a, b: builder.fcmp_ordered(">", a, b), compares=True),
    operator.ge: _binary(lambda builder, a, b: builder.fcmp_ordered(">=", a, b), compares=True),
    operator.lt: _binary(lambda builder, a, b: builder.fcmp_ordered("<", a, b), compares=True),
    operator.eq: _binary(lambda builder, a, b: builder.fcmp_ordered("==", a, b), compares=True),
}


def _overload_operator(python_operator: Any, operation: Any) -> None:
    @overload(python_operator)
    def _operator(a, b):
        if isinstance(a, Vector) and isinstance(b, Vector):
            return lambda a, b: operation(a, b)
        return None


for _python_operator, _operation in _OPERATIONS.items():
    _overload_operator(_python_operator, _operation)
