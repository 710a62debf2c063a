"""`fastcnn.plain` against a script whose layers are written in NumPy, as S4's are."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fastcnn import plain

# --- the script's own layers: loops over places, float64 ------------------------------------------


def windows(shape: tuple[int, ...], size: int, stride: int) -> Iterator[tuple[int, int, Any]]:
    """(row, column, where in the input) of each place of the output."""
    for i in range((shape[2] - size) // stride + 1):
        for j in range((shape[3] - size) // stride + 1):
            top, left = i * stride, j * stride
            yield i, j, (..., slice(top, top + size), slice(left, left + size))


def image(found: dict[tuple[int, int], np.ndarray]) -> np.ndarray:
    """(N, C, H, W) from the (N, C) of each place."""
    rows, columns = (1 + max(place[axis] for place in found) for axis in (0, 1))
    y = np.array([[found[i, j] for j in range(columns)] for i in range(rows)])
    return y.transpose(2, 3, 0, 1)


class NumpyConv2d:
    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0):
        self.W = np.random.standard_normal((outputs, inputs, size, size))  # noqa: NPY002
        self.b = np.random.standard_normal(outputs)  # noqa: NPY002
        self.stride, self.padding = stride, padding

    def places(self) -> Iterator[tuple[int, int, Any]]:
        return windows(self.x.shape, self.W.shape[2], self.stride)

    def forward(self, x: np.ndarray) -> np.ndarray:
        pad = self.padding
        self.x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        found = {(i, j): np.tensordot(self.x[at], self.W, ([1, 2, 3], [1, 2, 3])) + self.b
                 for i, j, at in self.places()}  # fmt: skip
        return image(found)

    def backward(self, dy: np.ndarray, lr: float) -> np.ndarray:
        dx, dw = np.zeros_like(self.x), np.zeros_like(self.W)
        for i, j, at in self.places():
            dw += np.tensordot(dy[:, :, i, j], self.x[at], (0, 0))
            dx[at] += np.tensordot(dy[:, :, i, j], self.W, (1, 0))
        self.W -= lr * dw
        self.b -= lr * dy.sum((0, 2, 3))
        pad = self.padding
        return dx[:, :, pad : dx.shape[2] - pad, pad : dx.shape[3] - pad]


class NumpyPool:
    def __init__(self, size: int, stride: int | None = None, padding: int = 0):
        self.size, self.stride, self.padding = size, stride or size, padding

    def places(self) -> Iterator[tuple[int, int, Any]]:
        return windows(self.x.shape, self.size, self.stride)

    def forward(self, x: np.ndarray) -> np.ndarray:
        pad = self.padding
        self.x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=self.outside)
        found = {(i, j): self.reduce(self.x[at]) for i, j, at in self.places()}
        return image(found)

    def backward(self, dy: np.ndarray, lr: float) -> np.ndarray:
        dx = np.zeros(self.x.shape)
        for i, j, at in self.places():
            dx[at] += self.share(self.x[at]) * dy[:, :, i, j, None, None]
        pad = self.padding
        return dx[:, :, pad : dx.shape[2] - pad, pad : dx.shape[3] - pad]


class NumpyAvgPool2d(NumpyPool):
    outside = 0.0

    def reduce(self, window: np.ndarray) -> np.ndarray:
        return window.mean((2, 3))

    def share(self, window: np.ndarray) -> np.ndarray:
        return np.full(window.shape, 1 / window[0, 0].size)


class NumpyMaxPool2d(NumpyPool):
    outside = -np.inf

    def reduce(self, window: np.ndarray) -> np.ndarray:
        return window.max((2, 3))

    def share(self, window: np.ndarray) -> np.ndarray:
        return window == window.max((2, 3), keepdims=True)


class NumpyLinear:
    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        self.W = np.random.standard_normal((inputs, outputs))  # noqa: NPY002
        self.b = np.random.standard_normal(outputs) if bias else 0  # noqa: NPY002

    def forward(self, x: np.ndarray) -> np.ndarray:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy: np.ndarray, lr: float) -> np.ndarray:
        dx = dy @ self.W.T
        self.W -= lr * self.x.T @ dy
        if np.ndim(self.b):
            self.b -= lr * dy.sum(0)
        return dx


def elementwise(function: Any, derivative: Any) -> Any:
    class Activation:
        def forward(self, x: np.ndarray) -> np.ndarray:
            self.x = x
            return function(x)

        def backward(self, dy: np.ndarray, lr: float) -> np.ndarray:
            return dy * derivative(self.x)

    return Activation


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


class NumpyCrossEntropyLoss:
    def __call__(self, outputs: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        p = np.exp(outputs - outputs.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        onehot = np.eye(outputs.shape[1])[labels]
        return float(-np.log((p * onehot).sum(1)).mean()), p - onehot


OWN = SimpleNamespace(
    Conv2d=NumpyConv2d,
    MaxPool2d=NumpyMaxPool2d,
    AvgPool2d=NumpyAvgPool2d,
    Linear=NumpyLinear,
    ReLU=elementwise(lambda x: np.maximum(x, 0), lambda x: x > 0),
    LeakyReLU=elementwise(
        lambda x: np.where(x > 0, x, 0.01 * x), lambda x: np.where(x > 0, 1, 0.01)
    ),
    Sigmoid=elementwise(sigmoid, lambda x: sigmoid(x) * (1 - sigmoid(x))),
    Tanh=elementwise(np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    CrossEntropyLoss=NumpyCrossEntropyLoss,
)

# --- the script, for either -----------------------------------------------------------------------


class LeNet5:
    """As S4's main program has it; the tests have smaller images."""

    def __init__(
        self,
        nn: Any,
        pool: str = "AvgPool2d",
        activation: str = "Sigmoid",
        image_size: int = 16,
        **kind: Any,
    ):
        act, numbers = getattr(nn, activation), 16 * (image_size // 4 - 2) ** 2
        self.front = [
            nn.Conv2d(1, 6, 5, stride=1, padding=2, **kind), act(), getattr(nn, pool)(2),
            nn.Conv2d(6, 16, 5, **kind), act(), getattr(nn, pool)(2),
        ]  # fmt: skip
        self.back = [
            nn.Linear(numbers, 120, **kind), act(), nn.Linear(120, 84, **kind), act(),
            nn.Linear(84, 10, **kind),
        ]  # fmt: skip

    def forward(self, x: np.ndarray) -> np.ndarray:
        for layer in self.front:
            x = layer.forward(x)
        self.shape = x.shape
        x = x.reshape(x.shape[0], -1)
        for layer in self.back:
            x = layer.forward(x)
        return x

    def backward(self, dy: np.ndarray, lr: float) -> np.ndarray:
        for layer in reversed(self.back):
            dy = layer.backward(dy, lr)
        dy = dy.reshape(self.shape)
        for layer in reversed(self.front):
            dy = layer.backward(dy, lr)
        return dy

    @property
    def learning(self) -> list[Any]:
        return [layer for layer in self.front + self.back if hasattr(layer, "W")]


def main(
    model: LeNet5, criterion: Any, x: np.ndarray, y: np.ndarray, epochs: int, batch: int = 16
) -> list[float]:
    losses = []
    for _ in range(epochs):
        for start in range(0, len(x), batch):
            images, labels = x[start : start + batch], y[start : start + batch]
            loss, dy = criterion(model.forward(images), labels)
            model.backward(dy, 0.0015)
            losses.append(loss)
    return losses


RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (50, 1, 16, 16))
LABELS = RNG.integers(0, 10, 50)


@pytest.mark.parametrize("pool", ["AvgPool2d", "MaxPool2d"])
@pytest.mark.parametrize("activation", ["ReLU", "LeakyReLU", "Sigmoid", "Tanh"])
def test_the_script_computes_the_same_numbers(pool: str, activation: str) -> None:
    own, ours = LeNet5(OWN, pool, activation), LeNet5(plain, pool, activation, dtype=np.float64)
    for one, other in zip(own.learning, ours.learning, strict=True):
        one.W *= 0.1  # or ReLU's numbers grow out of all bounds
        assert one.W.shape == other.W.shape and one.b.shape == other.b.shape
        other.W, other.b = one.W, one.b
    x = PIXELS / 256
    theirs = main(own, OWN.CrossEntropyLoss(), x, LABELS, epochs=2)
    np.testing.assert_allclose(
        main(ours, plain.CrossEntropyLoss(), x, LABELS, 2), theirs, rtol=1e-8
    )
    assert len(theirs) == 8  # a last batch of 2 images is one of them
    for one, other in zip(own.learning, ours.learning, strict=True):
        np.testing.assert_allclose(other.W, one.W, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(other.b, one.b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.uint8])
def test_any_type_of_number_goes_in(kind: Any) -> None:
    """S4 keeps its images as float16 / 256."""
    x = (PIXELS / 256).astype(kind) if kind != np.uint8 else PIXELS.astype(kind)
    model = LeNet5(plain)
    y = model.forward(x)
    loss, dy = plain.CrossEntropyLoss()(y, LABELS)
    assert y.dtype == np.float32 and np.isfinite(loss)
    assert model.backward(dy.astype(np.float64), 0.001).shape == x.shape


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, None, 0), (3, 2, 1), (3, 1, 0)])
@pytest.mark.parametrize("pool", ["AvgPool2d", "MaxPool2d"])
def test_pools_with_stride_and_padding(pool: str, size: int, stride: Any, padding: int) -> None:
    x = RNG.normal(size=(3, 2, 9, 9))
    own, ours = (getattr(nn, pool)(size, stride, padding) for nn in (OWN, plain))
    y = own.forward(x)
    np.testing.assert_allclose(ours.forward(x), y, rtol=1e-12)
    dy = RNG.normal(size=y.shape)
    np.testing.assert_allclose(ours.backward(dy, 0.1), own.backward(dy, 0.1), atol=1e-12)


def test_the_start_is_normal_and_numpys_seed_decides() -> None:
    def drawn(seed: int) -> list[plain.Linear | plain.Conv2d]:
        np.random.seed(seed)  # noqa: NPY002
        return [plain.Linear(100, 50), plain.Conv2d(10, 40, 5)]

    for layer in drawn(1):
        assert abs(layer.W.std() - 1) < 0.05 and abs(layer.W.mean()) < 0.05
        assert layer.b is not None and 0.6 < layer.b.std() < 1.4
    for one, same, other in zip(drawn(1), drawn(1), drawn(2), strict=True):
        np.testing.assert_array_equal(one.W, same.W)
        assert (one.W != other.W).any()


def test_without_a_rate_nothing_changes() -> None:
    layer = plain.Linear(4, 3, bias=False)
    assert layer.b is None and repr(layer).startswith("Dense(4, 3, bias=False")
    before = layer.W.copy()
    layer(np.ones((2, 4)))
    layer.backward(np.ones((2, 3)))
    np.testing.assert_array_equal(layer.W, before)
    layer.W -= 1
    np.testing.assert_array_equal(layer.W, before - 1)


def test_the_example_of_the_page_runs() -> None:
    page = (Path(__file__).parents[1] / "docs" / "plain.md").read_text(encoding="utf-8")
    (example,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "np" in code)
    names: dict[str, Any] = {}
    exec(example, names)
    assert np.isfinite(names["loss"])
