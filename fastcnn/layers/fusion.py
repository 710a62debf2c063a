"""How a row of layers is run: the same layers, in an order and in groups that read memory less.

`plan` looks once over a row of layers and returns what is run instead of it. The layers stay what
they are: nothing here can be seen by someone who reads or writes a layer.

- ReLU before max pooling runs after it. The largest value of a window, if positive, is the same
  before and after ReLU; if not, both orders give 0 and no gradient. Pooling leaves a quarter of
  the values to rectify.
- A convolution before 2 x 2 max pooling, and ReLU after that, are one step (`ConvMaxPool`): each
  image is pooled while it is in the cache, and the large image is never stored.
- A convolution, BatchNorm and 2 x 2 max pooling, and ReLU after that, are one step
  (`ConvNormMaxPool`): what is normalised goes straight into the pool, and the gradient of the
  convolution's output is never written out.
- A convolution of single pixels or channels, BatchNorm, and ReLU are one step (`ConvNormReLU`):
  going back, the gradient of the convolution's output is made image by image, too.
- A normalisation before ReLU is one step (`NormalizedReLU`), and so is one before an addition, with
  ReLU after that (`segments.NormalizedAdd`).
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeGuard

import numpy as np

from kernels.conv.forward import Pooled
from kernels.conv.forward import run_forward as run_convolution
from kernels.conv.gradient_source import POOLED, GradientSource
from kernels.conv.input import run_input_gradient
from kernels.conv.weight import run_weight_gradient

from .. import backends
from .activation import ReLU
from .base import Layer
from .conv import Conv2D
from .described import is_own
from .instance_norm import InstanceNorm
from .memory import NO_GRADIENT, Shape, memory_of, seen
from .norm import BatchNorm, GroupNorm, LayerNorm
from .pool import MaxPool2D

Norm = BatchNorm | GroupNorm  # and LayerNorm and InstanceNorm, which are GroupNorms


class Step(Protocol):
    """What is run: a layer, or a group of layers that looks like one."""

    needs_input_gradient: bool

    @property
    def learns(self) -> bool: ...

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray: ...

    def backward(self, dy: np.ndarray) -> np.ndarray: ...


def run_forward(layers: Sequence[Step], x: np.ndarray, training: bool) -> np.ndarray:
    """x through all layers."""
    for layer in layers:
        x = layer.forward(x, training)
    return x


def run_backward(
    layers: Sequence[Step], dy: np.ndarray, needs_input_gradient: bool = True
) -> np.ndarray:
    """dy back through all layers; dx, or an empty array where nobody needs it.

    Without the input's gradient, the way back ends at the first layer with parameters that are
    trained.
    """
    first = 0
    if not needs_input_gradient:
        first = next((i for i, layer in enumerate(layers) if layer.learns), len(layers))
    leaf = next(layers_of(layers), None)
    shared = leaf is not None and leaf.scratch.portion.processes > 1
    for i in range(len(layers) - 1, first - 1, -1):
        layers[i].needs_input_gradient = needs_input_gradient or i > first
        try:
            dy = layers[i].backward(dy)
        finally:
            layers[i].needs_input_gradient = True
        if not shared:
            continue
        for layer in layers_of(layers[i : i + 1]):
            if layer.params and layer.trainable:
                layer.scratch.portion.computed(layer.grads.values())
    return dy if needs_input_gradient else NO_GRADIENT


class Group:
    """Layers that run as one step of training.

    Otherwise, with other backends than numba, and where a BatchNorm among them is frozen, they run
    one after the other.
    """

    def __init__(self, *layers: Layer | None) -> None:
        self.layers = [layer for layer in layers if layer is not None]
        self.needs_input_gradient = True
        self._fused = False

    @property
    def learns(self) -> bool:
        return any(layer.learns for layer in self.layers)

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        if training:
            frozen = any(type(layer) is BatchNorm and not layer.trainable for layer in self.layers)
            self._fused = backends.current_name() == "numba" and not frozen
        if training and self._fused:
            return self.run(x)
        return run_forward(self.layers, x, training)

    def backward(self, dy: np.ndarray) -> np.ndarray:
        if self._fused:
            return self.run_back(dy)
        return run_backward(self.layers, dy, self.needs_input_gradient)

    def run(self, x: np.ndarray) -> np.ndarray:
        """y of all layers in one step."""
        raise NotImplementedError

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        """The gradient after `run`."""
        raise NotImplementedError


class ConvMaxPool(Group):
    """A convolution, 2 x 2 max pooling, and perhaps ReLU, as one step of training.

    The values are those of the layers, bit for bit, and so are the gradients, but for the input's
    where the convolution alone would compute it in another order.
    """

    def __init__(self, conv: Conv2D, pool: MaxPool2D, relu: ReLU | None) -> None:
        super().__init__(conv, pool, relu)
        self.conv, self.pool, self.relu = conv, pool, relu
        self._shapes: tuple[Shape, Shape] = ((), ())

    def run(self, x: np.ndarray) -> np.ndarray:
        conv, pool = self.conv, self.pool
        batch, channels, height, width = z = conv.check_input(x)
        if self._shapes[0] != z:
            self._shapes = z, pool.output_shape(z)
        image, z_shape = memory_of(x), (batch, height, width, channels)
        y = pool.workspace.array("y", (batch, *self._shapes[1][2:], channels), x.dtype)
        index = pool.workspace.array("index", y.shape, np.uint8)
        run_convolution(
            image, conv.params["weight"], conv.bias_or_none(conv.params), conv.geometry(x.shape),
            z_shape, y, Pooled(index, self.relu is not None), conv.scratch,
        )  # fmt: skip
        pool.remember(seen(y), image, z_shape, y, index)
        return seen(y)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        image, z_shape, y, index = self.pool.recall(dy)
        source = GradientSource(memory_of(dy), POOLED, self.relu is not None, y, index)
        return convolution_backward(self.conv, image, z_shape, source, self.needs_input_gradient)


def convolution_backward(
    conv: Conv2D,
    image: np.ndarray,
    z_shape: Shape,
    source: GradientSource,
    needs_input_gradient: bool,
) -> np.ndarray:
    """Backward through a convolution of ``image``, its output's gradient made on the way."""
    geometry = conv.geometry(seen(image).shape)
    if conv.trainable:
        run_weight_gradient(
            image, source, geometry, z_shape, conv.grads["weight"],
            conv.bias_or_none(conv.grads), conv.scratch,
        )  # fmt: skip
    if not needs_input_gradient:
        return NO_GRADIENT
    dx = conv.gradient(image.shape, image.dtype, source.dy)
    run_input_gradient(source, conv.params["weight"], geometry, z_shape, dx, conv.scratch)
    return seen(dx)


class ConvNormMaxPool(Group):
    """A convolution, BatchNorm, 2 x 2 max pooling, and perhaps ReLU, as one step of training.

    What is normalised goes straight into the pool, and the gradient of the convolution's output is
    made image by image where the convolution needs it. The values are those of the layers, bit for
    bit; the sums of BatchNorm's backward pass are taken over the maxima only, in another order.
    """

    def __init__(self, conv: Conv2D, norm: BatchNorm, pool: MaxPool2D, relu: ReLU | None) -> None:
        super().__init__(conv, norm, pool, relu)
        self.conv, self.norm, self.pool, self.relu = conv, norm, pool, relu

    def run(self, x: np.ndarray) -> np.ndarray:
        z = self.conv.forward(x, training=True)
        self.norm.check_input(z)
        batch, channels, height, width = self.pool.check_input(z)
        y = self.pool.workspace.array("y", (batch, height, width, channels), x.dtype)
        index = self.pool.workspace.array("index", y.shape, np.uint8)
        self.norm.normalise_and_pool(memory_of(z), self.relu is not None, y, index)
        self.pool.remember(seen(y), y, index)
        return seen(y)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        y, index = self.pool.recall(dy)
        relu = self.relu is not None
        source = self.norm.pooled_gradient_source(memory_of(dy), y, index, relu)
        assert source.x is not None
        (image,) = self.conv.remembered()
        return convolution_backward(
            self.conv, image, source.x.shape, source, self.needs_input_gradient
        )


class ConvNormReLU(Group):
    """A convolution as in `backward.suits`, BatchNorm, and ReLU, as one step of training.

    The values are those of the layers, bit for bit, and so are the gradients.
    """

    def __init__(self, conv: Conv2D, norm: BatchNorm, relu: ReLU) -> None:
        super().__init__(conv, norm, relu)
        self.conv, self.norm, self.relu = conv, norm, relu

    def run(self, x: np.ndarray) -> np.ndarray:
        z = self.conv.forward(x, training=True)
        self.norm.check_input(z)
        return self.norm.normalise(z, self.relu.workspace, relu=True)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        conv, norm = self.conv, self.norm
        if not (self.needs_input_gradient and conv.trainable and _is_light(conv)):
            return run_backward([conv], norm.spread(dy, relu=True), self.needs_input_gradient)
        (image,) = conv.remembered()
        return conv.backward_at_once(image, norm.normed_gradient(dy, relu=True))


class NormalizedReLU(Group):
    """A normalisation and ReLU as one step of training.

    The values are those of the two layers, bit for bit, and so are the gradients.
    """

    def __init__(self, norm: Norm, relu: ReLU) -> None:
        super().__init__(norm, relu)
        self.norm, self.relu = norm, relu

    def run(self, x: np.ndarray) -> np.ndarray:
        self.norm.check_input(x)
        return self.norm.normalise(x, self.relu.workspace, relu=True)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        return self.norm.spread(dy, relu=True)


class OwnLayer(Group):
    """A layer of somebody's own, of which is said by name if what it gives cannot be right.

    Else the next layer would refuse it, or the loss, and be taken to be at fault.
    """

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self.layer, self._shape = layer, ()
        self._says_shape = type(layer).output_shape is not Layer.output_shape

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        y = self.layer.forward(x, training)
        if not isinstance(y, np.ndarray) or y.shape[:1] != x.shape[:1]:
            raise ValueError(
                f"{self.layer.name}: its forward must give an array with a row for each of the "
                f"{len(x)} samples of x {x.shape}, got {_described(y)}"
            )
        if self._says_shape and (wanted := self.layer.output_shape(x.shape)) != y.shape:
            raise ValueError(
                f"{self.layer.name}: its output_shape says {wanted} for an x of shape {x.shape}, "
                f"but its forward gives shape {y.shape}"
            )
        if training:
            self._shape = x.shape
        return y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        dx = super().backward(dy)
        if self.needs_input_gradient and (
            not isinstance(dx, np.ndarray) or dx.shape != self._shape
        ):
            raise ValueError(
                f"{self.layer.name}: its backward must give the loss's gradient by x, an array of "
                f"shape {self._shape}, got {_described(dx)}"
            )
        return dx


def _described(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"shape {given.shape}"
    return "None" if given is None else f"a {type(given).__name__}"


def normalizes(step: Step | None) -> TypeGuard[Norm]:
    """Whether it is a normalisation that other layers can be put together with."""
    return type(step) in (BatchNorm, GroupNorm, LayerNorm, InstanceNorm)


def _is_light(layer: Layer | Step | None) -> TypeGuard[Conv2D]:
    """Whether it is a convolution with more to read and write than to compute."""
    return type(layer) is Conv2D and layer.is_light


def _halves(layer: Layer) -> TypeGuard[MaxPool2D]:
    """Whether it is 2 x 2 max pooling without padding."""
    return type(layer) is MaxPool2D and layer.arguments() == MaxPool2D(2).arguments()


def plan(layers: Sequence[Layer]) -> list[Step]:
    """What is run for a row of layers."""
    order = list(layers)
    for i in range(len(order) - 1):
        if type(order[i]) is ReLU and type(order[i + 1]) is MaxPool2D:
            order[i], order[i + 1] = order[i + 1], order[i]
    steps: list[Step] = []
    for layer in order:
        before, last = ([None, None, *steps])[-2:]
        if _halves(layer) and type(last) is Conv2D:
            steps[-1] = ConvMaxPool(last, layer, None)
        elif _halves(layer) and type(last) is BatchNorm and type(before) is Conv2D:
            steps[-2:] = [ConvNormMaxPool(before, last, layer, None)]
        elif type(layer) is ReLU and isinstance(last, ConvMaxPool) and last.relu is None:
            steps[-1] = ConvMaxPool(last.conv, last.pool, layer)
        elif type(layer) is ReLU and isinstance(last, ConvNormMaxPool) and last.relu is None:
            steps[-1] = ConvNormMaxPool(last.conv, last.norm, last.pool, layer)
        elif type(layer) is ReLU and type(last) is BatchNorm and _is_light(before):
            steps[-2:] = [ConvNormReLU(before, last, layer)]
        elif type(layer) is ReLU and normalizes(last):
            steps[-1] = NormalizedReLU(last, layer)
        else:
            steps.append(OwnLayer(layer) if is_own(layer) else layer)
    return steps


def layers_of(steps: Sequence[Step]) -> Iterator[Layer]:
    """The layers of a plan in the order in which they run."""
    for step in steps:
        if isinstance(step, Group):
            yield from step.layers
        else:
            assert isinstance(step, Layer)
            yield step
