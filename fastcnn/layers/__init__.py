"""Layers: each checks its input, calls a kernel and returns.

Examples
--------
>>> import numpy as np
>>> from fastcnn.layers import Conv2D
>>> layer = Conv2D(3, 16, kernel_size=3, padding="same")
>>> x = np.zeros((8, 3, 32, 32), np.float32)
>>> y = layer.forward(x, training=True)
>>> dx = layer.backward(np.ones_like(y))
>>> layer.grads["weight"].shape
(16, 3, 3, 3)
"""

from .activation import LeakyReLU, PReLU, ReLU, Sigmoid, Tanh
from .adaptive_pool import (
    AdaptiveAveragePool2D,
    AdaptiveMaxPool2D,
    GlobalAveragePool2D,
    GlobalMaxPool2D,
)
from .base import Layer
from .containers import Concatenate, Residual
from .conv import Conv2D
from .conv_series import Conv1D
from .conv_transpose import ConvTranspose2D
from .curves import (
    ELU,
    GELU,
    SELU,
    Hardsigmoid,
    Hardswish,
    Mish,
    ReLU6,
    SiLU,
    Softplus,
)
from .dense import Dense
from .described import from_spec
from .dropout import Dropout, SpatialDropout
from .group_norm import GroupNorm, LayerNorm
from .instance_norm import InstanceNorm
from .merge import Add, Concat, Multiply
from .norm import BatchNorm
from .pool import AveragePool2D, MaxPool2D
from .resample import Pad, Upsample
from .series import AveragePool1D, GlobalAveragePool1D, GlobalMaxPool1D, MaxPool1D
from .shape import Flatten, PixelShuffle, Reshape
from .softmax import LogSoftmax, Softmax
from .symbols import Input

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AdaptiveAveragePool2D",
    "AdaptiveMaxPool2D",
    "Add",
    "AveragePool1D",
    "AveragePool2D",
    "BatchNorm",
    "Concat",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "ConvTranspose2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePool1D",
    "GlobalAveragePool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Input",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "MaxPool1D",
    "MaxPool2D",
    "Mish",
    "Multiply",
    "PReLU",
    "Pad",
    "PixelShuffle",
    "ReLU",
    "ReLU6",
    "Reshape",
    "Residual",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "SpatialDropout",
    "Tanh",
    "Upsample",
    "from_spec",
]
