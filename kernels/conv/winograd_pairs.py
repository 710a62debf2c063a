"""Winograd's F(2x2, 2x2): a window of 3 x 3 pixels, four outputs for 9 products instead of 16.

          |  1 -1  0 |          | 1 0 |
    B^T = |  0  1  0 |      G = | 1 1 |      A^T = | 1 1 0 |
          |  0 -1  1 |          | 0 1 |            | 0 1 1 |

The points are 0, 1 and infinity (see `winograd_four`), and nothing is divided. A is G, so that
gradients are spread as filters are, and sums gathered as products are. `winograd_two` has the same
functions for filters of 3 x 3.
"""

from kernels import jit
from kernels.conv.winograd_two import store_four
from kernels.pool.image import store_largest
from kernels.simd import load, load_part, store

PLANES = 9


@jit.serial
def _window_column(padded, at, row):
    """B^T times one column of a window."""
    d0, d1, d2 = load(padded, at), load(padded, at + row), load(padded, at + 2 * row)
    return d0 - d1, d1, d2 - d1


@jit.inlined
def transform_window(padded, at, row, width, windows, to, plane):
    """B^T d B of one vector of channels: 9 pixels become 9 planes."""
    a, b = _window_column(padded, at, row), _window_column(padded, at + width, row)
    c = _window_column(padded, at + 2 * width, row)
    store(windows, to, a[0] - b[0])
    store(windows, to + plane, b[0])
    store(windows, to + 2 * plane, c[0] - b[0])
    store(windows, to + 3 * plane, a[1] - b[1])
    store(windows, to + 4 * plane, b[1])
    store(windows, to + 5 * plane, c[1] - b[1])
    store(windows, to + 6 * plane, a[2] - b[2])
    store(windows, to + 7 * plane, b[2])
    store(windows, to + 8 * plane, c[2] - b[2])


@jit.inlined
def _spread(planes, at, plane, v00, v01, v10, v11):
    """G V G^T of four vectors, into nine planes."""
    left, right = v00 + v10, v01 + v11
    store(planes, at, v00)
    store(planes, at + plane, v00 + v01)
    store(planes, at + 2 * plane, v01)
    store(planes, at + 3 * plane, left)
    store(planes, at + 4 * plane, left + right)
    store(planes, at + 5 * plane, right)
    store(planes, at + 6 * plane, v10)
    store(planes, at + 7 * plane, v10 + v11)
    store(planes, at + 8 * plane, v11)


@jit.serial
def _gathered_row(planes, at, plane):
    """One row of the planes times A."""
    middle = load(planes, at + plane)
    return load(planes, at) + middle, middle + load(planes, at + 2 * plane)


@jit.inlined
def _gathered(planes, at, plane):
    """A^T M A of nine planes: upper left, upper right, lower left, lower right."""
    a, b = _gathered_row(planes, at, plane), _gathered_row(planes, at + 3 * plane, plane)
    c = _gathered_row(planes, at + 6 * plane, plane)
    return a[0] + b[0], a[1] + b[1], b[0] + c[0], b[1] + c[1]


@jit.serial
def transform_filter(taps, corner, step, filters, at, plane):
    """G g G^T of one vector of filters, whose four taps begin at corner and go on by step."""
    _spread(
        filters, at, plane, load(taps, corner), load(taps, corner + step),
        load(taps, corner + 2 * step), load(taps, corner + 3 * step),
    )  # fmt: skip


@jit.serial
def store_outputs(products, at, plane, bias, y, y_at, steps, inside, rest):
    """A^T M A + bias of one vector of filters; see `winograd_two.store_outputs`."""
    v00, v01, v10, v11 = _gathered(products, at, plane)
    store_four(v00 + bias, v01 + bias, v10 + bias, v11 + bias, y, y_at, steps, inside, rest)


@jit.serial
def store_pooled(products, at, plane, bias, relu, y, index, y_at, rest):
    """The largest of the outputs, and which it was, to one pixel of y."""
    v00, v01, v10, v11 = _gathered(products, at, plane)
    store_largest(v00 + bias, v01 + bias, v10 + bias, v11 + bias, relu, y, index, y_at, rest)


@jit.serial
def spread_gradient(dy, dy_at, steps, inside, rest, spread, at, plane):
    """A dY A^T of one vector of filters; what lies outside the image is 0."""
    down, right = steps
    rows, columns = inside
    upper = rest if rows > 0 else 0
    lower = rest if rows > 1 else 0
    _spread(
        spread, at, plane,
        load_part(dy, dy_at, upper if columns > 0 else 0),
        load_part(dy, dy_at + right, upper if columns > 1 else 0),
        load_part(dy, dy_at + down, lower if columns > 0 else 0),
        load_part(dy, dy_at + down + right, lower if columns > 1 else 0),
    )  # fmt: skip


@jit.serial
def transform_sums(sums, at, plane):
    """G^T S G of one vector of filters, in place: tap (i, j) becomes plane 2 i + j."""
    v00, v01, v10, v11 = _gathered(sums, at, plane)
    store(sums, at, v00)
    store(sums, at + plane, v01)
    store(sums, at + 2 * plane, v10)
    store(sums, at + 3 * plane, v11)
