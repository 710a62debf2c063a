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
