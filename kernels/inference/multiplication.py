"""The step of a table that multiplies by a matrix: a dense layer.

Weights lie among the constants in panels of columns. Panels are what is shared out.
"""

from kernels import jit
from kernels.dense import PARTS
from kernels.inference.arranging import share_of
from kernels.inference.table import OWN, RELU, X, Y, address
from kernels.simd import fma, lanes, load, load_part, mathematics, splat, store_part
from kernels.tile import multiply_block, panel_width

AT_ONCE = 4  # panels of two vectors that one row is multiplied by at a time
DEEP_ROWS = 256  # for which there is room for the sums of all parts of the depth


@jit.serial
def multiply(step, values, constants, memory, scratch, frame, span):
    """own : (inner, columns of y, where panels begin, where biases begin, where zeros begin)

    Without zeros there are no parts of the depth, see `kernels.dense.depth_parts`.

    A sample of x begins `values[X, 1]` numbers behind the one before it.
    """
    inner, out, panels0, bias0 = step[OWN], step[OWN + 1], step[OWN + 2], step[OWN + 3]
    zeros0 = step[OWN + 4]
    width = panel_width(memory, out)
    first, last = share_of((out + width - 1) // width, span[2], span[3], 1)
    rows = span[1] - span[0]
    x0, y0 = address(values, step[X], frame, span[0]), address(values, step[Y], frame, span[0])
    bias = constants[bias0 : bias0 + (out + width - 1) // width * width]
    if zeros0 >= 0:
        zeros = constants[zeros0 : zeros0 + width]
        for panel in range(first, last):
            here0, column = panels0 + panel * inner * width, panel * width
            if rows == 1:
                _multiply_parts(memory, x0, inner, constants, here0, width, scratch)
                _add_parts(scratch, width, width, 1, bias, column, memory, y0, out)
                continue
            for row in range(0, rows, DEEP_ROWS):
                count = min(DEEP_ROWS, rows - row)
                for part in range(PARTS):
                    k, stop = inner * part // PARTS, inner * (part + 1) // PARTS
                    multiply_block(
                        memory, x0 + row * values[step[X], 1] + k, (values[step[X], 1], 1),
                        (0, count), stop - k, constants, here0 + k * width, width, (0, width),
                        zeros, scratch[part * DEEP_ROWS * width :],
                    )  # fmt: skip
                _add_parts(
                    scratch, width, DEEP_ROWS * width, count, bias, column, memory,
                    y0 + row * out, out,
                )  # fmt: skip
    elif rows == 1:
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
def _multiply_parts(x, x0, inner, panels, b0, width, sums):
    """The sums of one row for each part of the depth, in four rows of ``width``.

    All parts at a time, for there are no rows whose sums do not wait.
    """
    step, least = lanes(x), inner // PARTS
    k1, k2, k3 = inner // PARTS, inner * 2 // PARTS, inner * 3 // PARTS
    for v in range(0, width, 2 * step):
        second = v + step if v + step < width else v  # the same once more, if there is one vector
        at, gap = b0 + v, second - v
        zero = splat(x, 0.0)
        s0, s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero, zero
        for i in range(least):
            b = at + i * width
            s0, s1 = _add_both(x, x0 + i, panels, b, gap, s0, s1)
            s2, s3 = _add_both(x, x0 + k1 + i, panels, b + k1 * width, gap, s2, s3)
            s4, s5 = _add_both(x, x0 + k2 + i, panels, b + k2 * width, gap, s4, s5)
            s6, s7 = _add_both(x, x0 + k3 + i, panels, b + k3 * width, gap, s6, s7)
        if k1 + least < k2:  # parts that are longer by one
            s2, s3 = _add_both(x, x0 + k2 - 1, panels, at + (k2 - 1) * width, gap, s2, s3)
        if k2 + least < k3:
            s4, s5 = _add_both(x, x0 + k3 - 1, panels, at + (k3 - 1) * width, gap, s4, s5)
        if k3 + least < inner:
            s6, s7 = _add_both(x, x0 + inner - 1, panels, at + (inner - 1) * width, gap, s6, s7)
        _put_both(sums, v, second, width, s0, s1)
        _put_both(sums, width + v, width + second, 2 * width, s2, s3)
        _put_both(sums, 2 * width + v, 2 * width + second, 3 * width, s4, s5)
        _put_both(sums, 3 * width + v, 3 * width + second, 4 * width, s6, s7)


@jit.serial
def _add_both(x, at, panels, b, gap, s0, s1):
    v = splat(x, x[at])
    return fma(v, load(panels, b), s0), fma(v, load(panels, b + gap), s1)


@jit.serial
def _put_both(sums, first, second, end, s0, s1):
    store_part(sums, first, s0, end - first)
    store_part(sums, second, s1, end - second)


@jit.serial
def _add_parts(sums, width, distance, rows, bias, column, y, y0, columns):
    """The sums of all parts, and the bias, into a panel of y.

    distance : from a part's sums to the next ones
    """
    for row in range(rows):
        for v in range(0, min(width, columns - column), lanes(y)):
            at, left = row * width + v, min(width - v, columns - column - v)
            first = load(sums, at) + load(sums, distance + at)
            second = load(sums, 2 * distance + at) + load(sums, 3 * distance + at)
            total = first + second + load(bias, column + v)
            store_part(y, y0 + row * columns + column + v, total, left)


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
