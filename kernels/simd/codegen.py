"""Pieces of LLVM code for vectors: what the functions of this folder and the register tile emit."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from kernels import jit

I1, I8, I32, I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
F32, F64 = ir.FloatType(), ir.DoubleType()


def scalar_ir(dtype: types.Type) -> ir.Type:
    """LLVM type of a Numba float type."""
    return F64 if dtype == types.float64 else F32


def lanes_of(dtype: types.Type) -> int:
    """Lanes of a full register of ``dtype``."""
    return jit.target().register_bytes // (8 if dtype == types.float64 else 4)


def element_pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """Address of element ``offset`` of a one-dimensional array."""
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def opaque(builder: Any, value: Any) -> Any:
    """The same pointer or number, of which LLVM does not know where it came from."""
    kind = ir.FunctionType(value.type, [value.type])
    return builder.asm(kind, "", "=r,0", [value], False)


def prefetch(builder: Any, pointer: Any) -> None:
    """Have the cache line at ``pointer`` fetched into the second cache, as if it were read."""
    address = builder.bitcast(pointer, I8.as_pointer())
    to_read, second_cache, data = I32(0), I32(2), I32(1)
    arguments = [address, to_read, second_cache, data]
    call_intrinsic(builder, "llvm.prefetch.p0", ir.VoidType(), arguments)


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
    order = ir.Constant(ir.VectorType(I32, kind.count), [lane % 2 for lane in range(kind.count)])
    return builder.shuffle_vector(numbers, ir.Constant(pair, ir.Undefined), order)


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
            if jit.target().stores_pieces:
                _write_pieces(builder, pointer, value, count, size)
                return
            mask = lanes_below(builder, count, value.type.count)
            arguments = [value, address, I32(size), mask]
            name = f"llvm.masked.store.{suffix(value.type)}.p0"
            call_intrinsic(builder, name, ir.VoidType(), arguments)


def _write_pieces(builder: Any, pointer: Any, value: Any, count: Any, size: int) -> None:
    """Store the first ``count`` lanes, fewer than all: the pieces are the bits of ``count``.

    5 lanes are four and one: of what is left, the lower or the upper half goes on to the next bit.
    """
    count = builder.select(builder.icmp_signed(">", count, I64(0)), count, I64(0))
    while value.type.count > 1:
        half = value.type.count // 2
        unused = ir.Constant(value.type, ir.Undefined)
        low, high = (
            builder.shuffle_vector(
                value, unused, ir.Constant(ir.VectorType(I32, half), list(range(k, k + half)))
            )
            for k in (0, half)
        )
        stored = builder.icmp_signed("!=", builder.and_(count, I64(half)), I64(0))
        with builder.if_then(stored):
            builder.store(low, builder.bitcast(pointer, low.type.as_pointer()), align=size)
        pointer = builder.select(stored, builder.gep(pointer, [I64(half)]), pointer)
        value = builder.select(stored, high, low)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c on vectors: one instruction where there is one.

    Without the instruction ``llvm.fma`` would call a library function for every lane, so the
    product is rounded before the sum there.
    """
    if not jit.target().has_fma:
        return builder.fadd(builder.fmul(a, b), c)
    return call_intrinsic(builder, f"llvm.fma.{suffix(a.type)}", a.type, [a, b, c])
