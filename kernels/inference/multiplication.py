"""The step of a table that multiplies by a matrix: a dense layer.

Weights lie among the constants in panels of columns. Panels are what is shared out.
"""

from kernels import jit
from kernels.inference.arranging import share_of
from kernels.inference.table import OWN, RELU, X, Y, address
from kernels.simd import fma, lanes, load, load_part, mathematics, splat, store_part
from kernels.tile import multiply_block, panel_width

AT_ONCE = 4  # panels of two vectors that one row is multiplied by at a time


@jit.serial
def multiply(step, values, constants, memory, frame, span):
    """own : (inner, columns of y, where panels begin, where biases begin)

    A sample of x begins `values[X, 1]` numbers behind the one before it.
    """
    inner, out, panels0, bias0 = step[OWN], step[OWN + 1], step[OWN + 2], step[OWN + 3]
    width = panel_width(memory, out)
    first, last = share_of((out + width - 1) // width, span[2], span[3], 1)
    rows = span[1] - span[0]
    x0, y0 = address(values, step[X], frame, span[0]), address(values, step[Y], frame, span[0])
    bias = constants[bias0 : bias0 + (out + width - 1) // width * width]
    if rows == 1:
        _multiply_row(memory, x0, inner, constants, panels0, (first, last, width), bias, y0, out)
    else:
        y = memory[y0 : y0 + rows * out]
        for panel in range(first, last):
            multiply_block(
                memory, x0, (values[step[X], 1], 1), (0, rows), inner,
                constants, panels0 + panel * inner * width, width, (panel * width, out), bias, y,
            )  # fmt: skip
    if step[RELU]:
        column, end = first * width, min(out, last * width)
        for row in range(rows):
            for i in range(column, end, lanes(memory)):
                at = y0 + row * out + i
                v = mathematics.rectified(load_part(memory, at, end - i))
                store_part(memory, at, v, end - i)


@jit.serial
def _multiply_row(x, x0, inner, panels, panels0, which, bias, y0, out):
    """One row: eight vectors of columns at a time, for there are no rows whose sums do not wait.

    Each sum is taken in the order of the register tile, so the bits are the same.
    """
    first, last, width = which
    step = lanes(x)
    size = inner * width
    is_wide = width == 2 * step
    column, end = first * width, min(out, last * width)
    while column < end:
        b0 = panels0 + column // width * size
        if is_wide and column // width + AT_ONCE <= last:
            b1, b2, b3 = b0 + size, b0 + 2 * size, b0 + 3 * size
            s0, s1 = _two(bias, column, step)
            s2, s3 = _two(bias, column + width, step)
            s4, s5 = _two(bias, column + 2 * width, step)
            s6, s7 = _two(bias, column + 3 * width, step)
            for i in range(inner):
                v, k = splat(x, x[x0 + i]), i * width
                s0, s1 = _add_products(v, panels, b0 + k, step, s0, s1)
                s2, s3 = _add_products(v, panels, b1 + k, step, s2, s3)
                s4, s5 = _add_products(v, panels, b2 + k, step, s4, s5)
                s6, s7 = _add_products(v, panels, b3 + k, step, s6, s7)
            _put_two(x, y0 + column, out - column, s0, s1)
            _put_two(x, y0 + column + width, out - column - width, s2, s3)
            _put_two(x, y0 + column + 2 * width, out - column - 2 * width, s4, s5)
            _put_two(x, y0 + column + 3 * width, out - column - 3 * width, s6, s7)
            column += AT_ONCE * width
        elif is_wide:
            s0, s1 = _two(bias, column, step)
            for i in range(inner):
                s0, s1 = _add_products(splat(x, x[x0 + i]), panels, b0 + i * width, step, s0, s1)
            _put_two(x, y0 + column, out - column, s0, s1)
            column += width
        else:
            s0 = load_part(bias, column, bias.size - column)
            for i in range(inner):
                s0 = fma(splat(x, x[x0 + i]), load(panels, b0 + i * width), s0)
            store_part(x, y0 + column, s0, min(width, out - column))
            column += width


@jit.serial
def _two(array, at, step):
    return load(array, at), load(array, at + step)


@jit.serial
def _add_products(v, panels, at, step, s0, s1):
    return fma(v, load(panels, at), s0), fma(v, load(panels, at + step), s1)


@jit.serial
def _put_two(y, y0, count, s0, s1):
    store_part(y, y0, s0, count)
    store_part(y, y0 + lanes(y), s1, count - lanes(y))
