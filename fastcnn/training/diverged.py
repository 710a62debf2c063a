"""The end of a run whose numbers are no longer numbers."""

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
