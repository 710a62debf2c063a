"""NaN, infinities, subnormal and huge numbers through layers: what they become, and gradients.

The reference are formulas in long double, and pools in plain NumPy; where PyTorch is installed it
is asked as well. Signs of zeros are not compared.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import DTypeLike

from fastcnn import backend
from fastcnn.layers import (
    ELU,
    GELU,
    SELU,
    AdaptiveAveragePool2D,
    AdaptiveMaxPool2D,
    AveragePool2D,
    GlobalAveragePool2D,
    GlobalMaxPool2D,
    Hardsigmoid,
    Hardswish,
    Layer,
    LeakyReLU,
    LogSoftmax,
    MaxPool1D,
    MaxPool2D,
    Mish,
    Pad,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    Upsample,
)

try:
    import torch
except ImportError:
    torch = None

with_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f4", "f8"])
every_backend = pytest.mark.parametrize("name", ["numba", "im2col", "loop"])

NAN, INF = math.nan, math.inf
UNUSUAL = [NAN, INF, -INF, 0.0, -0.0, 1e-40, -1e-40, 1e30, -1e30, 3e38, -3e38]
# Besides, the places at which a formula bends, and far out, where one of its parts is all but 0.
_BENDS = [3, 2.9999998, 6, 0.5, 1, 1e-20, 5, 9, 20, 21, 88, 90, 103, 104, 700, 1e4, 1e10]
NUMBERS = np.array([*UNUSUAL, *_BENDS, *(-x for x in _BENDS)], np.float32)

exp, log1p = np.exp, np.log1p
erfc = np.vectorize(math.erfc, otypes=[np.longdouble])
Formula = Callable[[np.ndarray], np.ndarray]


def logistic(x: np.ndarray) -> np.ndarray:
    return exp(-np.logaddexp(0, -x))


def softplus(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0) + log1p(exp(-abs(x)))


def mish_slope(x: np.ndarray) -> np.ndarray:
    t = np.tanh(softplus(x))
    return t + np.where(x > 40, 0, x * (1 - t * t) * logistic(x))


def gelu_slope(x: np.ndarray) -> np.ndarray:
    return erfc(-x / math.sqrt(2)) / 2 + x * exp(-x * x / 2) / math.sqrt(2 * math.pi)


def gelu_tanh_slope(x: np.ndarray) -> np.ndarray:
    near = np.clip(x, -100, 100)
    u = math.sqrt(8 / math.pi) * (near + 0.044715 * near**3)
    inner = math.sqrt(8 / math.pi) * (1 + 3 * 0.044715 * near**2)
    return logistic(u) + near * logistic(u) * logistic(-u) * inner


def elu(alpha: float, scale: float = 1.0) -> tuple[Formula, Formula]:
    return (
        lambda x: scale * np.where(x > 0, x, alpha * np.expm1(x)),
        lambda x: scale * np.where(x > 0, 1, alpha * exp(x)),
    )


def bent(alpha: float) -> tuple[Formula, Formula]:
    return lambda x: np.where(x > 0, x, alpha * x), lambda x: np.where(x > 0, 1.0, alpha)


# Name -> the layer, its formula, the formula's derivative, and the layer's name and arguments in
# PyTorch.
ACTIVATIONS: dict[str, tuple[Layer, Formula, Formula, str, list[object]]] = {
    "ReLU": (ReLU(), lambda x: np.maximum(x, 0), lambda x: np.where(x <= 0, 0, 1), "ReLU", []),
    "ReLU6": (
        ReLU6(), lambda x: np.clip(x, 0, 6), lambda x: np.where((x > 0) & (x < 6), 1, 0),
        "ReLU6", [],
    ),
    "LeakyReLU": (LeakyReLU(0.01), *bent(0.01), "LeakyReLU", [0.01]),
    "LeakyReLU(0)": (LeakyReLU(0.0), *bent(0.0), "LeakyReLU", [0.0]),
    "PReLU": (PReLU(1, -0.5), *bent(-0.5), "PReLU", [1, -0.5]),
    "ELU": (ELU(1.5), *elu(1.5), "ELU", [1.5]),
    "SELU": (SELU(), *elu(1.6732632423543772, 1.0507009873554805), "SELU", []),
    "GELU": (GELU(), lambda x: x * erfc(-x / math.sqrt(2)) / 2, gelu_slope, "GELU", []),
    "GELU(tanh)": (
        GELU("tanh"), lambda x: x * logistic(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)),
        gelu_tanh_slope, "GELU", ["tanh"],
    ),
    "SiLU": (
        SiLU(), lambda x: x * logistic(x),
        lambda x: logistic(x) + x * logistic(x) * logistic(-x), "SiLU", [],
    ),
    "Mish": (Mish(), lambda x: x * np.tanh(softplus(x)), mish_slope, "Mish", []),
    "Softplus": (Softplus(), softplus, logistic, "Softplus", []),
    "Softplus(3)": (
        Softplus(3.0), lambda x: softplus(3 * x) / 3, lambda x: logistic(3 * x), "Softplus", [3.0],
    ),
    "Hardswish": (
        Hardswish(), lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where(x <= -3, 0, np.where(x >= 3, 1, x / 3 + 0.5)), "Hardswish", [],
    ),
    "Hardsigmoid": (
        Hardsigmoid(), lambda x: np.clip(x + 3, 0, 6) / 6,
        lambda x: np.where((x > -3) & (x < 3), 1 / np.longdouble(6), 0), "Hardsigmoid", [],
    ),
    "Sigmoid": (Sigmoid(), logistic, lambda x: logistic(x) * logistic(-x), "Sigmoid", []),
    "Tanh": (Tanh(), np.tanh, lambda x: 1 - np.tanh(x) ** 2, "Tanh", []),
}  # fmt: skip
every_activation = pytest.mark.parametrize("kind", ACTIVATIONS)


@pytest.fixture(autouse=True)
def _references_may_overflow():
    """So may the sums of the slow backends: what comes of it is what is tested."""
    with np.errstate(all="ignore"):
        yield


def assert_same(found: np.ndarray, expected: np.ndarray, atol: float = 0.0) -> None:
    """The same NaNs and infinities; numbers to rounding, where they are hardly above 0 aside."""
    rtol = 3e-5 if found.dtype == np.float32 else 1e-9
    atol = max(atol, 8 * float(np.finfo(found.dtype).tiny))
    np.testing.assert_allclose(found, expected.astype(found.dtype), rtol, atol)


def passes(layer: Layer, x: np.ndarray, dy: np.ndarray | None = None) -> list[np.ndarray]:
    """The layer's y, and dx for a dy of ones if none is given."""
    layer = layer.astype(x.dtype)
    y = np.array(layer.forward(x, training=True))
    return [y, np.array(layer.backward(np.ones_like(y) if dy is None else dy))]


@every_dtype
@every_activation
def test_activations(kind: str, dtype: DTypeLike):
    layer, formula, slope, *_ = ACTIVATIONS[kind]
    x = NUMBERS.astype(dtype)[None]
    y, dx = passes(layer, x)
    wide = x.astype(np.longdouble)
    assert_same(y, formula(wide))
    # From the result these two have, small differences of 1 cannot be told.
    by_result = 2e-7 if isinstance(layer, (Sigmoid, Tanh)) else 0.0
    assert_same(dx, slope(wide), by_result)


@with_torch
@every_activation
def test_activations_are_pytorchs(kind: str):
    """Wherever PyTorch has a number: its GELU and Mish give NaN for some slopes of 0 and 1."""
    layer, *_, name, arguments = ACTIVATIONS[kind]
    words = {"approximate": arguments.pop()} if arguments == ["tanh"] else {}
    x = NUMBERS.astype(np.float64)[None]
    twin = getattr(torch.nn, name)(*arguments, **words).double()
    given = torch.tensor(x, requires_grad=True)
    result = twin(given)
    result.sum().backward()
    theirs = result.detach().numpy(), given.grad.numpy()
    for ours, expected in zip(passes(layer, x), theirs, strict=True):
        asked = ~np.isnan(expected) | np.isnan(x)
        np.testing.assert_allclose(ours[asked], expected[asked], rtol=1e-6, atol=3e-8)


# --- rows ----------------------------------------------------------------------------------------

ROWS = np.array(
    [
        [1, NAN, 2, 0, -1], [INF, 1, 2, 3, 4], [-INF, 1, 2, 3, 4], [-INF] * 5, [3e38] * 5,
        [3e38, -3e38, 1e30, 0, 1e-40], [INF, INF, 0, 0, 0], [NAN, INF, -INF, 0, 1],
        [1e-40, -1e-40, 0, -0.0, 2],
    ],
    np.float32,
)  # fmt: skip


@every_dtype
@pytest.mark.parametrize("layer", [Softmax(), LogSoftmax()], ids=["softmax", "log"])
def test_rows_of_classes(layer: Layer, dtype: DTypeLike):
    dy = np.tile(np.array([1, 3, -2, 5, 4], dtype), (len(ROWS), 1))
    y, dx = passes(layer, ROWS.astype(dtype), dy)
    wide = ROWS.astype(np.longdouble)
    shifted = wide - wide.max(axis=1, keepdims=True)
    log = shifted - np.log(exp(shifted).sum(axis=1, keepdims=True))
    if isinstance(layer, LogSoftmax):
        assert_same(y, log)
        assert_same(dx, dy - exp(log) * dy.sum(axis=1, keepdims=True), 2e-6)
    else:
        share = exp(log)
        assert_same(y, share)
        assert_same(dx, share * (dy - (dy * share).sum(axis=1, keepdims=True)), 2e-6)


# --- windows -------------------------------------------------------------------------------------


def moving(size: int, window: int, stride: int, padding: int = 0, dilation: int = 1) -> list[range]:
    """Along one axis the places of each window that lie on the image."""
    starts = range(-padding, size + padding - (window - 1) * dilation, stride)
    reach = window * dilation
    return [range(s + -(s // dilation) * dilation if s < 0 else s, min(s + reach, size), dilation)
            for s in starts]  # fmt: skip


def adaptive(size: int, outputs: int) -> list[range]:
    return [range(i * size // outputs, -(-(i + 1) * size // outputs)) for i in range(outputs)]


H, W = 8, 7
# The layer, the rows and columns of its windows, and its name and arguments in PyTorch.
POOLS: dict[str, tuple[Layer, list[range], list[range], str, tuple[object, ...]]] = {
    "tiles": (MaxPool2D(2), moving(H, 2, 2), moving(W, 2, 2), "MaxPool2d", (2,)),
    "padded": (
        MaxPool2D(3, 2, 1), moving(H, 3, 2, 1), moving(W, 3, 2, 1), "MaxPool2d", (3, 2, 1),
    ),
    "dilated": (
        MaxPool2D((3, 2), 1, 0, dilation=2), moving(H, 3, 1, 0, 2), moving(W, 2, 1, 0, 2),
        "MaxPool2d", ((3, 2), 1, 0, 2),
    ),
    "row": (
        MaxPool2D((1, 3), (1, 2)), moving(H, 1, 1), moving(W, 3, 2), "MaxPool2d", ((1, 3), (1, 2)),
    ),
    "adaptive": (
        AdaptiveMaxPool2D((3, 5)), adaptive(H, 3), adaptive(W, 5), "AdaptiveMaxPool2d", ((3, 5),),
    ),
    "global": (GlobalMaxPool2D(), adaptive(H, 1), adaptive(W, 1), "AdaptiveMaxPool2d", (1,)),
    "mean of tiles": (AveragePool2D(2), moving(H, 2, 2), moving(W, 2, 2), "AvgPool2d", (2,)),
    "mean, padded": (
        AveragePool2D(3, 2, 1, count_include_pad=False), moving(H, 3, 2, 1), moving(W, 3, 2, 1),
        "AvgPool2d", (3, 2, 1, False, False),
    ),
    "mean, adaptive": (
        AdaptiveAveragePool2D(3), adaptive(H, 3), adaptive(W, 3), "AdaptiveAvgPool2d", (3,),
    ),
    "mean, global": (
        GlobalAveragePool2D(), adaptive(H, 1), adaptive(W, 1), "AdaptiveAvgPool2d", (1,),
    ),
}  # fmt: skip
every_pool = pytest.mark.parametrize("kind", POOLS)


def scattered(is_mean: bool, nans: int, channels: int, dtype: DTypeLike) -> np.ndarray:
    """Small whole numbers with unusual ones among them, and so many NaNs in each channel."""
    rng = np.random.default_rng(channels)
    x = rng.integers(-4, 5, (2, channels, H * W)).astype(dtype)
    # The order of a sum decides what becomes of huge numbers of both signs.
    chosen = [INF, -INF, -0.0, 1e-40, 1e30] if is_mean else UNUSUAL[1:]
    for row in x.reshape(-1, H * W):
        where = rng.permutation(H * W)
        row[where[:5]] = rng.choice(chosen, 5)
        row[where[5 : 5 + nans]] = NAN
    x[0, 0] = -INF  # a whole channel: the first is the largest
    return x.reshape(2, channels, H, W)


def pooled(
    x: np.ndarray, dy: np.ndarray, rows: list[range], columns: list[range], is_mean: bool
) -> list[np.ndarray]:
    """y and dx in plain NumPy; its argmax is the first NaN if there is any."""
    y, dx = np.empty(dy.shape), np.zeros(x.shape)
    for (i, of_rows), (j, of_columns) in itertools.product(enumerate(rows), enumerate(columns)):
        places = np.array(list(itertools.product(of_rows, of_columns)))
        window = x[:, :, places[:, 0], places[:, 1]]
        if is_mean:
            y[:, :, i, j] = window.mean(axis=2, dtype=np.longdouble)
            for row, column in places:
                dx[:, :, row, column] += dy[:, :, i, j] / len(places)
        else:
            y[:, :, i, j] = window.max(axis=2)
            for n, c in np.ndindex(window.shape[:2]):
                row, column = places[window[n, c].argmax()]
                dx[n, c, row, column] += dy[n, c, i, j]
    return [y, dx]


@every_dtype
@every_backend
@every_pool
def test_pools(kind: str, name: str, dtype: DTypeLike):
    layer, rows, columns, twin, _ = POOLS[kind]
    is_mean = twin.endswith("AvgPool2d")
    for channels in (1, 3, 17):
        x = scattered(is_mean, 3, channels, dtype)
        with backend(name):
            shape = layer.forward(x).shape
        dy = np.random.default_rng(1).integers(1, 9, shape).astype(dtype)
        with backend(name):
            found = passes(layer, x, dy)
        whole = dy.reshape(2, channels, len(rows), len(columns))
        for ours, expected in zip(found, pooled(x, whole, rows, columns, is_mean), strict=True):
            assert_same(ours, expected.reshape(ours.shape))


@with_torch
@every_pool
def test_pools_are_pytorchs(kind: str):
    """With one NaN in a window at most: of several PyTorch gives the gradient to the last one."""
    layer, _, _, twin, arguments = POOLS[kind]
    x = scattered(twin.endswith("AvgPool2d"), 1, 3, np.float64)
    given = torch.tensor(x, requires_grad=True)
    result = getattr(torch.nn, twin)(*arguments)(given)
    dy = np.random.default_rng(1).integers(1, 9, tuple(result.shape)).astype(np.float64)
    result.backward(torch.tensor(dy))
    y, dx = passes(layer, x, dy.reshape(layer.forward(x).shape))
    assert_same(y, result.detach().numpy().reshape(y.shape))
    assert_same(dx, given.grad.numpy())


@every_backend
def test_a_series(name: str):
    x = np.array([[[1, NAN, 2, INF, -INF, -INF, 3e38, 1e-40]]], np.float32)
    with backend(name):
        y, dx = passes(MaxPool1D(2), x)
    np.testing.assert_array_equal(y, np.float32([[[NAN, INF, -INF, 3e38]]]))
    np.testing.assert_array_equal(dx, [[[0, 1, 0, 1, 1, 0, 1, 0]]])


# --- images of another size ----------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize(
    ("layer", "reference"),
    [
        (Upsample(2), lambda x: x.repeat(2, axis=2).repeat(2, axis=3)),
        (Pad(2), lambda x: np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))),
        (Pad(2, "reflect"), lambda x: np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), "reflect")),
        (Pad(2, "replicate"), lambda x: np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)), "edge")),
    ],
    ids=["nearest", "zeros", "reflect", "replicate"],
)
def test_copies(layer: Layer, reference: Formula, dtype: DTypeLike):
    x = scattered(False, 3, 3, dtype)
    y, dx = passes(layer, x)
    np.testing.assert_array_equal(y, reference(x))
    assert np.isfinite(dx).all()


@every_dtype
@pytest.mark.parametrize("size", [(16, 14), (5, 20), (11, 4)])
@pytest.mark.parametrize("corners", [False, True])
def test_bilinear(corners: bool, size: tuple[int, int], dtype: DTypeLike):
    """What is no number reaches those pixels that it has a part in, and no others.

    PyTorch multiplies it by 0 for some others, and has NaN there.
    """
    layer = Upsample(size=size, mode="bilinear", align_corners=corners).astype(dtype)
    x = np.random.default_rng(0).integers(-4, 5, (1, 1, H, W)).astype(dtype)
    plain = layer.forward(x).copy()
    for row, column in np.ndindex(H, W):
        one = np.zeros_like(x)
        one[0, 0, row, column] = 1
        part = layer.forward(one).copy()
        for value in (NAN, INF, -INF):
            one[0, 0, row, column] = value
            np.testing.assert_array_equal(
                layer.forward(x + one),
                np.where(part > 0, value, plain),
            )
