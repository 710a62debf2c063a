"""Convolution, 2 x 2 max pooling and ReLU, image by image: what is pooled away is never stored.

    z = conv(x),   y = max of each 2 x 2 of z, then max(y, 0) if relu

The large z lives in a thread's own scratch for the time of one image; so does its gradient, see
`gradient_source`. The values are those of the operations one after the other, bit for bit.
"""

import numpy as np

from kernels.conv import Pair, Pooled, run_forward
from kernels.workspace import Workspace

Shape = tuple[int, int, int, int]


def conv_pool_forward(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    stride: Pair,
    padding: Pair,
    relu: bool,
    z_shape: Shape,
    y: np.ndarray,
    index: np.ndarray,
    workspace: Workspace,
) -> None:
    """Fill y (N, H_out // 2, W_out // 2, O) and index, likewise in uint8: which was the maximum.

    z_shape : (N, H_out, W_out, O)
    """
    run_forward(x, weight, bias, stride, padding, z_shape, y, Pooled(index, relu), workspace)
