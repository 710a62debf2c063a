"""Gradients that are too long are shortened."""

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels import optim as optim_kernels

from ..checks import above_0, unknown
from ..network.network import Network

_CLIP_MODES = ("global", "array", "value")
_USUAL_ARRAYS = ("weight", "bias", "gamma", "beta")


@dataclasses.dataclass(frozen=True)
class Clipping:
    """How long a gradient may be."""

    norm: float | None = None
    mode: str = "global"
    """All as one vector, or each "array" by itself, or every single number ("value")."""
    arrays: tuple[str, ...] | None = None
    """Names of those that are clipped, such as "weight" or "0.bias"; None: all."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        if self.norm is not None:
            above_0("training", "clip_norm", self.norm)
        if self.mode not in _CLIP_MODES:
            raise ValueError(
                f"clip_mode must be one of {', '.join(_CLIP_MODES)}, got {self.mode!r}"
            )

    def check_arrays(self, known: tuple[str, ...]) -> None:
        """Refuse the name of an array that no layer has."""
        for name in self.arrays or ():
            if name not in _USUAL_ARRAYS and not any(is_named(array, name) for array in known):
                raise ValueError(unknown("parameter array", name, (*_USUAL_ARRAYS, *known)))

    def shorten(self, model: Network) -> bool:
        """Shorten the model's long gradients; returns whether all are finite."""
        longest, workspace = self.norm, model.workspace
        if longest is None:
            return True
        for gradients in self._clipped(model):
            norm = math.sqrt(sum(optim_kernels.squared_norm(g, workspace) for g in gradients))
            if not math.isfinite(norm):
                return False
            if self.mode == "value":
                for gradient in gradients:
                    np.clip(gradient, -longest, longest, out=gradient)
            elif norm > longest:
                for gradient in gradients:
                    optim_kernels.scale_in_place(gradient, longest / norm)
        return True

    def _clipped(self, model: Network) -> list[list[NDArray[Any]]]:
        """The gradients that are clipped, those together whose common length counts."""
        flat = model.parameters
        if self.arrays is None and self.mode != "array":
            return [[stretch.gradients for stretch in flat.trained()]]
        places = flat.trained_slices().items()
        arrays = [flat.gradients[place] for name, place in places if self.includes(name)]
        return [[array] for array in arrays] if self.mode == "array" else [arrays]

    def includes(self, array: str) -> bool:
        """Whether the gradient of an array, such as "0.bias", is clipped."""
        return self.arrays is None or any(is_named(array, name) for name in self.arrays)


def is_named(array: str, name: str) -> bool:
    """Whether an array, such as "0.bias", is meant by a name, such as "bias" or "0.bias"."""
    return array == name or array.endswith(f".{name}")
