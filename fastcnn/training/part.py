"""An epoch that is not finished: what is summed up of it so far."""

from typing import Any

from ..network import measures
from ..network.network import Network
from .settings import Measuring
from .tracking import GradientNorms


class Part:
    """The steps of an epoch so far.

    Parameters
    ----------
    model : Network
    measuring : Measuring

    Attributes
    ----------
    step : int
        Steps that are made.
    begun : int
        The step at which the rows were put in the order that they have now.
    images : int
        Samples of these steps.
    loss : float
        Summed over them.
    seconds : float
        How long it took when it was last saved.
    tally : Tally
    norms : GradientNorms or None
    """

    def __init__(self, model: Network, measuring: Measuring) -> None:
        self.step = self.begun = self.images = 0
        self.loss = self.seconds = 0.0
        self.tally = measures.tally(model.task, model.output_names)
        self.norms = GradientNorms(model) if measuring.track_gradients else None

    def begin(self, steps: int) -> int:
        """Told how many steps all rows are; gives the step with which they are through."""
        if self.norms is not None:
            self.norms.begin(steps)
        return self.begun + steps

    def add(self, loss: float, images: int) -> None:
        """A step is made."""
        self.step += 1
        self.loss += loss
        self.images += images

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON can hold it; `load_state` takes it."""
        return {
            "step": self.step,
            "begun": self.begun,
            "images": self.images,
            "loss": self.loss,
            "seconds": self.seconds,
            "tally": self.tally.state(),
            "norms": None if self.norms is None else self.norms.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there.

        Raises
        ------
        ValueError, TypeError, LookupError
            If it is no such state.
        """
        for name in ("step", "begun", "images", "loss", "seconds"):
            setattr(self, name, state[name])
        self.tally.load_state(state["tally"])
        if self.norms is not None:
            self.norms.load_state(state["norms"])
