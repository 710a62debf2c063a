"""Convolution: forward, both gradients, and Winograd's way to the same."""

from kernels.conv.forward import (
    Pooled,
    conv_forward,
    run_forward,
)
from kernels.conv.gradient_source import (
    NORM_POOLED,
    PLAIN,
    POOLED,
    GradientSource,
)
from kernels.conv.input import (
    conv_backward_input,
    run_input_gradient,
)
from kernels.conv.weight import (
    conv_backward_bias,
    conv_backward_weight,
    run_weight_gradient,
)

__all__ = [
    "NORM_POOLED",
    "PLAIN",
    "POOLED",
    "GradientSource",
    "Pooled",
    "conv_backward_bias",
    "conv_backward_input",
    "conv_backward_weight",
    "conv_forward",
    "run_forward",
    "run_input_gradient",
    "run_weight_gradient",
]
