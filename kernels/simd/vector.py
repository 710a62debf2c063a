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

from collections.abc import Callable
from typing import Any, Protocol

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.core.errors import TypingError
from numba.extending import intrinsic as _numba_intrinsic
from numba.extending import register_model

from kernels.simd.codegen import (
    I1,
    I32,
    I64,
    broadcast,
    element_pointer,
    lanes_of,
    opaque,
    prefetch,
    read_part,
    scalar_ir,
    write_part,
)
from kernels.sizes import Size


class Intrinsic(Protocol):
    """How a kernel calls an intrinsic: without the typing context, which Numba adds."""

    def __call__(self, *operands: Any) -> Any:
        """The value of the intrinsic."""
        ...


def intrinsic(define: Callable[..., Any]) -> Intrinsic:
    """Numba's `intrinsic`, with a type that lets a checker follow the calls."""
    return _numba_intrinsic(define)


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


def vector_of(kind: Any) -> Vector:
    """Vector type that belongs to an array of floats, or to a vector itself."""
    if isinstance(kind, Vector):
        return kind
    if isinstance(kind, types.Array) and isinstance(kind.dtype, types.Float):
        return Vector(kind.dtype, lanes_of(kind.dtype))
    raise TypingError(f"SIMD vectors come from arrays of floats, not from {kind}")


# --- loading and storing ----------------------------------------------------------------------


@intrinsic
def _compiled_lanes(_, array):
    count = vector_of(array).lanes

    def codegen(context, builder, sig, args):
        return I64(count)

    return types.intp(array), codegen


def _lanes(array: np.ndarray) -> int:
    """Number of lanes of the vectors that ``array`` is loaded into: a compile-time constant."""
    return lanes_of(numba.from_dtype(array.dtype))


lanes = Size(_lanes, _compiled_lanes)


@intrinsic
def touch(_, array, offset):
    """Read ``array[offset]``, whether anybody needs it or not."""

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        value = builder.load(builder.bitcast(pointer, I32.as_pointer()), align=4)
        kind = ir.FunctionType(ir.VoidType(), [I32])
        builder.asm(kind, "", "r", [value], True)
        return context.get_dummy_value()

    return types.none(array, offset), codegen


@intrinsic
def settled(_, offset):
    """The same offset, of which LLVM does not know how it was computed.

    Where many loads lie at fixed distances from one offset that moves on, LLVM would move a pointer
    for each of them, of which there are more than registers.
    """

    def codegen(context, builder, sig, args):
        return opaque(builder, args[0])

    return types.intp(types.intp), codegen


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
def ask_for(_, array, offset):
    """Have the cache line of ``array[offset]`` fetched, which will be written; go on meanwhile.

    A line that nobody asked for makes the processor wait as soon as the few dozen writes are under
    way that it has room for. It is fetched as if it were to be read: asked for as one to be written
    (x86's PREFETCHW) it took those longer who read it afterwards. Any offset is allowed.
    """

    def codegen(context, builder, sig, args):
        prefetch(builder, element_pointer(context, builder, array, args[0], args[1]))
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


def _whole_numbers(array: Any, like: Vector) -> tuple[Any, Any]:
    """Signature and code of `load_index`."""
    size = array.dtype.bitwidth // 8

    def codegen(context, builder, sig, args):
        pointer = element_pointer(context, builder, array, args[0], args[1])
        kind = ir.VectorType(ir.IntType(array.dtype.bitwidth), like.lanes)
        whole = read_part(builder, pointer, kind, args[2], size)
        convert = builder.sitofp if array.dtype.signed else builder.uitofp
        return convert(whole, vector_ir(like))

    return like(array, types.intp, types.intp, like), codegen


@intrinsic
def load_index(_, array, offset, count, like):
    """Whole numbers ``array[offset:offset + count]`` as float lanes of the type of ``like``."""
    return _whole_numbers(array, like)


@intrinsic
def load_as(_, array, offset, count, like):
    """Numbers ``array[offset:offset + count]`` converted to the type of ``like``, then zeros."""
    if isinstance(array.dtype, types.Integer):
        return _whole_numbers(array, like)
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
