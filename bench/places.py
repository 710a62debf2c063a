"""The convolutions and dense layers of a model where they stand: their work and their kernels."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fastcnn import backends
from fastcnn.layers import Concatenate, Conv2D, Dense, Layer, Residual
from kernels.workspace import Workspace

Shape = tuple[int, ...]

DIRECTIONS = ("forward", "input gradient", "weight gradient")


@dataclasses.dataclass(frozen=True)
class Place:
    """A convolution or dense layer where it stands in a model."""

    layer: Conv2D | Dense
    x_shape: Shape
    needs_input_gradient: bool

    def __str__(self) -> str:
        layer = self.layer
        if isinstance(layer, Dense):
            return f"dense {layer.in_features}->{layer.out_features}"
        text = f"{layer.kernel_size[0]}x{layer.kernel_size[1]} "
        text += f"{layer.in_channels}->{layer.out_channels}"
        if layer.stride != (1, 1):
            text += f" stride {layer.stride[0]}"
        return f"{text}, {self.x_shape[2]}x{self.x_shape[3]}"

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions that training needs."""
        return DIRECTIONS if self.needs_input_gradient else (DIRECTIONS[0], DIRECTIONS[2])

    @property
    def operations(self) -> int:
        """Multiplications and additions of the direct method, the same in every direction."""
        y_shape = self.layer.output_shape(self.x_shape)
        places = int(np.prod(y_shape)) // y_shape[1]
        return 2 * places * self.layer.params["weight"].size

    def bytes(self, direction: str) -> int:
        """Size of the arrays that must be read or written once."""
        parameters = sum(array.size for array in self.layer.params.values())
        if direction == "input gradient":
            parameters = self.layer.params["weight"].size
        y_size = int(np.prod(self.layer.output_shape(self.x_shape)))
        x_size = int(np.prod(self.x_shape))
        if direction != "input gradient":
            x_size = x_size * self._pixels_read() // int(np.prod(self.x_shape[2:]))
        return self.layer.dtype.itemsize * (x_size + y_size + parameters)

    def _pixels_read(self) -> int:
        """Pixels of an image that any window touches: a 1x1 filter with stride 2 skips most."""
        layer = self.layer
        if isinstance(layer, Dense):
            return 1
        _, start, dilation = layer.geometry(self.x_shape)
        pixels = 1
        for axis in (0, 1):
            windows = range(layer.output_shape(self.x_shape)[2 + axis])
            first = -start[axis]
            touched = {
                first + window * layer.stride[axis] + k * dilation[axis]
                for window in windows
                for k in range(layer.kernel_size[axis])
            }
            pixels *= len(touched & set(range(self.x_shape[2 + axis])))
        return pixels

    def kernel(self, direction: str) -> Callable[[], None]:
        """The kernel of one direction with its arguments."""
        kernels, workspace, rng = backends.current(), Workspace(), np.random.default_rng(0)

        def numbers(shape: Shape) -> np.ndarray:
            order = (shape[0], *shape[2:], shape[1])
            return rng.standard_normal(order, np.float32)

        layer = self.layer
        x, dy = numbers(self.x_shape), numbers(layer.output_shape(self.x_shape))
        weight = layer.params["weight"].copy()
        bias = layer.params["bias"].copy() if layer.bias else np.empty(0, np.float32)
        if isinstance(layer, Dense):
            return {
                "forward": lambda: kernels.dense_forward(x, weight, bias, dy, workspace),
                "input gradient": lambda: kernels.dense_backward_input(dy, weight, x, workspace),
                "weight gradient": lambda: kernels.dense_backward_weight(
                    x, dy, weight, bias, workspace
                ),
            }[direction]
        *window, dilation = layer.geometry(self.x_shape)
        return {
            "forward": lambda: kernels.conv_forward(
                x, weight, bias, *window, dy, workspace, dilation
            ),
            "input gradient": lambda: kernels.conv_backward_input(
                dy, weight, *window, x, workspace, dilation
            ),
            "weight gradient": lambda: kernels.conv_backward_weight(
                x, dy, *window, weight, bias, workspace, dilation
            ),
        }[direction]


def places(layers: Sequence[Layer], shape: Shape, needs_gradient: bool = False) -> Iterator[Place]:
    """All convolutions and dense layers, those inside containers included.

    needs_gradient : whether something before these layers is trained
    """
    for layer in layers:
        if isinstance(layer, (Concatenate, Residual)):
            for way in layer.rows().values():
                yield from places(way, shape, needs_gradient)
        elif isinstance(layer, (Conv2D, Dense)):
            yield Place(layer, shape, needs_gradient)
        needs_gradient = needs_gradient or bool(layer.params)
        shape = layer.output_shape(shape)
