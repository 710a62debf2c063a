"""What the benchmarks rest on: PyTorch's twin of a model computes what the model computes."""

import numpy as np
import pytest

from fastcnn.layers import (
    AveragePool2D,
    BatchNorm,
    Concatenate,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    MaxPool2D,
    ReLU,
    Residual,
    Sigmoid,
)
from fastcnn.sequential import Sequential

torch = pytest.importorskip("torch")


def residual_network() -> Sequential:
    """As ResNet-20: blocks with and without a projection, global pooling."""
    projected = Residual(
        [Conv2D(4, 6, 3, stride=2, padding="same", bias=False), BatchNorm(6)],
        shortcut=[Conv2D(4, 6, 1, stride=2, bias=False), BatchNorm(6)],
        activation=ReLU(),
    )
    plain = Residual([Conv2D(6, 6, 3, padding="same"), ReLU()])
    return Sequential(
        Conv2D(3, 4, 3, padding="same"), projected, plain, GlobalAveragePool2D(), Dense(6, 5)
    )


def dense_network() -> Sequential:
    """As DenseNet: units that add channels."""
    unit = Concatenate([BatchNorm(4), ReLU(), Conv2D(4, 3, 3, padding=1, bias=False)])
    return Sequential(
        Conv2D(3, 4, 3), unit, Concatenate([Conv2D(7, 2, 1)]), GlobalAveragePool2D(), Dense(9, 5)
    )


def padded_network() -> Sequential:
    """Every kind of padding, pooling and a dense layer without a bias."""
    return Sequential(
        Conv2D(3, 4, (3, 2), padding=(2, 0)), MaxPool2D(3, stride=2, padding="same"),
        Conv2D(4, 5, 4, stride=(1, 2), padding="same"), AveragePool2D(2, padding="same"),
        Sigmoid(), Flatten(), Dense(5 * 3 * 2, 5, bias=False),
    )  # fmt: skip


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("network", [residual_network, dense_network, padded_network])
def test_twin_gives_the_same_output(network, training):
    from bench.torch_twin import sequence_twin

    x = np.random.default_rng(0).normal(size=(4, 3, 9, 10)).astype(np.float32)
    model = network()
    twin = sequence_twin(model.layers, x.shape).train(training)
    theirs = twin(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(model.forward(x, training), theirs, atol=1e-5)
    assert len(list(twin.parameters())) == sum(len(layer.params) for layer in model.layers)


def test_pytorch_is_given_shifted_and_mirrored_images():
    from bench.torch_training import changed

    torch.manual_seed(0)
    images = torch.arange(1, 1000 * 3 * 5 * 7 + 1).reshape(1000, 3, 5, 7)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    found = set()
    for image, wide in zip(changed(images, 2), padded, strict=True):
        for row, column, mirrored in np.ndindex(5, 5, 2):
            window = wide[:, row : row + 5, column : column + 7]
            if torch.equal(image, window.flip(2) if mirrored else window):
                found.add((row, column, mirrored))
                break
        else:
            pytest.fail("an image is neither moved nor mirrored")
    assert len(found) == 5 * 5 * 2
