"""The end of a run whose numbers are no longer numbers."""

from typing import Any

import numpy as np

from ..losses import Loss
from ..losses.asked import Losses
from .history import History


class TrainingDiverged(ArithmeticError):
    """The loss, the gradients or the parameters became infinite or not a number.

    The model then has the parameters of the end of the best or the last finished epoch (the
    initial ones if there is none).

    Attributes
    ----------
    what : str
        Which of them did.
    epoch, batch : int
        Where it happened, both from 1.
    history : History
        The finished epochs.
    steps : int
        How many the optimizer had made; without any, no learning rate is to blame.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcnn import Sequential, optim
    >>> from fastcnn.layers import Dense
    >>> x, y, model = np.float32([[1e5], [2e5]]), np.array([0, 1]), Sequential(Dense(1, 2))
    >>> try:
    ...     model.train(x, y, optimizer=optim.SGD(1e38), progress=False)
    ... except TrainingDiverged as error:
    ...     error.what, error.epoch, error.batch
    ('the parameters became infinite or NaN', 1, 1)
    """

    def __init__(
        self,
        what: str,
        epoch: int,
        batch: int,
        advice: str,
        kept: int,
        history: History,
        steps: int,
    ) -> None:
        source = f"the end of epoch {kept}" if kept else "before training"
        super().__init__(
            f"{what} in epoch {epoch}, batch {batch}: {advice}; the model keeps its parameters "
            f"from {source}"
        )
        self.epoch = epoch
        self.batch = batch
        self.history = history
        self.what = what
        self.steps = steps


def is_own(loss: Any) -> bool:
    """Whether a loss, or one of several, is the user's own, whose gradient nobody here knows."""
    losses = loss.losses if isinstance(loss, Losses) else (loss,)
    ours = Loss.__module__.rpartition(".")[0]
    return any(not type(each).__module__.startswith(f"{ours}.") for each in losses)


def before_the_first_step(outputs: Any) -> str:
    """What to look at where a loss is no number before the optimizer's first step."""
    several = outputs if isinstance(outputs, tuple) else (outputs,)
    if all(np.isfinite(each).all() for each in several):
        return (
            "no step has been made yet, and what the network gives is finite: look at the loss and "
            "the targets"
        )
    return (
        "no step has been made yet, and the network itself gives infinite numbers or NaN: look at "
        "what it begins with, and the data"
    )


def of_loss(gradient: Any, loss: Any, names: Any) -> tuple[str, str] | None:
    """(what, advice) if the gradient of the loss by the outputs is not finite.

    Parameters
    ----------
    gradient : array or tuple of array
        As the loss gives it.
    names : sequence of str
        Of the outputs, if there are several.
    """
    several = gradient if isinstance(gradient, tuple) else (gradient,)
    losses = loss.losses if isinstance(loss, Losses) else (loss,) * len(several)
    for index, (each, its) in enumerate(zip(several, losses, strict=True)):
        if not np.isfinite(each).all():
            output = f"output {names[index]}" if len(several) > 1 else "outputs"
            return (
                f"the gradient of the loss by the {output} became infinite or NaN",
                f"look at what backward of {type(its).__name__} gives",
            )
    return None


def of_parameters(model: Any) -> str | None:
    """What to say if the gradient of a parameter is not finite: the first on the way back."""
    flat = model.parameters
    for name, place in reversed(list(flat.trained_slices().items())):
        if not np.isfinite(flat.gradients[place]).all():
            return f"the gradient of {name} became infinite or NaN"
    return None
