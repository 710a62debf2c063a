"""Convolution, 2 x 2 max pooling and ReLU, image by image: what is pooled away is never stored.

    z = conv(x),   y = max of each 2 x 2 of z, then max(y, 0) if relu

The large z lives in a thread's own scratch for the time of one image, forward and backward. The
values are those of the operations one after the other, bit for bit, gradients included.
"""

import numpy as np

from kernels.conv import Pair, Pooled, run_forward, run_weight_gradient
from kernels.conv_input import run_input_gradient
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


def conv_pool_backward_weight(
    x: np.ndarray,
    dy: np.ndarray,
    stride: Pair,
    padding: Pair,
    z_shape: Shape,
    y: np.ndarray,
    pooled: Pooled,
    dweight: np.ndarray,
    dbias: np.ndarray,
    workspace: Workspace,
) -> None:
    """Fill dweight (O, C, kh, kw) and dbias (O,) or size 0, given dy, y and the forward's index."""
    run_weight_gradient(x, dy, stride, padding, z_shape, dweight, dbias, y, pooled, workspace)


def conv_pool_backward_input(
    dy: np.ndarray,
    weight: np.ndarray,
    stride: Pair,
    padding: Pair,
    z_shape: Shape,
    y: np.ndarray,
    pooled: Pooled,
    dx: np.ndarray,
    workspace: Workspace,
) -> None:
    """Fill dx (N, H, W, C), given dy, y and the forward's index."""
    run_input_gradient(dy, weight, stride, padding, z_shape, dx, y, pooled, workspace)
