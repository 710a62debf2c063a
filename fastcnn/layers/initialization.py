"""Starting values of weights."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import checks
from ..checks import unknown

SCHEMES = ("he", "xavier", "normal")
"""How weights can start."""


class Initialization:
    """How a layer's weights and biases start.

    "he"      normal, standard deviation sqrt(2 / fan_in); for ReLU. He et al., "Delving Deep
              into Rectifiers" (2015), equation 10. Biases start at 0.
    "xavier"  uniform within +- sqrt(6 / (fan_in + fan_out)); for sigmoid and tanh. Glorot and
              Bengio, "Understanding the Difficulty of Training Deep Feedforward Neural
              Networks" (2010), equation 16. Biases start at 0.
    "normal"  normal with mean 0 and the deviation `std`, however many inputs there are, biases
              too: what a first network of one's own often does.

    Parameters
    ----------
    layer : str
        Whose, for messages.
    scheme : str
        One of `SCHEMES`.
    std : float, optional
        Standard deviation of "normal", and of it alone; default 1.

    Raises
    ------
    ValueError
        If there is no such scheme, it takes no deviation, or the deviation is not above 0.
    """

    def __init__(self, layer: str, scheme: object, std: float | None = None) -> None:
        if scheme not in SCHEMES:
            raise ValueError(f"{layer}: {unknown('initialization', scheme, SCHEMES)}")
        if std is not None and scheme != "normal":
            raise ValueError(f'{layer}: init_std belongs to init="normal", not to {scheme!r}')
        self.scheme = str(scheme)
        self.std = checks.number(
            layer, "init_std", 1.0 if std is None else std, math.nextafter(0, 1), 1e37,
            "a number above 0 and below 1e37",  # so that float32 holds what is drawn
        )  # fmt: skip

    def arguments(self) -> dict[str, Any]:
        """What a layer is given to start so."""
        std = {"init_std": self.std} if self.scheme == "normal" else {}
        return {"init": self.scheme, **std}

    def draw(
        self,
        generator: np.random.Generator,
        shapes: Mapping[str, tuple[int, ...]],
        fan_in: int,
        fan_out: int,
    ) -> dict[str, np.ndarray]:
        """Starting values, float64, of "weight" and, where it does not start at 0, of "bias".

        Parameters
        ----------
        shapes : Mapping[str, tuple of int]
            Those of the layer's parameters.
        fan_in : int
            How many inputs each output sums over.
        fan_out : int
            How many outputs each input is part of.
        """
        if self.scheme == "normal":
            return {
                name: generator.standard_normal(shapes[name]) * self.std
                for name in ("weight", "bias")
                if name in shapes
            }
        if self.scheme == "he":
            return {"weight": generator.standard_normal(shapes["weight"]) * math.sqrt(2 / fan_in)}
        limit = math.sqrt(6 / (fan_in + fan_out))
        return {"weight": generator.uniform(-limit, limit, shapes["weight"])}
