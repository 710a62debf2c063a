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
- A convolution, BatchNorm, and perhaps ReLU are one step (`ConvNorm`): the statistics are taken
  while an image is in the cache, and going back, the gradient of the convolution's output is made
  image by image, too.
- What is normalised and rectified for a convolution alone is never written, but made where that
  reads it: rows of such steps are one (`rows.NormedRow`).
- A normalisation before ReLU is one step (`NormalizedReLU`), and so is one before an addition, with
  ReLU after that (`segments.NormalizedAdd`).
"""

from collections.abc import Sequence

import numpy as np

from .activation import ReLU
from .base import Layer
from .conv import Conv2D
from .convolutions import ConvMaxPool, ConvNorm, ConvNormMaxPool
from .described import is_own
from .groups import Group, Step
from .norm import BatchNorm
from .normalized import NormalizedReLU, normalizes
from .pool import MaxPool2D, halves
from .rows import normed_rows


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


def plan(layers: Sequence[Layer], before_norm: bool = False) -> list[Step]:
    """What is run for a row of layers.

    before_norm : whether BatchNorm follows, as a part of another step
    """
    order = list(layers)
    for i in range(len(order) - 1):
        if type(order[i]) is ReLU and type(order[i + 1]) is MaxPool2D:
            order[i], order[i + 1] = order[i + 1], order[i]
    steps: list[Step] = []
    for layer in order:
        before, last = ([None, None, *steps])[-2:]
        if halves(layer) and type(last) is Conv2D:
            steps[-1] = ConvMaxPool(last, layer, None)
        elif halves(layer) and type(last) is BatchNorm and type(before) is Conv2D:
            steps[-2:] = [ConvNormMaxPool(before, last, layer, None)]
        elif type(layer) is ReLU and isinstance(last, ConvMaxPool) and last.relu is None:
            steps[-1] = ConvMaxPool(last.conv, last.pool, layer)
        elif type(layer) is ReLU and isinstance(last, ConvNormMaxPool) and last.relu is None:
            steps[-1] = ConvNormMaxPool(last.conv, last.norm, last.pool, layer)
        elif type(layer) is ReLU and type(last) is BatchNorm and type(before) is Conv2D:
            steps[-2:] = [ConvNorm(before, last, layer)]
        elif type(layer) is ReLU and normalizes(last):
            steps[-1] = NormalizedReLU(last, layer)
        else:
            steps.append(OwnLayer(layer) if is_own(layer) else layer)
    return normed_rows(steps, before_norm)
