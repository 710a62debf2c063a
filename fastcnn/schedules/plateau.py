"""The schedule that looks at what was measured."""

from collections.abc import Mapping, Sequence

from ..checks import at_least_0, number, whole
from .base import Schedule


class ReduceLROnPlateau(Schedule):
    """Multiplied by ``factor`` whenever a number has not become better for too long.

    The rule of PyTorch's scheduler of this name: an epoch is better if it gains more than
    ``min_gain`` on the best so far; after more than ``patience`` epochs in a row that are not, the
    rate falls, and the counting begins again ``cooldown`` epochs later.

    Parameters
    ----------
    factor : float
        Between 0 and 1.
    patience : int
        Epochs without a better one that are borne.
    monitor : str, optional
        Column of the history; a loss or an error should fall, all else rise (`gain`). Default:
        "val_loss" where there is validation data, else "loss".
    min_gain : float
        In units of that column.
    cooldown : int
        Epochs after a fall that are not counted.
    lr_min : float
        The rate does not fall below it.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> schedule = ReduceLROnPlateau(factor=0.5, patience=1)
    >>> schedule.after({"loss": [0.9, 0.8, 0.8, 0.9]}).rate(0.1, 4, 9)
    0.05
    """

    def __init__(
        self,
        factor: float = 0.1,
        patience: int = 10,
        monitor: str | None = None,
        min_gain: float = 0.0,
        cooldown: int = 0,
        lr_min: float = 0.0,
    ) -> None:
        who = "ReduceLROnPlateau"
        if number(who, "factor", factor, 0, 1, "a number between 0 and 1") in (0, 1):
            raise ValueError(f"{who}: factor must be a number between 0 and 1, got {factor!r}")
        self.factor = factor
        self.patience = whole(who, "patience", patience, 0)
        if monitor is not None and (not isinstance(monitor, str) or not monitor):
            raise ValueError(f"{who}: monitor must be the name of a column, got {monitor!r}")
        self.monitor = monitor
        self.min_gain = at_least_0(who, "min_gain", min_gain)
        self.cooldown = whole(who, "cooldown", cooldown, 0)
        self.lr_min = at_least_0(who, "lr_min", lr_min)

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """``lr``, as nothing was measured."""
        return lr

    def after(self, history: Mapping[str, Sequence[float]], begun: int = 0) -> Schedule:
        """The rate after as many falls as there were."""
        monitor = self.monitor or ("val_loss" if "val_loss" in history else "loss")
        falls, bad, resting, best = 0, 0, 0, None
        for value in history.get(monitor, ())[begun:]:
            if best is None or gain(monitor, best, value) > self.min_gain:
                best, bad = value, 0
            else:
                bad += 1
            if resting:
                resting, bad = resting - 1, 0
            if bad > self.patience:
                falls, resting, bad = falls + 1, self.cooldown, 0
        return _Fallen(self.factor**falls, self.lr_min) if falls else self


class _Fallen(Schedule):
    """A part of ``lr``, but not less than ``lr_min``, unless ``lr`` is."""

    def __init__(self, share: float, lr_min: float) -> None:
        self.share, self.lr_min = share, lr_min

    def rate(self, lr: float, epoch: int, epochs: float) -> float:
        """The part."""
        return max(lr * self.share, min(self.lr_min, lr))


_FALLING = ("loss", "error", "mae", "mse", "rmse")  # ends of names
_FALLING_WORDS = {
    "error", "errors", "losses", "mape", "smape", "msle", "rmsle", "nll", "perplexity", "deviance",
    "divergence", "brier", "ece", "wer", "cer", "fpr", "fnr",
}  # fmt: skip


def gain(name: str, before: float, after: float) -> float:
    """How much better a column of the history has become.

    One whose name ends with loss, error, mae, mse or rmse gains by falling, and one with a word
    such as error, perplexity or nll between its underscores; all others gain by rising.

    Examples
    --------
    >>> gain("val_loss", 0.5, 0.25), gain("val_accuracy", 0.5, 0.25), gain("val_error_rate", 2, 1)
    (0.25, -0.25, 1)
    """
    falls = name.endswith(_FALLING) or not _FALLING_WORDS.isdisjoint(name.split("_"))
    return before - after if falls else after - before
