"""The first networks of well-known tutorials, and some that are common, against PyTorch.

    python -m bench.tutorials --rounds 7 --threads 2

None of them is a named model, so nothing was made for them. Each is trained by a loop of one's own
(`forward`, `backward`, `step`), with its author's layers, batch and optimizer: PyTorch's "Training
a classifier" and its MNIST example, Keras's "Simple MNIST convnet", TensorFlow's "Convolutional
neural network" on CIFAR-10, and on images of 64 x 64 a VGG and a network that begins with 7 x 7
filters two pixels apart. The two libraries take turns, each in a process of its own
(`bench.sides`), PyTorch in the faster of its memory layouts. Prints a table. Needs the extra
`compare`: pip install '.[compare]' in the folder of the clone.
"""

import dataclasses
import statistics
import sys
from typing import Any

import tyro

from bench import report, sides
from kernels.cores import available_cores


@dataclasses.dataclass(frozen=True)
class Network:
    """What is trained, and how.

    layers : ("conv", channels in, out, kernel, stride, padding), ("pool", window, stride, padding),
        ("dense", features in, out), ("norm", channels), ("dropout", rate), ("relu",), ("flatten",),
        ("mean",), which is a global average pool
    """

    shape: tuple[int, int, int]
    batch: int
    optimizer: str
    layers: tuple[tuple[Any, ...], ...]


def _conv(*arguments: int) -> tuple[tuple[Any, ...], ...]:
    """A convolution with what usually follows."""
    return ("conv", *arguments), ("relu",)


_HALVE, _FLATTEN = (("pool", 2, 2, 0),), (("flatten",),)

NETWORKS = {
    "PyTorch, training a classifier": Network(
        (3, 32, 32), 4, "sgd",
        _conv(3, 6, 5, 1, 0) + _HALVE + _conv(6, 16, 5, 1, 0) + _HALVE + _FLATTEN
        + (("dense", 400, 120), ("relu",), ("dense", 120, 84), ("relu",), ("dense", 84, 10)),
    ),
    "PyTorch, MNIST example": Network(
        (1, 28, 28), 64, "adam",
        _conv(1, 32, 3, 1, 0) + _conv(32, 64, 3, 1, 0) + _HALVE + (("dropout", 0.25),) + _FLATTEN
        + (("dense", 9216, 128), ("relu",), ("dropout", 0.5), ("dense", 128, 10)),
    ),
    "Keras, simple MNIST convnet": Network(
        (1, 28, 28), 128, "adam",
        _conv(1, 32, 3, 1, 0) + _HALVE + _conv(32, 64, 3, 1, 0) + _HALVE + _FLATTEN
        + (("dropout", 0.5), ("dense", 1600, 10)),
    ),
    "TensorFlow, CIFAR-10": Network(
        (3, 32, 32), 32, "adam",
        _conv(3, 32, 3, 1, 0) + _HALVE + _conv(32, 64, 3, 1, 0) + _HALVE + _conv(64, 64, 3, 1, 0)
        + _FLATTEN + (("dense", 1024, 64), ("relu",), ("dense", 64, 10)),
    ),
    "VGG, 64x64": Network(
        (3, 64, 64), 32, "sgd",
        _conv(3, 32, 3, 1, 1) + _conv(32, 32, 3, 1, 1) + _HALVE
        + _conv(32, 64, 3, 1, 1) + _conv(64, 64, 3, 1, 1) + _HALVE
        + _conv(64, 128, 3, 1, 1) + _conv(128, 128, 3, 1, 1) + _HALVE + _FLATTEN
        + (("dense", 8192, 128), ("relu",), ("dense", 128, 100)),
    ),
    "7x7 and 5x5 filters, 64x64": Network(
        (3, 64, 64), 64, "sgd",
        (
            ("conv", 3, 32, 7, 2, 3), ("norm", 32), ("relu",), ("pool", 3, 2, 1),
            ("conv", 32, 64, 5, 1, 2), ("norm", 64), ("relu",), ("pool", 2, 2, 0),
            ("conv", 64, 128, 3, 2, 1), ("norm", 128), ("relu",), ("mean",), ("dense", 128, 100),
        ),
    ),
}  # fmt: skip


@dataclasses.dataclass
class Options:
    """Compare training steps of networks that nothing was made for."""

    only: str = ""
    """Networks whose name holds this; all by default."""
    rounds: int = 7
    """Turns that each library takes."""
    seconds: float = 0.4
    """Length of a turn."""
    threads: int = available_cores()
    """Threads of each library."""


# --- one side, in its own process -----------------------------------------------------------------


def fastcnn_step(network: Network, threads: int) -> sides.Step:
    """A step of a loop of one's own, with fastcnn."""
    from fastcnn import Sequential, layers, optim
    from fastcnn.losses import CrossEntropyLoss
    from kernels import jit

    jit.set_threads(threads)
    kinds = {
        "conv": lambda c, o, k, s, p: layers.Conv2D(c, o, k, stride=s, padding=p),
        "pool": lambda k, s, p: layers.MaxPool2D(k, stride=s, padding=p),
        "dense": layers.Dense,
        "norm": layers.BatchNorm,
        "dropout": layers.Dropout,
        "relu": layers.ReLU,
        "flatten": layers.Flatten,
        "mean": layers.GlobalAveragePool2D,
    }
    made = [kinds[kind](*arguments) for kind, *arguments in network.layers]
    model = Sequential(*made, input_shape=network.shape)
    momentum = {"momentum": 0.9} if network.optimizer == "sgd" else {}
    optimizer = optim.from_name(network.optimizer, lr=1e-4, **momentum)
    loss = CrossEntropyLoss()
    x, y = sides.batch_for(network.shape, network.batch)

    def step(images: int = network.batch) -> float:
        value = loss.forward(model.forward(x, training=True), y)
        model.backward(loss.backward(), input_gradient=False)
        optimizer.step(model)
        return value

    return step


def torch_step(network: Network, threads: int) -> sides.Step:
    """The same step with PyTorch, in the faster of its memory layouts."""
    import torch  # type: ignore[import-not-found]
    from torch import nn  # type: ignore[import-not-found]

    torch.set_num_threads(threads)
    kinds = {
        "conv": nn.Conv2d,
        "pool": nn.MaxPool2d,
        "dense": nn.Linear,
        "norm": nn.BatchNorm2d,
        "dropout": nn.Dropout,
        "relu": nn.ReLU,
        "flatten": nn.Flatten,
        "mean": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    }
    images, targets = sides.batch_for(network.shape, network.batch)
    labels = torch.from_numpy(targets)

    def prepare(layout: Any) -> sides.Step:
        made = [kinds[kind](*arguments) for kind, *arguments in network.layers]
        model: Any = nn.Sequential(*made)
        model.to(memory_format=layout)
        x = torch.from_numpy(images).contiguous(memory_format=layout)
        if network.optimizer == "adam":
            optimizer: Any = torch.optim.Adam(model.parameters(), lr=1e-4)
        else:
            optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
        loss = nn.CrossEntropyLoss()

        def step(images: int = network.batch) -> float:
            optimizer.zero_grad()
            value = loss(model(x), labels)
            value.backward()
            optimizer.step()
            return value.item()

        return step

    steps = [prepare(torch.contiguous_format), prepare(torch.channels_last)]
    return sides.fastest(steps, network.batch, 0.7)


def main() -> None:
    options = tyro.cli(Options, description=__doc__)
    sides.need_torch()
    report.header("network", "batch", "fastcnn images/s", "PyTorch images/s", "ratio (range)")
    medians = []
    for name, network in NETWORKS.items():
        if options.only not in name:
            continue
        ours, theirs = sides.compare(name, network.batch, options, module="bench.tutorials")
        ratios = report.ratios(ours, theirs)
        medians.append(ratios.median)
        report.row(
            name, str(network.batch), f"{statistics.median(ours):,.0f}",
            f"{statistics.median(theirs):,.0f}", f"{ratios:.2f}",
        )  # fmt: skip
    if len(medians) > 1:
        print(f"\ngeometric mean of the ratios {statistics.geometric_mean(medians):.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] in ("fastcnn", "torch"):
        side = fastcnn_step if sys.argv[1] == "fastcnn" else torch_step
        network = NETWORKS[sys.argv[2]]
        sides.serve(side(network, int(sys.argv[4])), network.batch)
    else:
        main()
