"""The register tile: the inner loop of every convolution and dense layer.

    c[m, v] = start[m, v] + sum over o < outer, i < inner of  a[m, o, i] * b[o, i, v]

for up to `TILE_ROWS` rows m and `TILE_VECTORS` vectors v, all held in registers until the sum is
complete: each step loads a few vectors of ``b``, broadcasts one number of ``a`` per row and does
rows x vectors fused multiply-adds. Where those numbers lie is given by strides alone:

    a[m, o, i] = a.array[a.first + m * a.m + o * a.o + i * a.i]
    b[o, i, v] = b.array[b.first + (o * inner + i) * b.i + v * lanes ...]     (one vector)
    start[m, v], c[m, v]: array[first + m * .m + v * lanes ...]
                          (start is a bias or c itself; of c's last vector `tail` lanes are written)

All of this ``repeats`` times, each a.r, b.r, start.r and c.r further on in its array: a row of
equal tiles for the price of one call. The same tile serves (x and dy are N, H, W, C; packed
weights put output channels last)

    forward          m = output column, o = kernel row, i = (kernel column, input channel)
    input gradient   the forward on the output's gradient with flipped, transposed weights
    weight gradient  m = (kernel column, input channel), o = output row, i = output column
    dense layers     outer = 1
"""

import functools
from types import SimpleNamespace
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, sigutils
from numba.core.ccallback import CFunc

from kernels import dispatch, jit, linking
from kernels.simd import (
    I64,
    add_pairs,
    broadcast,
    element_pointer,
    intrinsic,
    lanes_of,
    multiply_add,
    opaque,
    prefetch,
    repeat_pair,
    scalar_ir,
    write_part,
)
from kernels.tile.operands import FULL, FULL_TWICE, HALF, HALF_TWICE, PAIRED, TWICE, TWICE_ROWS

TILE_ROWS = jit.target().tile_rows
TILE_VECTORS = jit.target().tile_vectors
# Rows that share a pointer: three steps from it, in registers, reach them all. The pointer is
# `opaque`: else LLVM finds each row's number by an addition to the address of the one before, and
# there is one such addition a cycle, half as many FMAs as a tile of one vector could do.
_ROWS_OF_POINTER = 4


# Arguments of the compiled tile, in order: sizes, then operands as pointers with their strides.
_NAMES = (
    "mode", "rows", "vectors", "a", "a_m", "a_o", "a_i", "b", "b_i", "inner", "outer",
    "start", "start_m", "c", "c_m", "tail", "repeats", "a_r", "b_r", "start_r", "c_r",
    "asked", "asked_i",
)  # fmt: skip
_POINTERS = ("a", "b", "start", "c", "asked")


def _emit(
    builder: Any, op: Any, mode: int, rows: int, vectors: int, vector: Any, size: int
) -> None:
    """Code of one tile of fixed size, up to and including its stores.

    Sums are numbered (w, m, v): w is 1 for the second sum of a row that has two.
    """
    paired = mode == PAIRED
    ways = 2 if mode >= TWICE else 1
    step = 2 if paired else ways
    zero = ir.Constant(vector, None)

    def each(make):
        numbers = [(w, m, v) for w in range(ways) for m in range(rows) for v in range(vectors)]
        return {number: make(*number) for number in numbers}

    def address(pointer, row_stride, m, v):
        offset = builder.add(builder.mul(row_stride, I64(m)), I64(v * vector.count))
        return builder.gep(pointer, [offset])

    def load(pointer):
        return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=size)

    before = builder.block
    repeat_loop = builder.append_basic_block()
    builder.branch(repeat_loop)
    builder.position_at_end(repeat_loop)
    r = builder.phi(I64)
    # A tile one vector wide has a load for each FMA as it is.
    asks = [op.asked] if mode == FULL and vectors > 1 else []
    ask_repeat = [builder.phi(pointer.type) for pointer in asks]
    a_first, b_first, start, c = (
        builder.phi(pointer.type) for pointer in (op.a, op.b, op.start, op.c)
    )
    sums = each(lambda w, m, v: zero if paired or w else load(address(start, op.start_m, m, v)))
    entry = builder.block
    outer_loop, inner_loop, inner_end, done = (builder.append_basic_block() for _ in range(4))
    builder.cbranch(builder.icmp_signed("<", I64(0), op.outer), outer_loop, done)

    builder.position_at_end(outer_loop)
    o, a_row, b_row = builder.phi(I64), builder.phi(op.a.type), builder.phi(op.b.type)
    outer_sums = each(lambda *_: builder.phi(vector))
    ask_outer = [builder.phi(pointer.type) for pointer in asks]
    firsts = [(w, m) for w in range(ways) for m in range(0, rows, _ROWS_OF_POINTER)]
    a_firsts = [
        builder.gep(a_row, [builder.add(builder.mul(op.a_m, I64(m)), builder.mul(op.a_i, I64(w)))])
        for w, m in firsts
    ]
    builder.branch(inner_loop)

    builder.position_at_end(inner_loop)
    i, b_here = builder.phi(I64), builder.phi(op.b.type)
    a_phis = [builder.phi(op.a.type) for _ in firsts]
    inner_sums = each(lambda *_: builder.phi(vector))
    ask_inner = [builder.phi(pointer.type) for pointer in asks]
    for here in ask_inner:
        prefetch(builder, here)
    ask_next = [builder.gep(here, [op.asked_i]) for here in ask_inner]
    a_here = [opaque(builder, pointer) for pointer in a_phis]
    a_of = dict(zip(firsts, a_here, strict=True))
    b_vectors = {
        (w, v): load(address(b_here, op.b_i, w, v)) for w in range(ways) for v in range(vectors)
    }
    new_sums = {}
    for w, m, v in inner_sums:
        if v == 0:
            beyond = m % _ROWS_OF_POINTER
            pointer = builder.gep(a_of[w, m - beyond], [builder.mul(op.a_m, I64(beyond))])
            if paired:
                spread = repeat_pair(builder, pointer, vector, size)
            else:
                spread = broadcast(builder, builder.load(pointer), vector.count)
        new_sums[w, m, v] = multiply_add(builder, spread, b_vectors[w, v], inner_sums[w, m, v])
    i_next = builder.add(i, I64(step))
    a_next = [builder.gep(here, [builder.mul(op.a_i, I64(step))]) for here in a_here]
    b_next = builder.gep(b_here, [builder.mul(op.b_i, I64(step))])
    builder.cbranch(builder.icmp_signed("<", i_next, op.inner), inner_loop, inner_end)

    builder.position_at_end(inner_end)
    o_next, a_row_next = builder.add(o, I64(1)), builder.gep(a_row, [op.a_o])
    builder.cbranch(builder.icmp_signed("<", o_next, op.outer), outer_loop, done)

    def wire(phi, first, first_block, again, again_block):
        phi.add_incoming(first, first_block)
        phi.add_incoming(again, again_block)

    wire(o, I64(0), entry, o_next, inner_end)
    wire(a_row, a_first, entry, a_row_next, inner_end)
    wire(b_row, b_first, entry, b_next, inner_end)
    wire(i, I64(0), outer_loop, i_next, inner_loop)
    for here, first, following in zip(a_phis, a_firsts, a_next, strict=True):
        wire(here, first, outer_loop, following, inner_loop)
    wire(b_here, b_row, outer_loop, b_next, inner_loop)
    for here, outer, first, following in zip(
        ask_inner, ask_outer, ask_repeat, ask_next, strict=True
    ):
        wire(outer, first, entry, following, inner_end)
        wire(here, outer, outer_loop, following, inner_loop)
    for number, new in new_sums.items():
        wire(outer_sums[number], sums[number], entry, new, inner_end)
        wire(inner_sums[number], outer_sums[number], outer_loop, new, inner_loop)

    builder.position_at_end(done)
    final_sums = each(lambda *_: builder.phi(vector))
    for number, final in final_sums.items():
        wire(final, sums[number], entry, new_sums[number], inner_end)
    ask_done = [builder.phi(pointer.type) for pointer in asks]
    for last, first, following in zip(ask_done, ask_repeat, ask_next, strict=True):
        wire(last, first, entry, following, inner_end)
    for (w, m, v), value in final_sums.items():
        if w:
            continue
        target = address(c, op.c_m, m, v)
        if ways == 2:
            value = builder.fadd(value, final_sums[1, m, v])
        if paired:
            value = add_pairs(builder, value)
            first = builder.gep(start, [builder.mul(op.start_m, I64(m))])
            first = builder.bitcast(first, value.type.as_pointer())
            value = builder.fadd(builder.load(first, align=size), value)
        if v == vectors - 1:
            write_part(builder, target, value, op.tail, size)
        else:
            builder.store(value, builder.bitcast(target, vector.as_pointer()), align=size)
    finished = builder.append_basic_block()
    r_next = builder.add(r, I64(1))
    wire(r, I64(0), before, r_next, builder.block)
    for first, last in zip(ask_repeat, ask_done, strict=True):
        wire(first, op.asked, before, last, builder.block)
    for pointer, first, step in (
        (a_first, op.a, op.a_r), (b_first, op.b, op.b_r), (start, op.start, op.start_r),
        (c, op.c, op.c_r),
    ):  # fmt: skip
        wire(pointer, first, before, builder.gep(pointer, [step]), builder.block)
    builder.cbranch(builder.icmp_signed("<", r_next, op.repeats), repeat_loop, finished)
    builder.position_at_end(finished)


@intrinsic
def _any_tile(_, arguments):
    """A switch over all tile sizes; half-width vectors have one per row."""
    kinds = dict(zip(_NAMES, arguments.types, strict=True))
    dtype = kinds["a"].dtype

    def codegen(context, builder, signature, values):
        op = SimpleNamespace(
            **{name: builder.extract_value(values[0], k) for k, name in enumerate(_NAMES)}
        )
        finished = builder.append_basic_block("finished")
        twice_rows = range(1, min(TWICE_ROWS, TILE_ROWS) + 1)
        sizes = [(FULL, m, v) for m in range(1, TILE_ROWS + 1) for v in range(1, TILE_VECTORS + 1)]
        sizes += [(mode, m, 1) for mode in (HALF, PAIRED) for m in range(1, TILE_ROWS + 1)]
        sizes += [(mode, m, 1) for mode in (FULL_TWICE, HALF_TWICE) for m in twice_rows]
        weights = (64, TILE_VECTORS + 1, 1)
        number = builder.add(
            builder.mul(op.mode, I64(weights[0])),
            builder.add(builder.mul(op.rows, I64(weights[1])), op.vectors),
        )
        switch = builder.switch(number, finished)
        for mode, m, v in sizes:
            block = builder.append_basic_block(f"tile{m}x{v}")
            switch.add_case(I64(mode * weights[0] + m * weights[1] + v), block)
            builder.position_at_end(block)
            count = lanes_of(dtype) // 2 if mode in (HALF, HALF_TWICE) else lanes_of(dtype)
            vector = ir.VectorType(scalar_ir(dtype), count)
            _emit(builder, op, mode, m, v, vector, dtype.bitwidth // 8)
            builder.branch(finished)
        builder.position_at_end(finished)
        return context.get_dummy_value()

    return types.void(arguments), codegen


def _c_signature(dtype: types.Float) -> Any:
    return types.void(
        *(types.CPointer(dtype) if name in _POINTERS else types.int64 for name in _NAMES)
    )


def _symbol(dtype: types.Float) -> str:
    return f"fastcnn_tile_{dtype}"


class _Tile(linking.Whole):
    """Nothing is linked into the tile: LLVM's passes for each function leave none to do to all.

    Those for whole modules took a third of a second, and every inner loop stayed as it was; so did
    those of level 3, which make a fifth more code of its smallest sizes, a quarter of a second.
    """

    function_level = 2

    def _optimize_final_module(self) -> None:
        pass


class _Pipeline(dispatch.WholePipeline):
    library = _Tile


@functools.cache
def prepare(dtype: np.dtype) -> None:
    """Compile the tile for arrays of ``dtype`` (or load it from the cache), once per process.

    The tile is a function of its own that other kernels call by a symbol, as they call the C
    library's: linked into each of them it would be optimised anew each time, which made the three
    convolution kernels take 24 s to compile instead of 10.
    """
    kind: Any = numba.from_dtype(dtype)
    if jit.is_collecting():  # nothing will be run, but LLVM wants to know the symbol
        llvm.add_symbol(_symbol(kind), 1)
        return
    # What numba.cfunc does, with our cache.
    signature = sigutils.normalize_signature(_c_signature(kind))
    compiled: Any = CFunc(_tile_entry, signature, {}, {}, pipeline_class=_Pipeline)
    compiled._cache = jit.kept_whole(_tile_entry)
    dispatch.makes_wholes(compiled._compiler)
    compiled.compile()
    # Not what Numba makes for C to call: that reads arguments in vectors, which have just been
    # written one by one, and so waits until the sums of the tiles before are in the cache.
    inside = compiled._wrapper_name.removeprefix("cfunc.")
    llvm.add_symbol(_symbol(kind), compiled._library.get_pointer_to_function(inside))
    _alive.append(compiled)


_alive: list[Any] = []  # the code behind a symbol must not be freed


# 23 parameters: LLVM hands pointers and numbers to a C function one by one, in registers.
def _tile_entry(
    mode, rows, vectors, a, a_m, a_o, a_i, b, b_i, inner, outer, start, start_m, c, c_m, tail,
    repeats, a_r, b_r, start_r, c_r, asked, asked_i,
):  # fmt: skip
    _any_tile((
        mode, rows, vectors, a, a_m, a_o, a_i, b, b_i, inner, outer, start, start_m, c, c_m, tail,
        repeats, a_r, b_r, start_r, c_r, asked, asked_i,
    ))  # fmt: skip


def _numbers(context: Any, builder: Any, kind: Any, value: Any) -> dict[str, Any]:
    """The fields of a NamedTuple; of an array and the index in it the address."""
    found = {}
    for k, name in enumerate(kind.fields):
        if k >= len(kind.types):  # Numba leaves defaults out (and knows them at the end only)
            found[name] = I64(kind.instance_class._field_defaults[name])
        elif name == "array":
            found[name] = builder.extract_value(value, k)
        else:
            number = builder.extract_value(value, k)
            found[name] = context.cast(builder, number, kind.types[k], types.intp)
    if "array" in found:
        array = found.pop("array")
        address = element_pointer(context, builder, kind.types[0], array, found.pop("first"))
        found["address"] = address
    return found


@intrinsic
def tiles(_, shape, a, b, start, c, asked):
    """A row of register tiles; see the module's docstring.

    shape : TileShape; a : Rows; b : Panel; start, c : Sums; asked : Asked
    """
    signature = types.void(shape, a, b, start, c, asked)

    def codegen(context, builder, signature, values):
        numbers = _numbers(context, builder, shape, values[0])
        for name, kind, value in zip(_POINTERS, (a, b, start, c, asked), values[1:], strict=True):
            for field, number in _numbers(context, builder, kind, value).items():
                numbers[name if field == "address" else f"{name}_{field}"] = number
        # As Numba's functions call each other: with places for a result and an error.
        neither = cgutils.alloca_once(builder, ir.IntType(8).as_pointer())
        arguments = [neither, neither, *(numbers[name] for name in _NAMES)]
        kind = ir.FunctionType(ir.IntType(32), [argument.type for argument in arguments])
        symbol = _symbol(b.types[0].dtype)
        builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol), arguments)
        return context.get_dummy_value()

    return signature, codegen
