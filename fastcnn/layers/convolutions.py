"""Convolutions that run with what follows them as one step of training (see `fusion`)."""

import numpy as np

from kernels.conv.forward import Pooled
from kernels.conv.forward import run_forward as run_convolution
from kernels.conv.gradient_source import POOLED, GradientSource
from kernels.conv.normed import NormedInput, sums_before

from .activation import ReLU
from .conv import Conv2D
from .groups import Group
from .memory import Shape, memory_of, seen
from .norm import BatchNorm
from .pool import MaxPool2D, halves


class ConvMaxPool(Group):
    """A convolution, 2 x 2 max pooling, and perhaps ReLU, as one step of training.

    The values are those of the layers, bit for bit, and so are the gradients, but for the input's
    where the convolution alone would compute it in another order.
    """

    def __init__(self, conv: Conv2D, pool: MaxPool2D, relu: ReLU | None) -> None:
        super().__init__(conv, pool, relu)
        self.conv, self.pool, self.relu = conv, pool, relu
        self._shapes: tuple[Shape, Shape] = ((), ())

    @property
    def fuses(self) -> bool:
        return halves(self.pool) and super().fuses

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
            z_shape, y, Pooled(index, self.relu is not None), conv.scratch, conv.nothing_summed(),
        )  # fmt: skip
        pool.remember(seen(y), image, z_shape, y, index)
        return seen(y)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        image, z_shape, y, index = self.pool.recall(dy)
        relu, beside_norm = self.relu is not None, self.conv.beside_norm
        source = GradientSource(memory_of(dy), POOLED, relu, y, index, beside_norm=beside_norm)
        return self.conv.backward_from(image, source, z_shape, self.needs_input_gradient)


class ConvNormMaxPool(Group):
    """A convolution, BatchNorm, 2 x 2 max pooling, and perhaps ReLU, as one step of training.

    What is normalised goes straight into the pool, and the gradient of the convolution's output is
    made image by image where the convolution needs it. The values are those of the layers, bit for
    bit; the sums of BatchNorm's backward pass are taken over the maxima only, in another order.
    """

    def __init__(self, conv: Conv2D, norm: BatchNorm, pool: MaxPool2D, relu: ReLU | None) -> None:
        super().__init__(conv, norm, pool, relu)
        self.conv, self.norm, self.pool, self.relu = conv, norm, pool, relu

    @property
    def fuses(self) -> bool:
        return halves(self.pool) and super().fuses

    def run(self, x: np.ndarray) -> np.ndarray:
        self.conv.check_input(x)
        z, sums = self.conv.forward_summed(memory_of(x))
        self.norm.check_input(z)
        batch, channels, height, width = self.pool.check_input(z)
        y = self.pool.workspace.array("y", (batch, height, width, channels), z.dtype)
        index = self.pool.workspace.array("index", y.shape, np.uint8)
        self.norm.normalise_and_pool(memory_of(z), self.relu is not None, y, index, sums)
        self.pool.remember(seen(y), y, index)
        return seen(y)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        y, index = self.pool.recall(dy)
        relu = self.relu is not None
        source = self.norm.pooled_gradient_source(memory_of(dy), y, index, relu)
        assert source.x is not None
        (image,) = self.conv.remembered()
        return self.conv.backward_from(image, source, source.x.shape, self.needs_input_gradient)


def backward_summed(
    conv: Conv2D, source: GradientSource, needs_input_gradient: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """dx; and the sums of it that the normalisation before needs, if images were normalised here.

    source : where the gradient by the convolution's output comes from
    """
    (image,) = conv.remembered()
    summing = None
    # One that was frozen since the forward pass makes dx alone, and sums up nothing.
    if needs_input_gradient and conv.trainable and isinstance(image, NormedInput):
        summing = sums_before(image, source.dy.dtype, conv.scratch)
    dx = conv.backward_from(image, source, source.dy.shape, needs_input_gradient, summing)
    return dx, summing.sums if summing is not None and summing.sums.size else None


class ConvNorm(Group):
    """A convolution, BatchNorm, and perhaps ReLU, as one step of training.

    The statistics are taken of each image while it is in the cache, and going back the gradient of
    the convolution's output is made image by image, unless two kernels read it and have enough to
    compute. The values are those of the layers, bit for bit, and so are the gradients.
    """

    def __init__(self, conv: Conv2D, norm: BatchNorm, relu: ReLU | None) -> None:
        super().__init__(conv, norm, relu)
        self.conv, self.norm, self.relu = conv, norm, relu

    def run(self, x: np.ndarray) -> np.ndarray:
        self.conv.check_input(x)
        return self.finish(memory_of(x))

    def finish(self, image: np.ndarray | NormedInput) -> np.ndarray:
        """y of images as they lie."""
        z, sums = self.conv.forward_summed(image)
        self.norm.check_input(z)
        workspace = (self.relu or self.norm).workspace
        return self.norm.normalise(z, workspace, relu=self.relu is not None, sums=sums)

    def measure(self, x: np.ndarray) -> NormedInput:
        """y of images, for a step that normalises what it reads."""
        self.conv.check_input(x)
        return self.measured(memory_of(x))

    def measured(self, image: np.ndarray | NormedInput) -> NormedInput:
        """The same of images as they lie; where ReLU ends the step."""
        z, sums = self.conv.forward_summed(image)
        self.norm.check_input(z)
        return self.norm.measured(z, sums)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        return self.back(dy, None, self.needs_input_gradient)[0]

    def back(
        self, dy: np.ndarray, sums: np.ndarray | None, needs_input_gradient: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """dx; and the sums of it that the normalisation before needs, if it is there.

        sums : those of dy, or None for none
        """
        relu = self.relu is not None
        read_twice = needs_input_gradient and self.conv.trainable and not self.conv.is_light
        if read_twice:
            dz = memory_of(self.norm.spread(dy, relu, sums))
            source = GradientSource(dz, beside_norm=True)
        else:
            source = self.norm.normed_gradient(dy, relu, sums)
        return backward_summed(self.conv, source, needs_input_gradient)


class SummedConv(Group):
    """A convolution by itself, of images that are to be normalised, or before BatchNorm.

    Parameters
    ----------
    conv : Conv2D
    summed : bool
        Whether BatchNorm follows as a part of another step, for which `sums` are kept.
    """

    def __init__(self, conv: Conv2D, summed: bool) -> None:
        super().__init__(conv)
        self.conv, self._summed = conv, summed
        self.sums: np.ndarray | None = None

    def forward(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        self.sums = None
        return super().forward(x, training)

    def run(self, x: np.ndarray) -> np.ndarray:
        self.conv.check_input(x)
        return self.finish(memory_of(x))

    def finish(self, image: np.ndarray | NormedInput) -> np.ndarray:
        """y of images as they lie."""
        kept_in = self.conv.workspace if self._summed else None
        z, self.sums = self.conv.forward_summed(image, kept_in, self._summed)
        return z

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        return self.back(dy, None, self.needs_input_gradient)[0]

    def back(
        self, dy: np.ndarray, sums: np.ndarray | None, needs_input_gradient: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As in `ConvNorm`; nobody needs the sums of dy."""
        self.conv.recall(dy)
        source = GradientSource(memory_of(dy), beside_norm=True)
        return backward_summed(self.conv, source, needs_input_gradient)


Reader = ConvNorm | SummedConv
