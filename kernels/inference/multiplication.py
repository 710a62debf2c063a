"""The step of a table that multiplies by a matrix: a dense layer.

Weights lie among the constants in panels of columns. Panels are what is shared out.
"""

from kernels import jit
from kernels.inference.arranging import share_of
from kernels.inference.table import OWN, RELU, X, Y, address
from kernels.simd import fma, lanes, load, load_part, mathematics, splat, store_part
from kernels.tile import multiply_block, panel_width


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
        _multiply_row(
            memory, x0, inner, constants, panels0, (first, last, width), bias, y0, out
        )
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
    vectors = max(1, width // step)
    size = inner * width
    column, end = first * width, min(out, last * width)
    while column < end:
        panel = column // width
        at = panels0 + panel * size + column % width
        if vectors == 2 and panel + 4 <= last:
            b0, b1, b2, b3 = at, at + size, at + 2 * size, at + 3 * size
            s0, s1 = load(bias, column), load(bias, column + step)
            s2, s3 = load(bias, column + width), load(bias, column + width + step)
            s4, s5 = load(bias, column + 2 * width), load(bias, column + 2 * width + step)
            s6, s7 = load(bias, column + 3 * width), load(bias, column + 3 * width + step)
            for i in range(inner):
                v, k = splat(x, x[x0 + i]), i * width
                s0, s1 = (
                    fma(v, load(panels, b0 + k), s0),
                    fma(v, load(panels, b0 + k + step), s1),
                )
                s2, s3 = (
                    fma(v, load(panels, b1 + k), s2),
                    fma(v, load(panels, b1 + k + step), s3),
                )
                s4, s5 = (
                    fma(v, load(panels, b2 + k), s4),
                    fma(v, load(panels, b2 + k + step), s5),
                )
                s6, s7 = (
                    fma(v, load(panels, b3 + k), s6),
                    fma(v, load(panels, b3 + k + step), s7),
                )
            store_part(x, y0 + column, s0, out - column)
            store_part(x, y0 + column + step, s1, out - column - step)
            column += width
            store_part(x, y0 + column, s2, out - column)
            store_part(x, y0 + column + step, s3, out - column - step)
            column += width
            store_part(x, y0 + column, s4, out - column)
            store_part(x, y0 + column + step, s5, out - column - step)
            column += width
            store_part(x, y0 + column, s6, out - column)
            store_part(x, y0 + column + step, s7, out - column - step)
            column += width
        else:
            s0 = load_part(bias, column, bias.size - column)
            for i in range(inner):
                s0 = fma(splat(x, x[x0 + i]), load(panels, at + i * width), s0)
            count = min(min(width, step), out - column)
            store_part(x, y0 + column, s0, count)
            column += min(width, step)


