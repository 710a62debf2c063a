"""An exponential moving average of the weights, which is steadier than the weights themselves.

Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging" (1992); as it is done
today, Tarvainen and Valpola, "Mean Teachers Are Better Role Models" (2017).
"""

import contextlib
from collections.abc import Iterator

import numpy as np

from ..network.network import Network

Arrays = dict[str, np.ndarray]


class Average:
    """The average of a model's arrays over the steps of training.

    After each step   average += (1 - d) * (array - average),   d = min(decay, (1 + n) / (10 + n))

    with n the steps so far, so that the weights that training began with are soon forgotten.
    BatchNorm's running statistics are averaged too.

    Parameters
    ----------
    model : Network
        Whose arrays, as they are now, begin the average.
    decay : float
        How much of the average is kept, at least 0 and below 1.

    Attributes
    ----------
    arrays : dict
        Name -> average.
    """

    def __init__(self, model: Network, decay: float) -> None:
        self._model, self._decay = model, decay
        self.arrays: Arrays = model.copy_arrays()

    def update(self, steps: int) -> None:
        """Take note of the arrays after so many steps."""
        kept = min(self._decay, (1 + steps) / (10 + steps))
        for name, array in self._model.named_arrays():
            average = self.arrays[name]
            if array.dtype.kind == "f":  # frozen ones stay: their difference is exactly 0
                average += array.dtype.type(1 - kept) * (array - average)
            else:
                average[...] = array

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """A with block in which the model has the averages; then it has its own arrays again.

        What the block makes of BatchNorm's statistics becomes theirs.
        """
        own = self._model.copy_arrays()
        self._model.load_arrays(self.arrays)
        try:
            yield
            self.arrays = self._model.copy_arrays()
        finally:
            self._model.load_arrays(own)
