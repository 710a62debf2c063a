"""Winograd's F(2x2, 3x3): a window of 4 x 4 pixels, four outputs for 16 products instead of 36.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), section 4.1; the letters
are those of `winograd_image`:

          | 1  0 -1  0 |          | 1    0    0  |
    B^T = | 0  1  1  0 |      G = | 1/2  1/2 1/2 |      A^T = | 1 1  1  0 |
          | 0 -1  1  0 |          | 1/2 -1/2 1/2 |            | 0 1 -1 -1 |
          | 0  1  0 -1 |          | 0    0    1  |

`winograd_four` has the same functions for larger windows.
"""

from kernels import jit
from kernels.pool.image import store_largest
from kernels.simd import load, load_part, splat, store, store_part

PLANES = 16


@jit.serial
def _window_column(padded, at, row):
    """B^T times one column of a window."""
    d0, d1 = load(padded, at), load(padded, at + row)
    d2, d3 = load(padded, at + 2 * row), load(padded, at + 3 * row)
    return d0 - d2, d1 + d2, d2 - d1, d1 - d3


@jit.serial
def _store_window_row(windows, at, plane, v0, v1, v2, v3):
    """One row of B^T d times B."""
    store(windows, at, v0 - v2)
    store(windows, at + plane, v1 + v2)
    store(windows, at + 2 * plane, v2 - v1)
    store(windows, at + 3 * plane, v1 - v3)


@jit.serial
def transform_window(padded, at, row, width, windows, to, plane):
    """B^T d B of one vector of channels: 16 pixels become 16 planes."""
    a0, a1, a2, a3 = _window_column(padded, at, row)
    b0, b1, b2, b3 = _window_column(padded, at + width, row)
    c0, c1, c2, c3 = _window_column(padded, at + 2 * width, row)
    d0, d1, d2, d3 = _window_column(padded, at + 3 * width, row)
    _store_window_row(windows, to, plane, a0, b0, c0, d0)
    _store_window_row(windows, to + 4 * plane, plane, a1, b1, c1, d1)
    _store_window_row(windows, to + 8 * plane, plane, a2, b2, c2, d2)
    _store_window_row(windows, to + 12 * plane, plane, a3, b3, c3, d3)


@jit.serial
def _filter_line(g0, g1, g2):
    """G times one column of a filter."""
    half = splat(g0, 0.5)
    return g0, half * (g0 + g1 + g2), half * (g0 - g1 + g2), g2


@jit.serial
def _store_filter_row(filters, at, plane, g0, g1, g2):
    """One row of G g times G^T."""
    u0, u1, u2, u3 = _filter_line(g0, g1, g2)
    store(filters, at, u0)
    store(filters, at + plane, u1)
    store(filters, at + 2 * plane, u2)
    store(filters, at + 3 * plane, u3)


@jit.serial
def transform_filter(taps, corner, step, filters, at, plane):
    """G g G^T of one vector of filters, whose nine taps begin at corner and go on by step."""
    a0, a1, a2, a3 = _filter_line(
        load(taps, corner), load(taps, corner + 3 * step), load(taps, corner + 6 * step)
    )
    b0, b1, b2, b3 = _filter_line(
        load(taps, corner + step), load(taps, corner + 4 * step), load(taps, corner + 7 * step)
    )
    c0, c1, c2, c3 = _filter_line(
        load(taps, corner + 2 * step), load(taps, corner + 5 * step), load(taps, corner + 8 * step)
    )
    _store_filter_row(filters, at, plane, a0, b0, c0)
    _store_filter_row(filters, at + 4 * plane, plane, a1, b1, c1)
    _store_filter_row(filters, at + 8 * plane, plane, a2, b2, c2)
    _store_filter_row(filters, at + 12 * plane, plane, a3, b3, c3)


@jit.serial
def _output_row(products, at, plane):
    """One row of the products times A."""
    m0, m1 = load(products, at), load(products, at + plane)
    m2, m3 = load(products, at + 2 * plane), load(products, at + 3 * plane)
    return m0 + m1 + m2, m1 - m2 - m3


@jit.serial
def _outputs(products, at, plane, bias):
    """The four outputs of a window: upper left, upper right, lower left, lower right."""
    a0, a1 = _output_row(products, at, plane)
    b0, b1 = _output_row(products, at + 4 * plane, plane)
    c0, c1 = _output_row(products, at + 8 * plane, plane)
    d0, d1 = _output_row(products, at + 12 * plane, plane)
    return a0 + b0 + c0 + bias, a1 + b1 + c1 + bias, b0 - c0 - d0 + bias, b1 - c1 - d1 + bias


@jit.serial
def store_four(v00, v01, v10, v11, y, y_at, steps, inside, rest):
    """Four outputs, as far as they lie inside the image; see `store_outputs`."""
    down, right = steps
    rows, columns = inside
    store_part(y, y_at, v00, rest)
    if columns > 1:
        store_part(y, y_at + right, v01, rest)
    if rows > 1:
        store_part(y, y_at + down, v10, rest)
        if columns > 1:
            store_part(y, y_at + down + right, v11, rest)


@jit.serial
def store_outputs(products, at, plane, bias, y, y_at, steps, inside, rest):
    """A^T M A + bias of one vector of filters, as far as it lies inside the image.

    steps : from a pixel of y to the one below it, and to its right
    inside : rows and columns of the image from y_at on
    """
    v00, v01, v10, v11 = _outputs(products, at, plane, bias)
    store_four(v00, v01, v10, v11, y, y_at, steps, inside, rest)


@jit.serial
def store_pooled(products, at, plane, bias, relu, y, index, y_at, rest):
    """The largest of the outputs, and which it was, to one pixel of y."""
    v00, v01, v10, v11 = _outputs(products, at, plane, bias)
    store_largest(v00, v01, v10, v11, relu, y, index, y_at, rest)


@jit.serial
def _store_gradient_row(spread, at, plane, v0, v1):
    """One row of A dY times A^T."""
    store(spread, at, v0)
    store(spread, at + plane, v0 + v1)
    store(spread, at + 2 * plane, v0 - v1)
    store(spread, at + 3 * plane, splat(v1, 0.0) - v1)


@jit.serial
def spread_gradient(dy, dy_at, steps, inside, rest, spread, at, plane):
    """A dY A^T of one vector of filters; what lies outside the image is 0.

    steps, inside : as in `store_outputs`, of dy
    """
    down, right = steps
    rows, columns = inside
    upper = rest if rows > 0 else 0
    lower = rest if rows > 1 else 0
    v00 = load_part(dy, dy_at, upper if columns > 0 else 0)
    v01 = load_part(dy, dy_at + right, upper if columns > 1 else 0)
    v10 = load_part(dy, dy_at + down, lower if columns > 0 else 0)
    v11 = load_part(dy, dy_at + down + right, lower if columns > 1 else 0)
    zero = splat(dy, 0.0)
    _store_gradient_row(spread, at, plane, v00, v01)
    _store_gradient_row(spread, at + 4 * plane, plane, v00 + v10, v01 + v11)
    _store_gradient_row(spread, at + 8 * plane, plane, v00 - v10, v01 - v11)
    _store_gradient_row(spread, at + 12 * plane, plane, zero - v10, zero - v11)


@jit.serial
def _gradient_line(s0, s1, s2, s3, half):
    """G^T times one column of the sums."""
    both = half * (s1 + s2)
    return s0 + both, half * (s1 - s2), both + s3


@jit.serial
def _sums_row(sums, at, plane, half):
    """One row of the sums times G."""
    s0, s1 = load(sums, at), load(sums, at + plane)
    return _gradient_line(s0, s1, load(sums, at + 2 * plane), load(sums, at + 3 * plane), half)


@jit.serial
def transform_sums(sums, sums0, plane):
    """G^T S G of one vector of filters, in place: tap (i, j) becomes plane 3 i + j."""
    half = splat(sums, 0.5)
    a0, a1, a2 = _sums_row(sums, sums0, plane, half)
    b0, b1, b2 = _sums_row(sums, sums0 + 4 * plane, plane, half)
    c0, c1, c2 = _sums_row(sums, sums0 + 8 * plane, plane, half)
    d0, d1, d2 = _sums_row(sums, sums0 + 12 * plane, plane, half)
    for j, s0, s1, s2, s3 in ((0, a0, b0, c0, d0), (1, a1, b1, c1, d1), (2, a2, b2, c2, d2)):
        g0, g1, g2 = _gradient_line(s0, s1, s2, s3, half)
        store(sums, sums0 + j * plane, g0)
        store(sums, sums0 + (3 + j) * plane, g1)
        store(sums, sums0 + (6 + j) * plane, g2)
