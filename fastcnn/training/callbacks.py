"""What is called after each epoch, and may end training."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..network.network import Network
from .history import History


class StopTraining(Exception):
    """Raised by a callback that wants no further epoch; training ends as after its last.

    Examples
    --------
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense
    >>> def stop(model, history):
    ...     raise StopTraining
    >>> x, y = np.float32([[0], [1]]), np.array([0, 1])
    >>> Sequential(Dense(1, 2)).train(x, y, epochs=5, callbacks=stop, progress=False).epochs
    1
    """


class Callback:
    """Looks on during training; any object with such a method, or a function, will do.

    Examples
    --------
    >>> from fastcnn import Sequential
    >>> from fastcnn.layers import Dense
    >>> class Enough(Callback):
    ...     def on_epoch_end(self, model, history):
    ...         return history["loss"][-1] < 10
    >>> x, y = np.float32([[0], [1]]), np.array([0, 1])
    >>> history = Sequential(Dense(1, 2)).train(x, y, epochs=5, callbacks=Enough(), progress=False)
    >>> history.epochs, history.stopped_because
    (1, 'a callback')
    """

    def on_epoch_end(self, model: Network, history: History) -> bool | None:
        """An epoch is finished, measured and saved.

        The model has the weights that were measured. What is changed of them is put back: the run
        would not be the same if it were interrupted here and resumed.

        Returns
        -------
        bool or None
            True ends training, as `StopTraining` does.
        """


def checked(callbacks: Any) -> tuple[Callable[[Network, History], Any], ...]:
    """The functions to call.

    Raises
    ------
    ValueError
        If something among them cannot be called; one sentence.
    """
    if callbacks is None:
        return ()
    if callable(callbacks) or hasattr(callbacks, "on_epoch_end"):
        callbacks = (callbacks,)
    wanted = "callbacks must be functions or objects with on_epoch_end(model, history)"
    if not isinstance(callbacks, Iterable):
        raise ValueError(f"{wanted}, got {callbacks!r}")
    found = []
    for each in callbacks:
        function = getattr(each, "on_epoch_end", each)
        if isinstance(each, type):
            raise ValueError(f"{wanted}, got the class itself: write {each.__name__}()")
        if not callable(function):
            raise ValueError(f"{wanted}, got {each!r}")
        found.append(function)
    return tuple(found)


def told(
    callbacks: Iterable[Callable[[Network, History], Any]], model: Network, history: History
) -> bool:
    """Call all of them; returns whether one wants training to end."""
    wants_end = False
    for callback in callbacks:
        try:
            answer = callback(model, history)
            # A function that gives what it measured does not want an end.
            wants_end |= isinstance(answer, bool | np.bool_) and bool(answer)
        except StopTraining:
            wants_end = True
        except Exception as error:
            name = getattr(callback, "__qualname__", type(callback).__name__)
            error.add_note(
                f"raised by the callback {name} after epoch {history.epochs}, which is finished "
                f"and, where there is a checkpoint, saved: the model keeps it"
            )
            raise
    return wants_end
