"""The "numba" backend: the operations that `loop` and `im2col` have too."""

from kernels.conv.forward import conv_forward
from kernels.conv.input import conv_backward_input
from kernels.conv.weight import conv_backward_bias, conv_backward_weight
from kernels.dense import dense_backward_input, dense_backward_weight, dense_forward
from kernels.pool.operations import (
    average_pool_backward,
    average_pool_forward,
    max_pool_backward,
    max_pool_forward,
)
from kernels.pool.spans import (
    average_pool_spans_backward,
    average_pool_spans_forward,
    max_pool_spans_backward,
    max_pool_spans_forward,
)

__all__ = [
    "average_pool_backward",
    "average_pool_forward",
    "average_pool_spans_backward",
    "average_pool_spans_forward",
    "conv_backward_bias",
    "conv_backward_input",
    "conv_backward_weight",
    "conv_forward",
    "dense_backward_input",
    "dense_backward_weight",
    "dense_forward",
    "max_pool_backward",
    "max_pool_forward",
    "max_pool_spans_backward",
    "max_pool_spans_forward",
]
