"""How long the gradients are, epoch by epoch."""

import math

from kernels import optim as optim_kernels

from ..network.network import Network
from .history import History, Table

# Steps of an epoch, evenly spread, at which gradients are measured; fewer in an epoch that has
# fewer.
_STEPS = 10


class GradientNorms:
    """The Euclidean norm of each array's gradient, before clipping and weight decay."""

    def __init__(self, model: Network) -> None:
        self._model = model
        self._every = 1
        self._norms = Table()

    def begin(self, steps: int) -> None:
        """Told how many steps an epoch has."""
        self._every = math.ceil(steps / _STEPS)

    def look(self, step: int) -> None:
        """Measure, if it is this step's turn."""
        if step % self._every:
            return
        flat, workspace = self._model.parameters, self._model.workspace
        self._norms.add(
            {
                name: math.sqrt(optim_kernels.squared_norm(flat.gradients[place], workspace))
                for name, place in flat.trained_slices().items()
            }
        )

    def state(self) -> dict[str, list[float]]:
        """What there is of the epoch; `load_state` takes it."""
        return dict(self._norms)

    def load_state(self, state: dict[str, list[float]]) -> None:
        """Go on from there.

        Raises
        ------
        ValueError
            If these are not the norms of this model's arrays.
        """
        if state and set(state) != set(self._model.parameters.trained_slices()):
            raise ValueError("its norms of gradients are not those of its arrays")
        self._norms = Table(state)

    def record(self, history: History) -> None:
        """Write the means down for the epoch that the history ends with."""
        if self._norms:
            means = {name: sum(norms) / len(norms) for name, norms in self._norms.items()}
            history.gradients.add({"epoch": history.epochs, **means})
