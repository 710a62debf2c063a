"""PyTorch's own ONNX files, read here: the same outputs, and the same gradients of a training step.

    python -m tests.exchange.prove_onnx

The networks are written with torch.nn, so that nothing is needed but PyTorch; its newer exporter is
tried too where the package onnxscript is there. Exit code 1 if anything differs.
"""

import contextlib
import io
import itertools
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fastcnn import exchange
from fastcnn.losses import CrossEntropyLoss

OUTPUTS, GRADIENTS = 1e-4, 1e-3  # of the largest


def lenet() -> tuple[nn.Module, tuple[int, ...]]:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84),
        nn.Sigmoid(), nn.Linear(84, 10),
    ), (1, 28, 28)  # fmt: skip


def vgg() -> tuple[nn.Module, tuple[int, ...]]:
    rows: list[nn.Module] = []
    channels = 3
    for width in (16, 32, 48):
        for _ in range(2):
            rows += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        rows += [nn.MaxPool2d(2)]
    rows += [nn.Flatten(), nn.Linear(48 * 16, 64), nn.ReLU(), nn.Dropout(0), nn.Linear(64, 10)]
    return nn.Sequential(*rows), (3, 32, 32)


class Basic(nn.Module):
    """A block of ResNet-18."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
            nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Any) -> Any:
        return torch.relu(self.main(x) + self.shortcut(x))


class ResNet(nn.Module):
    """ResNet-18 with a quarter of its channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        widths = (16, 16, 32, 64, 128)
        blocks = []
        for before, width in itertools.pairwise(widths):
            blocks += [Basic(before, width, 1 if before == width else 2), Basic(width, width, 1)]
        self.blocks, self.pool = nn.Sequential(*blocks), nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Any) -> Any:
        return self.head(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class Inverted(nn.Module):
    """A block of MobileNetV2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        wide = 4 * inputs
        self.row = nn.Sequential(
            nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide),
            nn.ReLU6(), nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Any) -> Any:
        return x + self.row(x) if self.adds else self.row(x)


class MobileNet(nn.Module):
    """MobileNetV2, short."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
            Inverted(8, 8, 1), Inverted(8, 16, 2), Inverted(16, 16, 1), nn.Conv2d(16, 64, 1),
            nn.Hardswish(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(0), nn.Linear(64, 10))

    def forward(self, x: Any) -> Any:
        return self.head(self.row(x).mean([2, 3]))


class UNet(nn.Module):
    """A U-Net of two levels, whose pixels are classified by their mean."""

    def __init__(self) -> None:
        super().__init__()

        def pair(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.SiLU(),
                nn.Conv2d(outputs, outputs, 3, padding=1), nn.GroupNorm(2, outputs), nn.GELU(),
            )  # fmt: skip

        self.first, self.second, self.low = pair(3, 8), pair(8, 16), pair(16, 32)
        self.up1, self.mix1 = nn.ConvTranspose2d(32, 16, 2, 2), pair(32, 16)
        self.up2, self.mix2 = nn.Upsample(scale_factor=2, mode="bilinear"), pair(24, 8)
        self.last = nn.Conv2d(8, 10, 1)

    def forward(self, x: Any) -> Any:
        first = self.first(x)
        second = self.second(nn.functional.max_pool2d(first, 2))
        low = self.low(nn.functional.max_pool2d(second, 2))
        mixed = self.mix1(torch.cat([self.up1(low), second], 1))
        mixed = self.mix2(torch.cat([self.up2(mixed), first], 1))
        return self.last(mixed).mean((2, 3))


NETWORKS = {
    "LeNet": lenet,
    "VGG-small": vgg,
    "ResNet-18": lambda: (ResNet(), (3, 32, 32)),
    "MobileNetV2": lambda: (MobileNet(), (3, 32, 32)),
    "U-Net": lambda: (UNet(), (3, 16, 16)),
}


def made(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network in which no two arrays are alike."""
    torch.manual_seed(0)
    module, shape = NETWORKS[name]()
    with torch.no_grad():
        for key, array in module.state_dict().items():
            if array.dtype.is_floating_point and array.ndim < 2:
                low, high = (-0.2, 0.2) if key.endswith(("bias", "mean")) else (0.7, 1.3)
                array.uniform_(low, high)
    return module.eval(), shape


def exported(module: nn.Module, x: Any, path: Path, way: str) -> None:
    """Write the file: "plain", "unfolded" (BatchNorm stays) or "dynamo" (the newer exporter)."""
    given: dict[str, Any] = {"dynamo": False, "dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
    if way == "dynamo":
        given = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("n", min=1, max=64)},)}
        given |= {"external_data": False, "verbose": False}
    if way == "unfolded":
        given |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    given |= {"input_names": ["x"], "output_names": ["y"]}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x,), str(path), **given)


def differs(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a part of the largest number."""
    return float(abs(found - expected).max() / max(abs(expected).max(), 1e-12))


def outputs(module: nn.Module, shape: tuple[int, ...], path: Path, way: str) -> tuple[Any, float]:
    """The network that comes of the file, and how far its outputs are from PyTorch's."""
    x = np.random.default_rng(1).normal(size=(4, *shape)).astype(np.float32)
    exported(module, torch.from_numpy(x[:2]), path, way)
    model = exchange.load_onnx(path)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    return model, differs(model.forward(x), expected)


def gradients(module: nn.Module, shape: tuple[int, ...], model: Any) -> float:
    """How far the gradient of a parameter is from PyTorch's at most, both in training.

    PyTorch computes in double precision: a bias before a BatchNorm has the gradient 0, and that of
    single precision would be its rounding alone. Of those 0.001 is a millionth of the largest.
    """
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(8, *shape)).astype(np.float32), rng.integers(0, 10, 8)
    parameters: Any = dict(module.train().named_parameters())
    values = {key: each.detach().numpy().copy() for key, each in parameters.items()}
    given = torch.from_numpy(x).double()
    nn.functional.cross_entropy(module.double()(given), torch.from_numpy(labels)).backward()
    theirs = {key: each.grad.numpy() for key, each in parameters.items()}
    loss = CrossEntropyLoss()
    loss.forward(model.forward(x, training=True), labels)
    model.backward(loss.backward())
    largest = max(abs(gradient).max() for gradient in theirs.values())
    worst = 0.0
    for key, expected in theirs.items():
        size = abs(expected).max()
        off = abs(gradient_of(model, values[key]) - expected).max()
        worst = max(worst, off / size if size > 1e-9 * largest else 1e-3 * off / (1e-6 * largest))
    return float(worst)


def gradient_of(model: Any, values: np.ndarray) -> np.ndarray:
    """The gradient of the one parameter that has these values, a matrix the other way round."""
    found = []
    for layer in model.layers:
        for name, array in layer.params.items():
            if np.array_equal(array, values):
                found.append(layer.grads[name])
            elif array.ndim == 2 and np.array_equal(array.T, values):
                found.append(layer.grads[name].T)
    assert len(found) == 1, f"a parameter of shape {values.shape} is there {len(found)} times"
    return found[0]


def ways() -> list[str]:
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        return ["plain", "unfolded"]
    return ["plain", "unfolded", "dynamo"]


def main() -> int:
    """Print a line for each network; returns the exit code."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            for way in ways():
                module, shape = made(name)
                model, off = outputs(module, shape, Path(folder) / "model.onnx", way)
                line = f"{name:<12} {way:<9} {type(model).__name__:<11} outputs {off:.1e}"
                wrong += off > OUTPUTS
                if way == "unfolded":
                    worst = gradients(module, shape, model)
                    line += f", gradients {worst:.1e}"
                    wrong += worst > GRADIENTS
                print(line, flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
