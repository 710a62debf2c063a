"""The layers against PyTorch's: zero difference on whole numbers (skipped where it is absent)."""

import numpy as np
import pytest

from fastcnn import backend, models
from fastcnn.layers import AveragePool2D, BatchNorm, Conv2D, Dense, GroupNorm, LayerNorm, MaxPool2D

torch = pytest.importorskip("torch")
BACKENDS = ("im2col", "numba")


def whole(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Small whole numbers: their sums of products are exact in float32."""
    return rng.integers(-4, 5, shape).astype(np.float32)


def both(layer, twin, x, dy_of):
    """Outputs and gradients of a layer and of its PyTorch twin."""
    y = layer.forward(x, training=True)
    dy = dy_of(y.shape)
    ours = {"y": y.copy(), "dx": np.array(layer.backward(dy)), **layer.grads}
    x_twin = torch.tensor(x, requires_grad=True)
    y_twin = twin(x_twin)
    y_twin.backward(torch.tensor(dy))
    theirs = {"y": y_twin.detach().numpy(), "dx": x_twin.grad.numpy()}
    theirs |= {name: value.grad.numpy() for name, value in twin.named_parameters()}
    return ours, theirs


def assert_equal(ours, theirs):
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("seed", range(30))
def test_convolution(seed, name):
    rng = np.random.default_rng(seed)
    channels, filters = map(int, rng.integers(1, 34, 2))
    kernel, stride = tuple(map(int, rng.integers(1, 8, 2))), tuple(map(int, rng.integers(1, 4, 2)))
    padding = tuple(map(int, rng.integers(0, 4, 2)))
    size = [int(rng.integers(max(1, k - 2 * p), 20)) for k, p in zip(kernel, padding, strict=True)]
    layer = Conv2D(channels, filters, kernel, stride, padding)
    twin = torch.nn.Conv2d(channels, filters, kernel, stride, padding)
    for part in ("weight", "bias"):
        layer.params[part] = whole(rng, *layer.params[part].shape)
        getattr(twin, part).data[:] = torch.tensor(layer.params[part])
    x = whole(rng, int(rng.integers(1, 4)), channels, *size)
    with backend(name):
        assert_equal(*both(layer, twin, x, lambda shape: whole(rng, *shape)))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("seed", range(10))
def test_dense(seed, name):
    rng = np.random.default_rng(seed)
    batch, inputs, outputs = map(int, rng.integers(1, 70, 3))
    layer, twin = Dense(inputs, outputs), torch.nn.Linear(inputs, outputs)
    for part in ("weight", "bias"):
        layer.params[part] = whole(rng, *layer.params[part].shape)
        getattr(twin, part).data[:] = torch.tensor(layer.params[part].T)
    with backend(name):
        ours, theirs = both(
            layer, twin, whole(rng, batch, inputs), lambda shape: whole(rng, *shape)
        )
    theirs["weight"] = theirs["weight"].T
    assert_equal(ours, theirs)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("seed", range(15))
def test_pooling(seed, kind, name):
    rng = np.random.default_rng(seed)
    window = tuple(map(int, rng.integers(1, 5, 2)))
    stride = tuple(map(int, rng.integers(1, 4, 2)))
    padding = tuple(int(rng.integers(0, w // 2 + 1)) for w in window)
    x = whole(rng, 2, int(rng.integers(1, 34)), *map(int, rng.integers(4, 14, 2)))
    if kind == "max":  # many ties: the gradient belongs to the first maximum
        layer, twin = (
            MaxPool2D(window, stride, padding),
            torch.nn.MaxPool2d(window, stride, padding),
        )
    else:
        counted = bool(seed % 2)
        layer = AveragePool2D(window, stride, padding, count_include_pad=counted)
        twin = torch.nn.AvgPool2d(window, stride, padding, count_include_pad=counted)
        x *= 2520  # every window's mean is a whole number
    factor = 2520 if kind == "average" else 1
    with backend(name):
        assert_equal(*both(layer, twin, x, lambda shape: factor * whole(rng, *shape)))


@pytest.mark.parametrize("shape", [(33, 7), (4, 5, 6, 7), (16, 33, 9, 4)])
def test_batch_norm(shape):
    rng = np.random.default_rng(0)
    layer = BatchNorm(shape[1])
    twin = (torch.nn.BatchNorm2d if len(shape) == 4 else torch.nn.BatchNorm1d)(shape[1])
    x = rng.normal(3, 2, shape).astype(np.float32)
    ours, theirs = both(layer, twin, x, lambda shape: rng.normal(size=shape).astype(np.float32))
    theirs["gamma"], theirs["beta"] = theirs.pop("weight"), theirs.pop("bias")
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], atol=2e-5, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(
        layer.state["running_mean"], twin.running_mean.numpy(), atol=2e-5, rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(33, 12), (4, 6, 6, 7), (16, 36, 9, 4), (3, 12, 1, 1)])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm(groups, shape):
    rng = np.random.default_rng(0)
    channels = shape[1]
    layer = GroupNorm(groups, channels) if groups > 1 else LayerNorm(channels)
    twin = torch.nn.GroupNorm(groups, channels)
    for name, values in zip(("gamma", "beta"), rng.normal(size=(2, channels)), strict=True):
        layer.params[name] = values
    twin.weight.data[:] = torch.tensor(np.array(layer.params["gamma"]))
    twin.bias.data[:] = torch.tensor(np.array(layer.params["beta"]))
    layer, twin = layer.astype(np.float64), twin.double()
    x = rng.normal(3, 2, shape)
    ours, theirs = both(layer, twin, x, lambda shape: rng.normal(size=shape))
    theirs["gamma"], theirs["beta"] = theirs.pop("weight"), theirs.pop("bias")
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], atol=1e-11, rtol=1e-11, err_msg=name)


class Block(torch.nn.Module):
    """A residual block of ResNet-20 as PyTorch's users write it."""

    def __init__(self, channels, filters, stride):
        super().__init__()
        nn = torch.nn
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.shortcut = nn.Sequential()
        if stride > 1:
            projection = nn.Conv2d(channels, filters, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(filters))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def resnet20_twin():
    nn = torch.nn
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for channels, filters, stride in [(16, 16, 1), (16, 32, 2), (32, 64, 2)]:
        layers += [Block(channels, filters, stride), Block(filters, filters, 1)]
        layers += [Block(filters, filters, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def in_order(model, kind):
    """Parameters or gradients of our model, shaped as those of the twin."""
    values = [v for layer in model.layers for v in getattr(layer, kind).items()]
    is_dense = [name == "weight" and value.ndim == 2 for name, value in values]
    return [value.T if dense else value for (_, value), dense in zip(values, is_dense, strict=True)]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_resnet20(dtype, name):
    rng = np.random.default_rng(0)
    model, twin = models.build("resnet20").astype(dtype), resnet20_twin().double()
    for ours, theirs in zip(in_order(model, "params"), twin.parameters(), strict=True):
        if ours.ndim == 1:  # gammas of 1 and betas of 0 would hide much
            ours[:] = rng.uniform(0.5, 1.5, ours.shape)
        theirs.data[:] = torch.tensor(np.array(ours, np.float64))
    x = rng.normal(size=(8, 3, 32, 32)).astype(np.float32)
    dy = rng.normal(size=(8, 10)).astype(np.float32)
    x_twin = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y_twin = twin(x_twin)
    y_twin.backward(torch.tensor(dy, dtype=torch.float64))
    with backend(name):
        y = model.forward(x.astype(dtype), training=True)
        dx = model.backward(dy.astype(dtype))
    ours = [y, dx, *in_order(model, "grads")]
    theirs = [y_twin.detach(), x_twin.grad, *(value.grad for value in twin.parameters())]
    # In float32, one ReLU in a million stands so near 0 that rounding decides on its gradient.
    bound = 0.05 if dtype == "float32" else 1e-11
    for place, (value, expected) in enumerate(zip(ours, theirs, strict=True)):
        difference = np.linalg.norm(value - expected.numpy())
        assert difference < bound * np.linalg.norm(expected.numpy()), place
