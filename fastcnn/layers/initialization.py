"""Starting values of weights."""

import math

import numpy as np

from ..checks import unknown

SCHEMES = ("he", "xavier")


def check_scheme(layer: str, init: object) -> str:
    """`init`, which must be one of `SCHEMES`."""
    if init not in SCHEMES:
        raise ValueError(f"{layer}: {unknown('initialization', init, SCHEMES)}")
    return str(init)


def draw_weight(
    generator: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int, init: str
) -> np.ndarray:
    """Random weights, float64, whose scale keeps the variance from layer to layer.

    "he"      normal, standard deviation sqrt(2 / fan_in); for ReLU. He et al., "Delving Deep
              into Rectifiers" (2015), equation 10.
    "xavier"  uniform within +- sqrt(6 / (fan_in + fan_out)); for sigmoid and tanh. Glorot and
              Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural
              Networks" (2010), equation 16.

    Parameters
    ----------
    fan_in : int
        How many inputs each output sums over.
    fan_out : int
        How many outputs each input is part of.
    """
    if init == "he":
        return generator.standard_normal(shape) * math.sqrt(2 / fan_in)
    limit = math.sqrt(6 / (fan_in + fan_out))
    return generator.uniform(-limit, limit, shape)
