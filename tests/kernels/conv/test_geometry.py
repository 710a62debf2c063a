"""Convolutions of random geometry on whole numbers: every backend, and PyTorch, to the last bit.

    python -m tests.kernels.conv.test_geometry 1000

proves so many cases of each layer, forward and all gradients; the suite a few of them, against
backend "loop" alone where there is no PyTorch.
"""

import importlib.util
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastcnn import backend, backends
from fastcnn.layers import Conv1D, Conv2D, ConvTranspose2D, Layer

Draw = Callable[[int, int], int]
Case = tuple[Layer, tuple[int, ...]]  # and the shape of x
HAS_TORCH = importlib.util.find_spec("torch") is not None


def channels(draw: Draw) -> tuple[int, int, int]:
    """In, out, groups: ordinary, grouped or depthwise, sometimes of several vectors."""
    kind, most = draw(0, 3), 40 if draw(0, 3) == 0 else 9
    if kind == 0:
        return draw(1, most), draw(1, most), 1
    if kind == 1:
        groups = draw(1, 2 * most)
        return groups, groups * draw(1, 3), groups
    groups = draw(2, 4)
    return groups * draw(1, most), groups * draw(1, most), groups


def conv_2d(draw: Draw) -> Case:
    """`Conv2D`, whose window may reach over the image."""
    inside, outside, groups = channels(draw)
    kernel, dilation = (draw(1, 4), draw(1, 4)), (draw(1, 3), draw(1, 3))
    ends = ((draw(0, 3), draw(0, 3)), (draw(0, 3), draw(0, 3)))
    padding = ["same", draw(0, 3), (draw(0, 3), draw(0, 3)), ends][draw(0, 3)]
    layer = Conv2D(
        inside, outside, kernel, (draw(1, 3), draw(1, 3)), padding, bool(draw(0, 1)),
        dilation=dilation, groups=groups,
    )  # fmt: skip
    least = [(kernel[axis] - 1) * dilation[axis] + 1 for axis in (0, 1)]
    size = [
        draw(1, 4) + (draw(0, least[axis]) if padding == "same" else least[axis]) for axis in (0, 1)
    ]
    return layer, (draw(1, 3), inside, *size)


def conv_2d_in_small_groups(draw: Draw) -> Case:
    """`Conv2D` of two, four or eight channels in a group, and as many filters."""
    group, kernel = 2 ** draw(1, 3), (draw(1, 5), draw(1, 5))
    count, dilation = group * draw(2, 40 // group), draw(1, 3)
    ends = ((draw(0, 3), draw(0, 3)), (draw(0, 3), draw(0, 3)))
    layer = Conv2D(
        count, count, kernel, (draw(1, 3), draw(1, 2)), ends, bool(draw(0, 1)),
        dilation=(dilation, 1), groups=count // group,
    )  # fmt: skip
    size = draw(0, 12) + (kernel[0] - 1) * dilation + 1, draw(0, 60) + kernel[1]
    return layer, (draw(1, 3), count, *size)


def conv_1d(draw: Draw) -> Case:
    """`Conv1D`."""
    inside, outside, groups = channels(draw)
    kernel, dilation = draw(1, 5), draw(1, 3)
    padding = ["same", draw(0, 3), (draw(0, 3), draw(0, 3))][draw(0, 2)]
    layer = Conv1D(
        inside, outside, kernel, draw(1, 3), padding, bool(draw(0, 1)),
        dilation=dilation, groups=groups,
    )  # fmt: skip
    return layer, (draw(1, 3), inside, draw(1, 9) + (kernel - 1) * dilation)


def conv_transpose_2d(draw: Draw) -> Case:
    """`ConvTranspose2D`, cut down to one pixel at most."""
    inside, outside, groups = channels(draw)
    kernel, stride = (draw(1, 4), draw(1, 4)), (draw(1, 3), draw(1, 3))
    dilation, size = (draw(1, 3), draw(1, 3)), (draw(1, 5), draw(1, 5))
    more = [draw(0, max(stride[axis], dilation[axis]) - 1) for axis in (0, 1)]
    ends = []
    for axis in (0, 1):
        left = (size[axis] - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + more[axis]
        first = draw(0, min(3, left))
        ends.append((first, draw(0, min(3, left - first))))
    layer = ConvTranspose2D(
        inside, outside, kernel, stride, (ends[0], ends[1]), (more[0], more[1]),
        bool(draw(0, 1)), dilation=dilation, groups=groups,
    )  # fmt: skip
    return layer, (draw(1, 3), inside, *size)


KINDS = {
    "Conv2D": conv_2d,
    "Conv2D in small groups": conv_2d_in_small_groups,
    "Conv1D": conv_1d,
    "ConvTranspose2D": conv_transpose_2d,
}


def around(layer: Any, shape: tuple[int, ...]) -> list[int]:
    """Zeros as `torch.nn.functional.pad` wants them: left, right, top, bottom."""
    ends = []
    for axis in range(len(shape) - 3, -1, -1):
        k = axis if len(shape) == 4 else 1  # a series is an image's row
        if isinstance(layer.padding, str):
            reach = (layer.kernel_size[k] - 1) * layer.dilation[k] + 1
            steps = -(-shape[2 + axis] // layer.stride[k]) - 1
            total = max(0, steps * layer.stride[k] + reach - shape[2 + axis])
            ends += [total // 2, total - total // 2]
        else:
            each = layer.padding[k]
            ends += [each, each] if isinstance(each, int) else each
    return ends


def by_torch(layer: Any, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
    """What PyTorch computes with the layer's parameters."""
    import torch
    import torch.nn.functional as F

    given = {name: torch.tensor(array, requires_grad=True) for name, array in layer.params.items()}
    source = torch.tensor(x, requires_grad=True)
    weight, bias = given["weight"], given.get("bias")
    if isinstance(layer, ConvTranspose2D):
        # PyTorch cuts off as much on both sides: so nothing there, and what has to go here.
        whole = F.conv_transpose2d(
            source,
            weight,
            bias,
            layer.stride,
            0,
            layer.output_padding,
            layer.groups,
            layer.dilation,
        )
        left, right, top, bottom = around(layer, x.shape)
        y = whole[:, :, top : whole.shape[2] - bottom, left : whole.shape[3] - right]
    else:
        padded = F.pad(source, around(layer, x.shape))
        if x.ndim == 3:
            window = (layer.stride[1], 0, layer.dilation[1], layer.groups)
            y = F.conv1d(padded, weight, bias, *window)
        else:
            y = F.conv2d(padded, weight, bias, layer.stride, 0, layer.dilation, layer.groups)
    y.backward(torch.tensor(dy))
    found = {"y": y, "dx": source.grad, **{name: each.grad for name, each in given.items()}}
    return {name: value.detach().numpy() for name, value in found.items()}


def by(name: str, layer: Layer, x: np.ndarray, dy: np.ndarray) -> dict[str, np.ndarray]:
    """What a backend computes."""
    with backend(name):
        y = layer.forward(x, training=True).copy()
        return {"y": y, "dx": layer.backward(dy).copy()} | {
            name: array.copy() for name, array in layer.grads.items()
        }


def check(kind: str, seed: int, torch: bool) -> None:
    """One case; the numbers are small and whole, so that sums are exact in any order."""
    rng = np.random.default_rng(seed)

    def draw(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    def whole(shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(-4, 5, shape).astype(np.float32)

    layer, shape = KINDS[kind](draw)
    for array in layer.params.values():
        array[...] = whole(array.shape)
    x, dy = whole(shape), whole(layer.output_shape(shape))
    expected = by_torch(layer, x, dy) if torch else by("loop", layer, x, dy)
    for name in backends.names():
        for part, array in by(name, layer, x, dy).items():
            at = f"case {seed}: {layer}, x {shape}, {name}, {part}"
            np.testing.assert_array_equal(array, expected[part], err_msg=at)


@pytest.mark.parametrize("kind", KINDS)
def test_all_backends_agree_to_the_last_bit(kind: str):
    for seed in range(40):
        check(kind, seed, HAS_TORCH)


def main() -> None:
    cases = int(sys.argv[1])
    for kind in KINDS:
        for seed in range(cases):
            check(kind, seed, torch=True)
        print(f"{kind}: {cases} cases, difference 0 to PyTorch, {', '.join(backends.names())}")


if __name__ == "__main__":
    main()
