"""Normalisation: of batches, of groups of channels, and with pooling behind it."""

from kernels.norm.batch import (
    batch_norm_inference,
    batch_norm_training,
    batch_statistics,
    follow,
)
from kernels.norm.batch_gradient import batch_gradient_factors, batch_norm_backward
from kernels.norm.group import group_norm, group_norm_backward
from kernels.norm.pooled import norm_pool_factors, norm_pool_training

__all__ = [
    "batch_gradient_factors",
    "batch_norm_backward",
    "batch_norm_inference",
    "batch_norm_training",
    "batch_statistics",
    "follow",
    "group_norm",
    "group_norm_backward",
    "norm_pool_factors",
    "norm_pool_training",
]
