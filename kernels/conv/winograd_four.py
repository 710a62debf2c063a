"""Winograd's F(4x4, 3x3): a window of 6 x 6 pixels, 16 outputs for 46 products instead of 144.

Along a line, six pixels d become four outputs y of a filter g. That is a product of polynomials,
read backwards: one with three coefficients times one with four has six, and is known from its
values at six points (Toom and Cook). The usual points 0, 1, -1, 2, -2 and infinity need divisions
by 6 and 24, which are not exact. 0, 1, -1, i, -i and infinity do not, i being the square root of -1
(Meng and Brothers, "Efficient Winograd Convolution via Integer Arithmetic", 2019). What is at -i is
the conjugate of what is at i, which is left:

    point      B^T d                   G g                     A y
    0          d0 - d4                 g0                      y0
    1          d1 + d2 + d3 + d4       (g0 + g1 + g2) / 4      y0 + y1 + y2 + y3
    -1         d2 - d1 + d4 - d3       (g0 - g1 + g2) / 4      y0 - y1 + y2 - y3
    infinity   d5 - d1                 g2                      y3
    i          d4 - d2 + i (d1 - d3)   (g0 - g2 - i g1) / 2    y0 - y2 + i (y1 - y3)

In two dimensions that is 5 x 5 points. Where both are real there is one product: 16. Where one is i
the product is complex: 8. Where both are i, each brings a square root of -1 of its own, i down the
columns and j along the rows, and there are four numbers, r + r' j + s i + s' i j. They are told by
two complex ones, for j = i and for j = -i: 2 complex products more. Each of these 10 is done with
three real ones: of (a + b i)(c + d i) ac, bd and (a + b)(c + d).

So there are 16 + 30 planes: for each real point down the columns those of the four real ones along
the rows, then three of i; then three for each of the four real ones along the rows with i down the
columns; then three for j = i and for j = -i.

The transforms contain 1, 1/2 and 1/4: whole numbers stay exact. Rounding is that of `winograd_two`,
which has the same functions for smaller windows.
"""

from kernels import jit
from kernels.pool.image import store_largest
from kernels.simd import load, load_part, splat, store, store_part

PLANES = 46


# --- planes -------------------------------------------------------------------------------------


@jit.serial
def _store_complex(planes, at, plane, real, imaginary, of_gradient):
    """What a complex number brings into a complex product.

    of_gradient : of the outputs, which `_load_complex` made of three products: that, transposed
    """
    if of_gradient:
        store(planes, at, real - imaginary)
        store(planes, at + plane, splat(real, 0.0) - real - imaginary)
        store(planes, at + 2 * plane, imaginary)
    else:
        store(planes, at, real)
        store(planes, at + plane, imaginary)
        store(planes, at + 2 * plane, real + imaginary)


@jit.serial
def _store_row(planes, at, plane, values, of_gradient):
    """The seven planes of a row at a real point."""
    v0, v1, v2, v3, real, imaginary = values
    store(planes, at, v0)
    store(planes, at + plane, v1)
    store(planes, at + 2 * plane, v2)
    store(planes, at + 3 * plane, v3)
    _store_complex(planes, at + 4 * plane, plane, real, imaginary, of_gradient)


@jit.serial
def _store_rows_at_i(planes, at, plane, r, s, of_gradient):
    """The 18 planes of the real and the imaginary row at i."""
    _store_complex(planes, at, plane, r[0], s[0], of_gradient)
    _store_complex(planes, at + 3 * plane, plane, r[1], s[1], of_gradient)
    _store_complex(planes, at + 6 * plane, plane, r[2], s[2], of_gradient)
    _store_complex(planes, at + 9 * plane, plane, r[3], s[3], of_gradient)
    _store_complex(planes, at + 12 * plane, plane, r[4] - s[5], s[4] + r[5], of_gradient)  # j = i
    _store_complex(planes, at + 15 * plane, plane, r[4] + s[5], s[4] - r[5], of_gradient)  # j = -i


# --- windows and filters ------------------------------------------------------------------------


@jit.serial
def _window_line(d0, d1, d2, d3, d4, d5):
    """B^T times a line of pixels: at 0, 1, -1, infinity; real and imaginary part at i."""
    odd, even = d1 + d3, d2 + d4
    return d0 - d4, even + odd, even - odd, d5 - d1, d4 - d2, d1 - d3


@jit.serial
def _window_column(padded, at, row):
    """B^T times one column of a window."""
    return _window_line(
        load(padded, at), load(padded, at + row), load(padded, at + 2 * row),
        load(padded, at + 3 * row), load(padded, at + 4 * row), load(padded, at + 5 * row),
    )  # fmt: skip


@jit.inlined
def transform_window(padded, at, row, width, windows, to, plane):
    """B^T d B of one vector of channels: 36 pixels become 46 planes."""
    a, b = _window_column(padded, at, row), _window_column(padded, at + width, row)
    c, d = (
        _window_column(padded, at + 2 * width, row), _window_column(padded, at + 3 * width, row)
    )  # fmt: skip
    e, f = (
        _window_column(padded, at + 4 * width, row), _window_column(padded, at + 5 * width, row)
    )  # fmt: skip
    _store_row(windows, to, plane, _window_line(a[0], b[0], c[0], d[0], e[0], f[0]), False)
    _store_row(
        windows, to + 7 * plane, plane, _window_line(a[1], b[1], c[1], d[1], e[1], f[1]), False
    )
    _store_row(
        windows, to + 14 * plane, plane, _window_line(a[2], b[2], c[2], d[2], e[2], f[2]), False
    )
    _store_row(
        windows, to + 21 * plane, plane, _window_line(a[3], b[3], c[3], d[3], e[3], f[3]), False
    )
    _store_rows_at_i(
        windows, to + 28 * plane, plane, _window_line(a[4], b[4], c[4], d[4], e[4], f[4]),
        _window_line(a[5], b[5], c[5], d[5], e[5], f[5]), False,
    )  # fmt: skip


@jit.serial
def _filter_line(g0, g1, g2, half):
    """G times a line of taps; half of what half is at i, where the line lies across i itself."""
    quarter = splat(g0, 0.25)
    ends, middle = quarter * (g0 + g2), quarter * g1
    return g0, ends + middle, ends - middle, g2, half * (g0 - g2), splat(g0, 0.0) - half * g1


@jit.serial
def transform_filter(taps, corner, step, filters, at, plane):
    """G g G^T of one vector of filters, whose nine taps begin at corner and go on by step."""
    half, quarter = splat(taps, 0.5), splat(taps, 0.25)
    a = _filter_line(
        load(taps, corner), load(taps, corner + 3 * step), load(taps, corner + 6 * step), half
    )
    b = _filter_line(
        load(taps, corner + step), load(taps, corner + 4 * step), load(taps, corner + 7 * step),
        half,
    )  # fmt: skip
    c = _filter_line(
        load(taps, corner + 2 * step), load(taps, corner + 5 * step), load(taps, corner + 8 * step),
        half,
    )  # fmt: skip
    _store_row(filters, at, plane, _filter_line(a[0], b[0], c[0], half), False)
    _store_row(filters, at + 7 * plane, plane, _filter_line(a[1], b[1], c[1], half), False)
    _store_row(filters, at + 14 * plane, plane, _filter_line(a[2], b[2], c[2], half), False)
    _store_row(filters, at + 21 * plane, plane, _filter_line(a[3], b[3], c[3], half), False)
    # A quarter: four numbers come back as sums of two, of both j.
    _store_rows_at_i(
        filters, at + 28 * plane, plane, _filter_line(a[4], b[4], c[4], quarter),
        _filter_line(a[5], b[5], c[5], quarter), False,
    )  # fmt: skip


# --- outputs ------------------------------------------------------------------------------------


@jit.serial
def _load_complex(products, at, plane):
    """A complex product of a window and a conjugate filter."""
    k1, k2 = load(products, at), load(products, at + plane)
    return k1 - k2, load(products, at + 2 * plane) - k1 - k2


@jit.serial
def _output_line(m0, m1, m2, m3, real, imaginary):
    """A^T times a line of products."""
    odd, even = m1 - m2, m1 + m2
    return m0 + even + real, odd + imaginary, even - real, odd - imaginary + m3


@jit.serial
def _output_row(products, at, plane):
    """A row of the products at a real point times A."""
    real, imaginary = _load_complex(products, at + 4 * plane, plane)
    return _output_line(
        load(products, at), load(products, at + plane), load(products, at + 2 * plane),
        load(products, at + 3 * plane), real, imaginary,
    )  # fmt: skip


@jit.serial
def _output_rows_at_i(products, at, plane):
    """The real and the imaginary row of the products at i times A."""
    r0, s0 = _load_complex(products, at, plane)
    r1, s1 = _load_complex(products, at + 3 * plane, plane)
    r2, s2 = _load_complex(products, at + 6 * plane, plane)
    r3, s3 = _load_complex(products, at + 9 * plane, plane)
    real, imaginary = _load_complex(products, at + 12 * plane, plane)  # j = i
    real_, imaginary_ = _load_complex(products, at + 15 * plane, plane)  # j = -i
    return (
        _output_line(r0, r1, r2, r3, real + real_, imaginary - imaginary_),
        _output_line(s0, s1, s2, s3, imaginary + imaginary_, real_ - real),
    )


@jit.serial
def _output_column(m0, m1, m2, m3, real, imaginary, bias):
    """A^T times one column of what the rows became, + bias."""
    y0, y1, y2, y3 = _output_line(m0, m1, m2, m3, real, imaginary)
    return y0 + bias, y1 + bias, y2 + bias, y3 + bias


@jit.inlined
def _outputs(products, at, plane, bias):
    """Four columns of four outputs."""
    a, b = _output_row(products, at, plane), _output_row(products, at + 7 * plane, plane)
    c, d = (
        _output_row(products, at + 14 * plane, plane), _output_row(products, at + 21 * plane, plane)
    )  # fmt: skip
    e, f = _output_rows_at_i(products, at + 28 * plane, plane)
    return (
        _output_column(a[0], b[0], c[0], d[0], e[0], f[0], bias),
        _output_column(a[1], b[1], c[1], d[1], e[1], f[1], bias),
        _output_column(a[2], b[2], c[2], d[2], e[2], f[2], bias),
        _output_column(a[3], b[3], c[3], d[3], e[3], f[3], bias),
    )


@jit.serial
def _store_column(y, at, down, column, rows, rest):
    """As many of four outputs as there are rows."""
    store_part(y, at, column[0], rest)
    if rows > 1:
        store_part(y, at + down, column[1], rest)
    if rows > 2:
        store_part(y, at + 2 * down, column[2], rest)
    if rows > 3:
        store_part(y, at + 3 * down, column[3], rest)


@jit.inlined
def store_outputs(products, at, plane, bias, y, y_at, steps, inside, rest):
    """A^T M A + bias of one vector of filters, as far as it lies inside the image.

    steps : from a pixel of y to the one below it, and to its right
    inside : rows and columns of the image from y_at on
    """
    a, b, c, d = _outputs(products, at, plane, bias)
    down, right = steps
    rows, columns = inside
    _store_column(y, y_at, down, a, rows, rest)
    if columns > 1:
        _store_column(y, y_at + right, down, b, rows, rest)
    if columns > 2:
        _store_column(y, y_at + 2 * right, down, c, rows, rest)
    if columns > 3:
        _store_column(y, y_at + 3 * right, down, d, rows, rest)


@jit.inlined
def store_pooled(products, at, plane, bias, relu, y, index, y_at, steps, inside, rest):
    """The largest of each 2 x 2 outputs, and which it was; steps and inside are those of y."""
    a, b, c, d = _outputs(products, at, plane, bias)
    down, right = steps
    rows, columns = inside
    store_largest(a[0], b[0], a[1], b[1], relu, y, index, y_at, rest)
    if columns > 1:
        store_largest(c[0], d[0], c[1], d[1], relu, y, index, y_at + right, rest)
    if rows > 1:
        y_at += down
        store_largest(a[2], b[2], a[3], b[3], relu, y, index, y_at, rest)
        if columns > 1:
            store_largest(c[2], d[2], c[3], d[3], relu, y, index, y_at + right, rest)


# --- gradient by the filters --------------------------------------------------------------------


@jit.serial
def _gradient_line(y0, y1, y2, y3):
    """A times a line of dy."""
    even, odd = y0 + y2, y1 + y3
    return y0, even + odd, even - odd, y3, y0 - y2, y1 - y3


@jit.serial
def _gradient_column(dy, at, down, rows, rest):
    """A times one column of dy, as many rows of which lie inside the image."""
    return _gradient_line(
        load_part(dy, at, rest if rows > 0 else 0),
        load_part(dy, at + down, rest if rows > 1 else 0),
        load_part(dy, at + 2 * down, rest if rows > 2 else 0),
        load_part(dy, at + 3 * down, rest if rows > 3 else 0),
    )


@jit.inlined
def spread_gradient(dy, dy_at, steps, inside, rest, spread, at, plane):
    """A dY A^T of one vector of filters; what lies outside the image is 0.

    steps, inside : as in `store_outputs`, of dy
    """
    down, right = steps
    rows, columns = inside
    a = _gradient_column(dy, dy_at, down, rows if columns > 0 else 0, rest)
    b = _gradient_column(dy, dy_at + right, down, rows if columns > 1 else 0, rest)
    c = _gradient_column(dy, dy_at + 2 * right, down, rows if columns > 2 else 0, rest)
    d = _gradient_column(dy, dy_at + 3 * right, down, rows if columns > 3 else 0, rest)
    _store_row(spread, at, plane, _gradient_line(a[0], b[0], c[0], d[0]), True)
    _store_row(spread, at + 7 * plane, plane, _gradient_line(a[1], b[1], c[1], d[1]), True)
    _store_row(spread, at + 14 * plane, plane, _gradient_line(a[2], b[2], c[2], d[2]), True)
    _store_row(spread, at + 21 * plane, plane, _gradient_line(a[3], b[3], c[3], d[3]), True)
    _store_rows_at_i(
        spread, at + 28 * plane, plane, _gradient_line(a[4], b[4], c[4], d[4]),
        _gradient_line(a[5], b[5], c[5], d[5]), True,
    )  # fmt: skip


@jit.serial
def _sums_complex(sums, at, plane):
    """`_store_complex`, transposed."""
    both = load(sums, at + 2 * plane)
    return load(sums, at) + both, load(sums, at + plane) + both


@jit.serial
def _sums_line(s0, s1, s2, s3, real, imaginary, half):
    """G^T times a line of the sums; half as in `_filter_line`."""
    quarter = splat(s0, 0.25)
    both, real = quarter * (s1 + s2), half * real
    return s0 + both + real, quarter * (s1 - s2) - half * imaginary, both + s3 - real


@jit.serial
def _sums_row(sums, at, plane, half):
    """A row of the sums at a real point times G."""
    real, imaginary = _sums_complex(sums, at + 4 * plane, plane)
    return _sums_line(
        load(sums, at), load(sums, at + plane), load(sums, at + 2 * plane),
        load(sums, at + 3 * plane), real, imaginary, half,
    )  # fmt: skip


@jit.serial
def _sums_rows_at_i(sums, at, plane, quarter):
    """The real and the imaginary row of the sums at i times G."""
    r0, s0 = _sums_complex(sums, at, plane)
    r1, s1 = _sums_complex(sums, at + 3 * plane, plane)
    r2, s2 = _sums_complex(sums, at + 6 * plane, plane)
    r3, s3 = _sums_complex(sums, at + 9 * plane, plane)
    real, imaginary = _sums_complex(sums, at + 12 * plane, plane)  # j = i
    real_, imaginary_ = _sums_complex(sums, at + 15 * plane, plane)  # j = -i
    return (
        _sums_line(r0, r1, r2, r3, real + real_, imaginary - imaginary_, quarter),
        _sums_line(s0, s1, s2, s3, imaginary + imaginary_, real_ - real, quarter),
    )


@jit.serial
def transform_sums(sums, at, plane):
    """G^T S G of one vector of filters, in place: tap (p, q) becomes plane 3 p + q."""
    half, quarter = splat(sums, 0.5), splat(sums, 0.25)
    a, b = _sums_row(sums, at, plane, half), _sums_row(sums, at + 7 * plane, plane, half)
    c, d = (
        _sums_row(sums, at + 14 * plane, plane, half), _sums_row(sums, at + 21 * plane, plane, half)
    )  # fmt: skip
    e, f = _sums_rows_at_i(sums, at + 28 * plane, plane, quarter)
    for q, s in (
        (0, _sums_line(a[0], b[0], c[0], d[0], e[0], f[0], half)),
        (1, _sums_line(a[1], b[1], c[1], d[1], e[1], f[1], half)),
        (2, _sums_line(a[2], b[2], c[2], d[2], e[2], f[2], half)),
    ):
        store(sums, at + q * plane, s[0])
        store(sums, at + (3 + q) * plane, s[1])
        store(sums, at + (6 + q) * plane, s[2])
