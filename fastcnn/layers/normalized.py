"""A normalisation that runs with the ReLU behind it as one step of training (see `fusion`)."""

from typing import TypeGuard

import numpy as np

from kernels.conv.normed import NormedInput

from .activation import ReLU
from .group_norm import GroupNorm, LayerNorm
from .groups import Group, Step
from .instance_norm import InstanceNorm
from .norm import BatchNorm

Norm = BatchNorm | GroupNorm  # and LayerNorm and InstanceNorm, which are GroupNorms


def normalizes(step: Step | None) -> TypeGuard[Norm]:
    """Whether it is a normalisation that other layers can be put together with."""
    return type(step) in (BatchNorm, GroupNorm, LayerNorm, InstanceNorm)


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

    def measure(self, x: np.ndarray) -> NormedInput:
        """y of images, for a step that normalises what it reads; by BatchNorm."""
        self.norm.check_input(x)
        assert isinstance(self.norm, BatchNorm)
        return self.norm.measured(x)

    def run_back(self, dy: np.ndarray) -> np.ndarray:
        return self.norm.spread(dy, relu=True)

    def back(self, dy: np.ndarray, sums: np.ndarray | None) -> np.ndarray:
        """dx after `measure`. sums : those of dy (`kernels.norm.units`), or None for none"""
        assert isinstance(self.norm, BatchNorm)
        return self.norm.spread(dy, relu=True, sums=sums)
