"""Layers that update themselves: for a script whose layers were written in NumPy.

A script like this runs, fast, once its class definitions are replaced by the import:

    from fastcnn.plain import Conv2d, CrossEntropyLoss, Linear, ReLU

    y = linear.forward(relu.forward(conv.forward(x)).reshape(len(x), -1))
    loss, dy = criterion(y, labels)
    dy = linear.backward(dy, lr)
    conv.backward(relu.backward(dy.reshape(...)), lr)

`backward` gives the gradient by the input, and takes the step ``W -= lr * dW``, ``b -= lr * db``.
Weights and biases start from N(0, 1) and are float32, like all that is computed, unless `dtype`
says float64; what goes in may have any type of number. As in a script of one's own
``np.random.seed`` decides the start.

Examples
--------
>>> import numpy as np
>>> layer, criterion = Linear(2, 3), CrossEntropyLoss()
>>> layer.W[:], layer.b[:] = 0, 0
>>> loss, dy = criterion(layer.forward(np.eye(2)), np.array([0, 2]))
>>> round(loss, 4)
1.0986
>>> dy.round(2)
array([[-0.67,  0.33,  0.33],
       [ 0.33,  0.33, -0.67]], dtype=float32)
"""

from typing import Any

import numpy as np

from . import foreign, layers, losses
from .checks import refuse_masked
from .layers import Layer

Size = int | tuple[int, int]


class _Plain(foreign.Answering):
    """A layer of ours with the two methods that such scripts call."""

    def __init__(self, layer: Layer, dtype: Any = None) -> None:
        self._layer = layer
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._computed = np.dtype(np.float32)

    def forward(self, x: Any) -> np.ndarray:
        """y for a batch x; remembers what `backward` needs."""
        refuse_masked(repr(self._layer), x)
        x = np.asarray(x)
        wide = x.dtype if x.dtype == np.float64 else np.dtype(np.float32)
        self._computed = self._dtype or wide
        return self._layer.forward(x.astype(self._computed, copy=False), training=True)

    def backward(self, dy: Any, lr: float | None = None) -> np.ndarray:
        """dLoss/dx from dLoss/dy, for the last `forward`."""
        refuse_masked(f"{self._layer!r}: backward", dy)
        return self._layer.backward(np.asarray(dy, self._computed))

    __call__ = forward

    def __repr__(self) -> str:
        return repr(self._layer)


class _Learning(_Plain):
    """One with weights, which `backward` changes."""

    def __init__(self, layer: Layer, dtype: Any) -> None:
        seed = int(np.random.randint(2**31))  # noqa: NPY002  (the scripts' np.random.seed decides)
        layer.astype(dtype).initialize(seed)
        super().__init__(layer, layer.dtype)

    @property
    def W(self) -> np.ndarray:
        """The weights; writing into them, or assigning, takes effect."""
        return self._layer.params["weight"]

    @W.setter
    def W(self, value: Any) -> None:
        self._layer.params["weight"] = value

    @property
    def b(self) -> np.ndarray | None:
        """The biases, (outputs,); None if the layer has none."""
        return self._layer.params.get("bias")

    @b.setter
    def b(self, value: Any) -> None:
        self._layer.params["bias"] = value

    def backward(self, dy: Any, lr: float | None = None) -> np.ndarray:
        """dLoss/dx from dLoss/dy, for the last `forward`; then W -= lr * dW, b -= lr * db.

        Without `lr` nothing is changed.
        """
        dx = super().backward(dy)
        if lr is not None:
            for name, gradient in self._layer.grads.items():
                self._layer.params[name] -= self._computed.type(lr) * gradient
        return dx


class Conv2d(_Learning):
    """Convolution: x (N, in_channels, H, W) -> (N, out_channels, H_out, W_out).

    W has the shape (out_channels, in_channels, kernel, kernel). See `fastcnn.layers.Conv2D`.

    Examples
    --------
    >>> Conv2d(1, 8, 3, padding=1).forward(np.zeros((2, 1, 28, 28))).shape
    (2, 8, 28, 28)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
        dtype: Any = np.float32,
    ) -> None:
        layer = layers.Conv2D(
            in_channels, out_channels, kernel_size, stride, padding, bias, init="normal"
        )
        super().__init__(layer, dtype)


class Linear(_Learning):
    """Dense layer: x (N, in_features) -> x @ W + b, (N, out_features).

    W has the shape (in_features, out_features). See `fastcnn.layers.Dense`.

    Examples
    --------
    >>> layer = Linear(2, 1)
    >>> layer.W[:], layer.b[:] = 1, 0
    >>> layer.forward([[3, 4]])
    array([[7.]], dtype=float32)
    >>> dx = layer.backward([[1]], lr=0.1)
    >>> layer.W.ravel().round(2)
    array([0.7, 0.6], dtype=float32)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, dtype: Any = np.float32
    ) -> None:
        super().__init__(layers.Dense(in_features, out_features, bias, init="normal"), dtype)


class MaxPool2d(_Plain):
    """Largest number of each window; the gradient goes to one of them, and padding never wins.

    Examples
    --------
    >>> MaxPool2d(2).forward([[[[1, 2], [3, 4]]]])
    array([[[[4.]]]], dtype=float32)
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__(layers.MaxPool2D(kernel_size, stride, padding))


class AvgPool2d(_Plain):
    """Mean of each window; padding counts as zeros.

    Examples
    --------
    >>> AvgPool2d(2).forward([[[[1, 2], [3, 4]]]])
    array([[[[2.5]]]], dtype=float32)
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__(layers.AveragePool2D(kernel_size, stride, padding))


class ReLU(_Plain):
    """max(x, 0).

    Examples
    --------
    >>> ReLU().forward([[-1, 2]])
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self) -> None:
        super().__init__(layers.ReLU())


class LeakyReLU(_Plain):
    """x where it is positive, else alpha * x.

    Examples
    --------
    >>> LeakyReLU(0.1).forward([[-1, 2]])
    array([[-0.1,  2. ]], dtype=float32)
    """

    def __init__(self, alpha: float = 0.01) -> None:
        super().__init__(layers.LeakyReLU(alpha))


class Sigmoid(_Plain):
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> Sigmoid().forward([[0]])
    array([[0.5]], dtype=float32)
    """

    def __init__(self) -> None:
        super().__init__(layers.Sigmoid())


class Tanh(_Plain):
    """Hyperbolic tangent.

    Examples
    --------
    >>> Tanh().forward([[0, 1]]).round(4)
    array([[0.    , 0.7616]], dtype=float32)
    """

    def __init__(self) -> None:
        super().__init__(layers.Tanh())


class CrossEntropyLoss(foreign.Answering):
    """Softmax and cross-entropy: ``loss, dy = criterion(outputs, labels)``.

    The loss is the mean over the batch; the gradient (probabilities - labels) is that of its sum.
    Labels are whole numbers (N,), or one-hot (N, classes).

    Examples
    --------
    >>> loss, dy = CrossEntropyLoss()(np.zeros((1, 2)), [1])
    >>> round(loss, 4), dy.tolist()
    (0.6931, [[0.5, -0.5]])
    """

    def __init__(self) -> None:
        self._loss = losses.CrossEntropyLoss("sum")

    def forward(self, outputs: Any, labels: Any) -> tuple[float, np.ndarray]:
        """(mean loss, gradient by the outputs)."""
        outputs = np.asarray(outputs)
        wide = outputs.dtype if outputs.dtype == np.float64 else np.dtype(np.float32)
        total = self._loss.forward(outputs.astype(wide, copy=False), np.asarray(labels))
        return total / len(outputs), self._loss.backward()

    __call__ = forward
