"""Transposing small blocks in registers."""

from llvmlite import ir
from numba import types

from kernels.simd import (
    I64,
    element_pointer,
    intrinsic,
    lanes_of,
    read_part,
    scalar_ir,
    write_part,
)


@intrinsic
def transpose_block(_, source, source0, source_row, rows, columns, target, target0, target_row):
    """Transpose a block of at most lanes x lanes: target[j, i] = source[i, j]."""
    count = lanes_of(source.dtype)
    vector = ir.VectorType(scalar_ir(source.dtype), count)
    size = source.dtype.bitwidth // 8
    n = types.intp

    def codegen(context, builder, signature, arguments):
        (_, first, step, row_count, column_count, _, target_first, target_step) = arguments
        read = element_pointer(context, builder, source, arguments[0], first)
        wrote = element_pointer(context, builder, target, arguments[5], target_first)
        last_row = builder.sub(row_count, I64(1))

        def load(k):
            inside = builder.icmp_signed("<", I64(k), row_count)
            row = builder.select(inside, I64(k), last_row)
            pointer = builder.gep(read, [builder.mul(step, row)])
            return read_part(builder, pointer, vector, column_count, size)

        values = [load(k) for k in range(count)]
        mask = ir.VectorType(ir.IntType(32), count)
        low = [k // 2 + (k % 2) * count for k in range(count)]
        high = [k + count // 2 for k in low]
        # Interleaving row k with row k + count/2, log2(count) times, transposes the block.
        for _ in range(count.bit_length() - 1):
            halves = [(values[k], values[k + count // 2]) for k in range(count // 2)]
            values = [
                builder.shuffle_vector(upper, lower, ir.Constant(mask, order))
                for upper, lower in halves
                for order in (low, high)
            ]
        for k, value in enumerate(values):
            with builder.if_then(builder.icmp_signed("<", I64(k), column_count)):
                pointer = builder.gep(wrote, [builder.mul(target_step, I64(k))])
                write_part(builder, pointer, value, row_count, size)
        return context.get_dummy_value()

    return types.void(source, n, n, n, n, target, n, n), codegen
